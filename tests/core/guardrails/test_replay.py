"""A recorded request gets the answer it would have got; what the record cannot tell is told apart."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.decision import Thresholds, Verdict
from addons.core.guardrails import Judged, Needs
from addons.core.guardrails.record import Record
from addons.core.guardrails.replay import Replayed, replay
from addons.core.profile import THRESHOLDS, Profile
from tests.core.guardrails.support import compiled, facts, rule

PLAIN = "masked:v1:0123456789abcdef"
ENCODED = "bWFza2VkOnYxOjAxMjM0NTY3ODlhYmNkZWY="
POST, PUT = "POST /api/v1/namespaces/a/pods", "PUT /api/v1/namespaces/a/pods/p"
NONE = Needs()


def recorded(
    *rules: str, request: str = POST, needs: Needs = NONE, left_out: tuple[str, ...] = (), **given: Any
) -> Record:
    """The record of what `rules` decided, under the standard profile."""
    known = facts(request, **given)
    judged = Judged(facts=known, needs=needs, thresholds=Thresholds(), profile=Profile.STANDARD, rules="then")
    guardrails = compiled(*rules)[0]
    decision = guardrails.judge(guardrails.candidates(known.request, "prod"), known, Thresholds())
    return Record(id="id", judged=judged, decision=decision, left_out=left_out)


def asked(record: Record, *rules: str, **stance: Any) -> Replayed:
    return replay(record, compiled(*rules)[0], **stance)


def when(condition: str, risk: int = 95) -> str:
    return rule(body=f"when: >-\n    {condition}\n  risk: {risk}")


def test_the_same_rules_decide_the_same() -> None:
    replayed = asked(recorded(rule(), object={}), rule())
    assert replayed.decision == replayed.record.decision
    assert not (replayed.changed or replayed.newly_allowed or replayed.newly_denied)


@pytest.mark.parametrize(
    ("before", "after", "changed", "allowed", "denied"),
    [
        (10, 95, True, False, True),
        (60, 95, True, False, True),
        (95, 10, True, True, False),
        (60, 40, True, True, False),
        (95, 60, True, False, False),
        (10, 60, True, False, False),
        (60, 70, False, False, False),
    ],
)
def test_what_counts_as_a_change(before: int, after: int, changed: bool, allowed: bool, denied: bool) -> None:
    replayed = asked(recorded(rule(body=f"risk: {before}"), object={}), rule(body=f"risk: {after}"))
    assert (replayed.changed, replayed.newly_allowed, replayed.newly_denied) == (changed, allowed, denied)


def test_another_stance_of_the_connection() -> None:
    record = recorded(rule(body="risk: 40"), object={})
    strict = Profile.STRICT, THRESHOLDS[Profile.STRICT]
    assert asked(record, rule(body="risk: 40"), stance=strict).decision.verdict is Verdict.REQUIRE_APPROVAL


def test_freeze_windows_are_those_of_the_rules() -> None:
    window = """apiVersion: chaperone/v1
kind: FreezeWindow
metadata: {name: always}
spec:
  description: d
  timeZone: UTC
  weekly: [{days: [Mon, Tue, Wed, Thu, Fri, Sat, Sun]}]
"""
    record = recorded(rule(body="risk: 1"), object={}, frozen=("long ago",))
    assert asked(record, when('"always" in frozen'), window).newly_denied
    assert not asked(record, when('"long ago" in frozen'), window).newly_denied


@pytest.mark.parametrize(
    ("given", "condition", "missing"),
    [
        pytest.param({}, "object.bad", ("object",), id="nobody read the object"),
        pytest.param({"needs": Needs(object=True)}, "object.bad", (), id="there was none"),
        pytest.param({"needs": Needs(object=True), "left_out": ("object",)}, "object.bad", ("object",), id="left out"),
        pytest.param({"object": {}}, "oldObject == null", ("old_object",), id="nobody read what was there"),
        pytest.param({"needs": Needs(old_object=True)}, "oldObject == null", (), id="there was nothing"),
        pytest.param({}, "rate.requests > 5", ("rate",), id="nobody counted"),
        pytest.param({}, "request.namespace == 'b'", (), id="the request is always known"),
        pytest.param({"request": "DELETE /api/v1/namespaces/a/pods"}, "affected > 1", ("affected",), id="affected"),
        pytest.param({"request": "DELETE /api/v1/namespaces/a/pods", "affected": 1}, "affected > 1", (), id="counted"),
    ],
)
def test_what_nobody_asked_for_is_unknown(given: dict[str, Any], condition: str, missing: tuple[str, ...]) -> None:
    record = recorded(**{"request": PUT, **given})
    replayed = asked(record, when(condition, risk=95))
    assert replayed.missing == missing
    assert not (missing and replayed.changed)


def test_a_denial_by_rules_that_miss_nothing_is_known() -> None:
    replayed = asked(
        recorded(request=PUT), rule("deny", body="risk: 99"), when("object.bad").replace("name: r", "name: s")
    )
    assert (replayed.missing, replayed.newly_denied, replayed.decision.rule) == ((), True, "deny")


SECRET = {
    "kind": "Secret",
    "data": {"a": ENCODED},
    "stringData": {"b": PLAIN},
    "note": f"x {PLAIN} y",
    "list": [PLAIN, 1],
}


@pytest.mark.parametrize(
    ("condition", "depends"),
    [
        ('object.stringData.b == "hunter2"', True),
        ("object.stringData.b.startsWith('AKIA')", True),
        ('object.stringData.b.matches("^AKIA")', True),
        ("object.stringData.b in ['a', 'b']", True),
        ("size(object.data.a) > 5", True),
        ('object.note.contains("password")', True),
        ("object.list.exists(x, x == 'z')", True),
        ('object.data.a != ""', True),
        ("has(object.data.a)", False),
        ("size(object.data) == 1", False),
        ('object.kind == "Secret"', False),
        ('object.kind == "Secret" || object.data.a == "x"', False),
        ('object.kind == "Pod" && object.data.a == "x"', False),
        ("request.namespace == 'a'", False),
        ("object.zzz", False),
    ],
)
def test_which_rules_depend_on_a_masked_value(condition: str, depends: bool) -> None:
    replayed = asked(recorded(object=SECRET, request=PUT), when(condition))
    assert replayed.masked == (("r",) if depends else ())


def test_a_masked_value_of_what_was_there_before_counts_too() -> None:
    record = recorded(request=PUT, needs=Needs(old_object=True), object={}, old_object=SECRET)
    assert asked(record, when('oldObject.stringData.b == "x"')).masked == ("r",)


def test_without_a_condition_or_a_masked_value_nothing_depends_on_one() -> None:
    assert asked(recorded(object=SECRET), rule()).masked == ()
    assert asked(recorded(object={"data": {"a": "x"}}), when('object.data.a == "y"')).masked == ()
