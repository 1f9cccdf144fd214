"""What becomes of requests is counted, once each, and cheaply."""

from __future__ import annotations

import time
from typing import Any

import pytest
from mitmproxy.http import Response

from addons.core.decision import Decision, Verdict
from addons.core.refusal import Refusal
from addons.edge.meters import BOUNDS, Meters
from addons.metrics import Metrics
from tests.support.flows import begun

ALLOWED = Decision(verdict=Verdict.ALLOW)
DENIED = Decision(verdict=Verdict.DENY, rule="r")
REFUSED = Refusal(code=403, rule="r", why="w")
UNREADABLE = Refusal(code=400, rule="ambiguous-request", why="w")


@pytest.mark.parametrize(
    ("values", "requests", "refusals"),
    [
        ({"decision": ALLOWED}, [[["prod", "allow", ""], 1]], []),
        ({"decision": DENIED, "refusal": REFUSED}, [[["prod", "deny", "r"], 1]], [[["prod", "r", "403"], 1]]),
        (
            {"refusal": UNREADABLE},
            [[["prod", "refuse", "ambiguous-request"], 1]],
            [[["prod", "ambiguous-request", "400"], 1]],
        ),
        ({}, [], []),
    ],
)
def test_a_request_is_counted_once(values: dict[str, Any], requests: Any, refusals: Any) -> None:
    meters = Meters()
    flow, _ = begun(**values)
    step = Metrics(meters, lambda: 1.0)
    if "refusal" in values:
        flow.response = Response.make(403)
    step.request(flow)
    flow.response = flow.response or Response.make()
    step.response(flow)
    snapshot = meters.snapshot()
    assert (snapshot["requests"], snapshot["refusals"]) == (requests, refusals)
    assert bool(snapshot["upstream"]) == ("refusal" not in values)


def test_the_clusters_time_ends_with_the_head_of_its_reply() -> None:
    meters, now = Meters(), [1.0]
    step = Metrics(meters, lambda: now[0])
    for seconds in (0.0049, 0.3, 99.0):
        flow, _ = begun(decision=ALLOWED)
        step.request(flow)
        flow.response = Response.make()
        flow.response.timestamp_start = now[0] + seconds
        now[0] += 700
        step.response(flow)
    ((labels, numbers),) = meters.snapshot()["upstream"]
    assert labels == ["prod"]
    assert [index for index, count in enumerate(numbers[:-1]) if count] == [0, 6, len(BOUNDS)]
    assert numbers[-1] == pytest.approx(99.3049)


def test_nobody_outside_of_a_tunnel_has_a_connection() -> None:
    meters = Meters()
    flow, exchange = begun(refusal=REFUSED)
    exchange.connection = None
    Metrics(meters, lambda: 1.0).request(flow)
    assert meters.snapshot()["requests"] == [[["", "refuse", "r"], 1]]


@pytest.mark.alone
def test_counting_costs_next_to_nothing() -> None:
    """The numbers themselves, without mitmproxy's flows."""
    meters = Meters()

    def timed() -> float:
        began = time.perf_counter()
        for _ in range(2000):
            meters.request("prod", "allow", "")
            meters.upstream("prod", 0.02)
        return (time.perf_counter() - began) / 2000

    best = min(timed() for _ in range(5))
    assert best < 20e-6, f"{best * 1e6:.2f} µs"  # measured: below 1 µs
