"""What a rule says somebody should be told of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.alert import ANNOTATION, MAX_REASON, Fired, annotation, fired, key
from addons.core.decision import Alert, Match, Severity, Verdict
from addons.core.kube_request import KubeRequest

REQUEST = KubeRequest(
    method="GET", path="/", is_resource_request=True, verb="get", namespace="shop", resource="secrets", name="key"
)


def match(rule: str = "r", severity: Severity = "high", **more: Any) -> Match:
    alert = Alert(severity=severity, per=more.pop("per", ()))
    return Match(rule=rule, verdict=Verdict.ALLOW, risk=0, reason=more.pop("reason", "why"), **{"alert": alert, **more})


def event(text: Any) -> dict[str, Any]:
    return {"annotations": {ANNOTATION: text}}


def test_what_is_written_is_read_again() -> None:
    matches = [match(), match("other", "critical"), match("silent", alert=None), match("trial", shadow=True)]
    assert fired(event(annotation(matches, "s1", REQUEST))) == (
        Fired(rule="r", severity="high", key=key("s1", "r", (), REQUEST), reason="why"),
        Fired(rule="other", severity="critical", key=key("s1", "other", (), REQUEST), reason="why"),
    )


@given(st.text(alphabet=st.characters(codec=None), max_size=20))
def test_any_reason(reason: str) -> None:
    expected = reason.encode("utf-8", "replace").decode()
    assert fired(event(annotation([match(reason=reason)], "s", REQUEST)))[0].reason == expected


def test_a_long_reason_is_cut() -> None:
    assert len(fired(event(annotation([match(reason="x" * 5000)], "s", REQUEST)))[0].reason) == MAX_REASON


def test_nothing_to_tell() -> None:
    assert annotation([], "s", REQUEST) == annotation([match(alert=None)], "s", None) == ""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("s", "r", ()), ("s", "r", ()), True),
        (("s", "r", ()), ("t", "r", ()), False),
        (("s", "r", ()), ("s", "q", ()), False),
        (("s", "r", ("namespace",)), ("s", "r", ()), False),
        (("s", "r", ("namespace",)), ("s", "r", ("name",)), False),
    ],
)
def test_keys(one: tuple[str, str, tuple[str, ...]], other: tuple[str, str, tuple[str, ...]], same: bool) -> None:
    first, second = (key(session, rule, per, REQUEST) for session, rule, per in (one, other))
    assert (first == second) is same
    assert len(first) == 32


def test_what_an_alert_is_once_for() -> None:
    there = replace(REQUEST, namespace="other")
    assert key("s", "r", ("namespace",), REQUEST) != key("s", "r", ("namespace",), there)
    assert key("s", "r", ("name",), REQUEST) == key("s", "r", ("name",), there)
    assert key("s", "r", ("name",), None) == key("s", "r", ("name",), replace(REQUEST, name=""))


@pytest.mark.parametrize(
    "text",
    [
        None, 5, "", "no JSON", "{}", "[5]", '[{"rule":"r"}]', "[" * 100_000,
        '[{"rule":"r","severity":"dire","key":"k","reason":""}]',
        '[{"rule":1,"severity":"high","key":"k","reason":""}]',
    ],
)  # fmt: skip
def test_what_is_no_alert(text: Any) -> None:
    assert fired(event(text)) == ()


def test_events_without_annotations() -> None:
    assert fired({}) == fired({"annotations": []}) == ()
