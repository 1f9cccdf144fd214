"""The list of a viewer: each exchange once, the latest word on it, within bounds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from mitmproxy.addons.view import View
from mitmproxy.flow import Flow
from mitmproxy.http import HTTPFlow
from mitmproxy.io import tnetstring
from mitmproxy.test import tflow

from addons.edge.flow_file import FlowEncoder
from addons.edge.screen import Screen


class Shown:
    """A screen over mitmproxy's own view, which counts what its pages are told."""

    def __init__(self, **limits: int) -> None:
        self.view = View()
        self.told: list[str] = []
        self.view.sig_view_add.connect(self._added)
        self.view.sig_view_update.connect(self._updated)
        self.screen = Screen(self.view, **limits)

    def _added(self, flow: Flow) -> None:
        self.told.append(f"add {flow.comment}")

    def _updated(self, flow: Flow) -> None:
        self.told.append(f"update {flow.comment}")

    @property
    def comments(self) -> Sequence[str]:
        return [flow.comment for flow in self.view]


def record(flow: HTTPFlow, comment: str, body: bytes = b"") -> bytes:
    return FlowEncoder().encode(flow, None, body, {}, comment, "")


def test_one_exchange_is_one_flow_whatever_becomes_of_it() -> None:
    shown, flow = Shown(), tflow.tflow()
    shown.screen.put(record(flow, "waits"), over=False)
    flow = tflow.twebsocketflow()
    flow.id = shown.view[0].id
    shown.screen.put(record(flow, "runs"), over=False)
    assert shown.view[0].websocket is not None
    shown.screen.put(record(flow, "is over"), over=True)
    assert shown.told == ["add waits", "update runs", "update is over"]
    assert shown.comments == ["is over"]


def test_the_final_record_is_the_last_word() -> None:
    shown, flow = Shown(), tflow.tflow(resp=True)
    shown.screen.put(record(flow, "is over"), over=True)
    shown.screen.put(record(flow, "came late"), over=False)
    shown.screen.left(flow.id, 0)
    shown.screen.settle(1000)
    assert shown.comments == ["is over"]


@pytest.mark.parametrize(("comes", "told"), [(True, "is over"), (False, "ended without a record")])
def test_an_end_without_a_record_is_said(comes: bool, told: str) -> None:
    shown, flow = Shown(), tflow.tflow()
    shown.screen.put(record(flow, "waits"), over=False)
    shown.screen.left(flow.id, 0)
    shown.screen.settle(1)
    assert shown.comments == ["waits"]
    if comes:
        shown.screen.put(record(flow, "is over"), over=True)
    shown.screen.settle(100)
    [comment] = shown.comments
    assert comment.startswith(told)


def test_the_oldest_go_first() -> None:
    shown = Shown(max_flows=3)
    flows = [tflow.tflow(resp=True) for _ in range(5)]
    for number, flow in enumerate(flows):
        shown.screen.put(record(flow, str(number)), over=number != 0)
    assert shown.comments == ["2", "3", "4"]
    shown.screen.left(flows[0].id, 0)
    shown.screen.settle(100)


def test_memory_is_bounded_and_updates_count_once() -> None:
    shown, flow = Shown(max_bytes=50_000), tflow.tflow(resp=True)
    for size in range(100):
        shown.screen.put(record(flow, "grows", b"x" * size), over=False)
    assert shown.comments == ["grows"]
    for number in range(10):
        shown.screen.put(record(tflow.tflow(resp=True), str(number), b"x" * 10_000), over=True)
    assert shown.comments == ["6", "7", "8", "9"]


def test_what_somebody_cleared_in_the_viewer_may_come_back() -> None:
    shown, flow = Shown(), tflow.tflow()
    shown.screen.put(record(flow, "waits"), over=False)
    shown.view.clear()
    shown.screen.put(record(flow, "is over"), over=True)
    assert shown.comments == ["is over"]


@pytest.mark.parametrize("junk", [b"", b"junk", tnetstring.dumps({"version": 1}), tnetstring.dumps({"type": "http"})])
def test_junk_is_passed_over(junk: bytes) -> None:
    shown = Shown()
    shown.screen.put(junk, over=True)
    assert shown.comments == []
