"""A trace says what happens, clause by clause, and agrees with the judgement."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.decision import Thresholds, Verdict
from addons.core.guardrails.trace import ClauseTrace, Trace, trace
from tests.core.guardrails.support import compiled, facts, rule

NOW = "timestamp('2026-01-01T00:00:00Z')"


def traced(*rules: str, request: str = "POST /api/v1/namespaces/a/pods", **given: Any) -> Trace:
    return trace(compiled(*rules)[0], facts(request, **given), Thresholds())


def clauses(when: str, **content: Any) -> ClauseTrace:
    body = f"when: >-\n    {when}\n  risk: 60"
    found = traced(rule(body=body), object=content).candidates[0].clauses
    assert found is not None
    return found


def marked(clause: ClauseTrace) -> list[str]:
    """The leaves, with what they give; a star for those that decide."""
    if not clause.parts:
        return [f"{'*' if clause.decides else ''}{clause.text}={clause.value}"]
    return [text if clause.decides else text.lstrip("*") for part in clause.parts for text in marked(part)]


@pytest.mark.parametrize(
    ("when", "content", "value", "shown"),
    [
        ("object.a && object.b", {"a": True, "b": True}, True, ["*object.a=True", "*object.b=True"]),
        ("object.a && object.b", {"a": True, "b": False}, False, ["object.a=True", "*object.b=False"]),
        ("object.a || object.b", {"a": True, "b": False}, True, ["*object.a=True", "object.b=False"]),
        ("object.a || object.b", {"a": False, "b": False}, False, ["*object.a=False", "*object.b=False"]),
        ("object.a && object.b", {"a": True}, None, ["object.a=True", "*object.b=None"]),
        ("object.a && object.b", {"a": False}, False, ["*object.a=False", "object.b=None"]),
        ("!(object.a || !object.b)", {"a": False, "b": True}, True, ["*object.a=False", "*!object.b=False"]),
        (
            "object.a ? object.b : object.n == 3", {"a": True, "b": True, "n": 1}, True,
            ["*object.a=True", "*object.b=True", "object.n == 3=False"],
        ),
        (
            "object.a ? object.b : object.n == 3", {"a": False, "b": True, "n": 3}, True,
            ["*object.a=False", "object.b=True", "*object.n == 3=True"],
        ),
        (
            "object.z ? object.b : object.n == 3", {"b": True, "n": 3}, None,
            ["*object.z=None", "object.b=True", "object.n == 3=True"],
        ),
        (
            "(object.a && object.b) || object.n == 3", {"a": True, "b": False, "n": 3}, True,
            ["object.a=True", "object.b=False", "*object.n == 3=True"],
        ),
    ],
)  # fmt: skip
def test_which_clause_decides(when: str, content: dict[str, Any], value: bool | None, shown: list[str]) -> None:
    clause = clauses(when, **content)
    assert (clause.value, marked(clause)) == (value, shown)


def test_an_error_says_why_and_cannot_be_evaluated() -> None:
    found = traced(rule(body="when: object.a\n  risk: 60"), object={})
    [candidate] = found.candidates
    assert (candidate.holds, found.decision.verdict) == (None, Verdict.DENY)
    assert "Key not found" in candidate.error
    assert candidate.clauses is not None and "Key not found" in candidate.clauses.error


def test_facts_that_cannot_be_bound_leave_no_clauses() -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"a": deep}
    [candidate] = traced(rule(body="when: object.a\n  risk: 60"), object=deep).candidates
    assert (candidate.holds, candidate.clauses) == (None, None)
    assert "nested" in candidate.error


@pytest.mark.parametrize(
    ("when", "operands"),
    [
        ('object.n == 3', {"object.n": "3"}),
        ("'x' == request.namespace", {"request.namespace": '"a"'}),
        (f"now > {NOW}", {"now": "2026-01-01T00:00:00+00:00", NOW: "2026-01-01T00:00:00+00:00"}),
        ("object.s == object.?zzz", {"object.s": '"' + "s" * 119 + "…"}),
        ("object.m == {1: 2}", {"object.m": "{}"}),
    ],
)  # fmt: skip
def test_both_sides_of_a_comparison_are_shown(when: str, operands: dict[str, str]) -> None:
    document = rule(body=f"when: >-\n    {when} || object.?a.orValue(false)\n  risk: 60")
    found = traced(document, object={"n": 3, "s": "s" * 200, "m": {}}, now=1_767_225_600.0).candidates[0].clauses
    assert found is not None
    assert found.parts[0].operands == operands


def test_order_places_and_those_that_are_about_something_else() -> None:
    found = traced(
        rule("weak", body="risk: 35"),
        rule("strong", body="risk: 80"),
        rule("silent", body="when: object.?bad.orValue(false)\n  risk: 95"),
        rule("watching", body="risk: 99\n  mode: shadow"),
        rule("verb", match="apiGroups: [''], resources: [pods], verbs: [delete, update, patch]"),
        rule("namespace", match="apiGroups: [''], resources: [pods], verbs: ['*'], namespaces: [b]"),
        rule("elsewhere", match="apiGroups: [''], resources: [secrets], verbs: ['*']"),
        object={"metadata": {"name": "p"}},
    )  # fmt: skip
    assert [each.rule.name for each in found.candidates] == ["strong", "weak", "watching", "silent"]
    assert [each.holds for each in found.candidates] == [True, True, True, False]
    assert {each.rule.name: each.misses for each in found.near} == {"verb": ("verbs",), "namespace": ("namespaces",)}
    assert (found.others, found.decision.rule) == (1, "strong")


def test_a_name_that_is_only_in_the_object() -> None:
    named = rule(match="apiGroups: [''], resources: [pods], verbs: ['*'], names: [bad]")
    [candidate] = traced(named, object={"metadata": {"name": "good"}}).candidates
    assert (candidate.holds, candidate.misses) == (False, ("names",))
    [candidate] = traced(named, object={"metadata": {"name": "bad"}}).candidates
    assert (candidate.holds, candidate.misses) == (True, ())
