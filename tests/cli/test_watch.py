"""`chaperone watch`: the latest of each exchange, and nothing that could touch anything."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.test import tflow

from addons.cli.watch import watch
from addons.edge.flow_file import FlowEncoder
from addons.edge.live import live_folder
from tests.support.listeners import listening
from tests.support.viewer import viewer


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    file = tmp_path / "mitm.conf"
    file.write_text("state: state\n")
    (tmp_path / "state" / "sessions" / "s").mkdir(parents=True)
    live_folder(tmp_path / "state").mkdir()
    return file


def once(shown: Callable[[], list[dict[str, Any]]], comments: list[str]) -> None:
    deadline = time.monotonic() + 30
    while (seen := [flow["comment"] for flow in shown()]) != comments:
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)


def test_one_flow_waits_runs_and_is_over(conf: Path) -> None:
    encoder, flow = FlowEncoder(), tflow.tflow(resp=True)
    going_on = live_folder(conf.parent / "state") / f"{flow.id}.mitm"
    file = conf.parent / "state" / "sessions" / "s" / "flows-0-1.mitm"
    file.write_bytes(encoder.encode(tflow.tflow(resp=True), b"", b"{}", {}, "old", ""))
    going_on.write_bytes(encoder.encode(flow, b"", b"", {}, "waits", ":hourglass_flowing_sand:"))
    with viewer(conf) as web:
        once(web.flows, ["waits"])  # it waited before anybody looked; what is over since then is history
        assert web.flows()[0]["marked"] == "⏳"
        with file.open("ab") as writer:
            writer.write(encoder.encode(flow, b"", b"{}", {"rule": "r"}, "is over", ""))
        going_on.unlink()
        once(web.flows, ["is over"])
        [seen] = web.flows()
        assert (seen["id"], seen["marked"]) == (flow.id, "")
        assert {port for _, port in listening(web.process.pid)} == {web.port}
        assert web.http.post(f"/flows/{flow.id}/replay", headers=_XSRF).status_code >= 400
        assert {port for _, port in listening(web.process.pid)} == {web.port}
        web.process.send_signal(signal.SIGINT)
        assert web.process.wait(20) == 0


def test_history_is_shown_if_asked_for(conf: Path) -> None:
    file = conf.parent / "state" / "sessions" / "s" / "flows-0-1.mitm"
    file.write_bytes(FlowEncoder().encode(tflow.tflow(resp=True), b"", b"{}", {}, "old", ""))
    with viewer(conf, "--history") as web:
        once(web.flows, ["old"])


def test_a_port_in_use_is_said(conf: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(OSError, match="choose another with --port: Address already in use"),
    ):
        watch(port=other.getsockname()[1], conf=conf)


_XSRF = {"Cookie": "_mitmproxy_xsrf=a", "X-XSRFToken": "a"}
