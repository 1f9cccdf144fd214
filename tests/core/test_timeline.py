"""Events of calls as entries."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.timeline import entries, entry, seconds, words


def event(stage: str, second: float, audit_id: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "auditID": audit_id, "stage": stage, "verb": "create", "user": {"username": "idp#agent"},
        "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
        "stageTimestamp": f"2026-01-01T00:00:{second:09.6f}Z",
        "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "web"},
        "annotations": {"chaperone.dev/decision": "allow", "chaperone.dev/argv": '["ls","-l"]'}, **more,
    }  # fmt: skip


DONE = {"chaperone.dev/decision": "deny", "chaperone.dev/rule": "r", "chaperone.dev/cast": "exec-a.cast",
        "chaperone.dev/approver": "ann", "chaperone.dev/risk": "60"}  # fmt: skip


def test_stages_are_one_call() -> None:
    found = entries(
        [
            (0, event("RequestReceived", 0)),
            (10, event("RequestReceived", 0, "b")),
            (20, event("ResponseStarted", 1)),
            (30, event("ResponseComplete", 2.5, annotations=DONE, responseStatus={"code": 101})),
            (40, event("Panic", 0.5, "c", responseStatus={"code": "x"})),
            (50, {"verb": "get", "requestURI": "/version"}),
            (60, {"verb": "get", "requestURI": "/healthz"}),
        ]
    )
    assert [(each.id, each.offset, each.ended[17:19], each.milliseconds) for each in found] == [
        ("a", 0, "02", 2500.0), ("b", 10, "", None), ("c", 40, "00", 500.0), ("", 50, "", None), ("", 60, "", None),
    ]  # fmt: skip
    first = found[0]
    assert (first.verdict, first.rule, first.approver, first.risk, first.code) == ("deny", "r", "ann", "60", 101)
    assert (first.cast, first.stream_at) == ("exec-a.cast", seconds("2026-01-01T00:00:01Z"))
    assert words(found[1]) == ["create pods/exec shop/web -- ls -l", "", "allow", "idp#agent"]
    assert words(found[3])[0] == "get /version"


def test_a_stream_that_goes_on_has_a_recording() -> None:
    assert entry(0, [event("ResponseStarted", 1)]).cast == "exec-a.cast"
    assert entry(0, [event("RequestReceived", 1)]).cast == ""
    watch = event("ResponseStarted", 1, objectRef={"resource": "deployments", "apiGroup": "apps"})
    assert (entry(0, [watch]).cast, entry(0, [watch]).what) == ("", "deployments.apps")
    attach = event("ResponseStarted", 1, objectRef={"resource": "pods", "subresource": "attach", "apiGroup": "x"})
    assert (entry(0, [attach]).cast, entry(0, [attach]).what) == ("exec-a.cast", "pods.x/attach")


@pytest.mark.parametrize(("argv", "expected"), [('["a"]', ("a",)), ('["torn', ('["torn',)), ("{}", ()), ("", ())])
def test_what_was_run(argv: str, expected: tuple[str, ...]) -> None:
    assert entry(0, [event("RequestReceived", 0, annotations={"chaperone.dev/argv": argv})]).argv == expected


@pytest.mark.parametrize("time", ["", "x", "0001-01-01T00:00:00+23:59"])
def test_what_is_no_time(time: str) -> None:
    assert seconds(time) == 0
