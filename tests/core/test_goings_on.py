"""What goes on, by the records that are left for viewers."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.goings_on import Active, active, running


def record(session: str = "s", since: float = 5.0, **changes: Any) -> dict[str, Any]:
    told = {"audit_id": "a1", "session": session, "user": "idp#x", "connection": "prod", "intent": "INC",
            "verb": "create", "resource": "pods", "subresource": "exec", "namespace": "shop", "name": "web",
            "approval": "abc",
            **changes}  # fmt: skip
    return {"metadata": {"chaperone": told}, "timestamp_created": since, "marked": ":arrow_forward:", "comment": "c"}


def test_a_call_that_runs_and_one_that_waits() -> None:
    found = running(record())
    assert found is not None
    assert (found.what, found.since, found.waits, found.approval, found.terminal) == (
        "create pods/exec shop/web", 5.0, False, "", True,
    )  # fmt: skip
    waits = running({**record(), "marked": ":hourglass_flowing_sand:"})
    assert waits is not None
    assert (waits.waits, waits.approval, waits.terminal, waits.why) == (True, "abc", False, "c")
    odd = running(record(verb=1, name=None) | {"timestamp_created": "x"})
    assert odd is not None and (odd.what, odd.since) == ("pods/exec shop", 0.0)


@pytest.mark.parametrize("told", [{}, {"metadata": 1}, {"metadata": {"chaperone": {}}}, record(audit_id="")])
def test_a_record_that_says_nothing(told: dict[str, Any]) -> None:
    assert running(told) is None


def test_sessions_in_which_something_goes_on_come_first() -> None:
    def lately(name: str, at: float) -> Active:
        return Active(session=name, user="u", connection="c", intent="i", last="get pods", last_at=at)

    calls = [each for name, since in (("b", 2.0), ("a", 1.0), ("b", 0.5)) if (each := running(record(name, since)))]
    found = active(calls, [lately("x", 1), lately("b", 2), lately("y", 3)])
    assert [(each.session, len(each.running), each.last, each.last_at) for each in found] == [
        ("b", 2, "get pods", 2), ("a", 1, "", 1.0), ("y", 0, "get pods", 3), ("x", 0, "get pods", 1),
    ]  # fmt: skip
