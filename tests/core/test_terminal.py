"""WebSocket messages in, cast out."""

from __future__ import annotations

import json

import pytest

from addons.core.cast import Cast
from addons.core.channels import ExitStatus, MalformedMessage, protocol
from addons.core.kube_request import KubeRequest
from addons.core.terminal import Terminal, unrecordable


@pytest.fixture
def terminal() -> Terminal:
    return Terminal(protocol("v5.channel.k8s.io"), Cast(0, ("sh",), "exec", True))


def test_a_session(terminal: Terminal) -> None:
    lines = terminal.start()
    lines += terminal.message(b'\x04{"Width":90,"Height":30}', True, 1)
    lines += terminal.message(b"\x00id\n", True, 2)
    lines += terminal.message(b"\x01uid=0\r\n", False, 3)
    lines += terminal.message(b"\x02warning\r\n", False, 4)
    lines += terminal.message(b"\xff\x00", True, 5)
    lines += terminal.message(b'\x03{"status":', False, 6)
    lines += terminal.message(b'\x03"Success"}', False, 6)
    lines += terminal.end(7)
    codes = [json.loads(line)[1] for line in lines.splitlines()[1:]]
    assert codes == ["r", "i", "o", "o", "x"]
    assert terminal.status == ExitStatus(0)
    assert terminal.summary() == {"stdin-bytes": "3", "stdout-bytes": "7", "stderr-bytes": "9", "exit-code": "0"}


@pytest.mark.parametrize("message", [b"", b"\x00", b"\x01"], ids=["empty", "empty-stdin", "empty-stdout"])
@pytest.mark.parametrize("from_client", [True, False])
def test_empty_messages_are_nothing(terminal: Terminal, message: bytes, from_client: bool) -> None:
    assert terminal.message(message, from_client, 1) == b""


@pytest.mark.parametrize(
    ("message", "from_client"),
    [
        pytest.param(b"\x01forged output", True, id="client-writes-stdout"),
        pytest.param(b'\x03{"status":"Success"}', True, id="client-writes-status"),
        pytest.param(b"\x00rm -rf /", False, id="server-writes-stdin"),
        pytest.param(b'\x04{"Width":1,"Height":1}', False, id="server-resizes"),
        pytest.param(b"\x07x", False, id="unknown-channel"),
        pytest.param(b"\x04x", True, id="bad-size"),
    ],
)
def test_b34_what_its_sender_may_not_send(terminal: Terminal, message: bytes, from_client: bool) -> None:
    with pytest.raises(MalformedMessage):
        terminal.message(message, from_client, 1)


def test_without_a_status(terminal: Terminal) -> None:
    assert json.loads(terminal.end(1))[1] == "m"
    assert "exit-code" not in terminal.summary()
    terminal.message(b"\x03killed", False, 1)
    assert "exit-code" not in terminal.summary()


@pytest.mark.parametrize(("upgrade", "code"), [("", None), ("websocket", None), ("spdy", 403)])
def test_only_what_can_be_recorded_is_opened(upgrade: str, code: int | None) -> None:
    refusal = unrecordable(KubeRequest(method="GET", path="/", upgrade=upgrade))
    assert (refusal.code if refusal else None) == code
