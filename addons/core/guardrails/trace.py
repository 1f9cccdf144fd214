"""Why a request is judged as it is: each rule's way through structure and condition, and who decides.

For people, after the fact: it evaluates every clause of every candidate, which judging never does. The decision itself
is asked from the rule set, so what is explained is what would happen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from addons.core.decision import Decision, Match, Thresholds
from addons.core.guardrails.cel import InvalidExpression, Unevaluable, activation, compile_condition, value_of
from addons.core.guardrails.clauses import Clause, take_apart
from addons.core.guardrails.facts import Facts, variables
from addons.core.guardrails.guardrail import Guardrail
from addons.core.guardrails.ruleset import GuardrailSet
from addons.core.profile import Profile

_STRUCTURE = frozenset({"excludeResources", "verbs", "namespaces", "names", "connections"})
_MAX_SHOWN = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class ClauseTrace:
    """One part of a condition. `value` is None when it has none: then `error` says why.

    `decides`: without it the whole could have come out otherwise. `operands` are both sides of a comparison, where
    they say more than they do themselves.
    """

    text: str
    operator: str
    value: bool | None
    error: str
    decides: bool
    parts: tuple[ClauseTrace, ...]
    operands: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTrace:
    """One rule. `misses` are the fields of its `match` that are about other requests; without any it is a candidate.

    `holds` is None when that cannot be said, because of `error`; `match` is what it has to say if it does.
    """

    rule: Guardrail
    misses: tuple[str, ...] = ()
    holds: bool | None = None
    error: str = ""
    clauses: ClauseTrace | None = None
    match: Match | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """`candidates` in the order in which they decide; `near` are about this resource otherwise; `others` are not."""

    candidates: tuple[RuleTrace, ...]
    near: tuple[RuleTrace, ...]
    others: int
    decision: Decision


def trace(rules: GuardrailSet, facts: Facts, thresholds: Thresholds, profile: Profile = Profile.STANDARD) -> Trace:
    """Every rule of the set, and what comes of it."""
    request, connection = facts.request, facts.connection
    candidates = rules.candidates(request, connection)
    decision = rules.judge(candidates, facts, thresholds, profile)
    order = {match.rule: place for place, match in enumerate(decision.matches)}
    traced = [_candidate(rule, facts, decision.matches) for rule in candidates]
    traced.sort(key=lambda each: (order.get(each.rule.name, len(order)), each.rule.name))
    rest = [
        RuleTrace(rule=rule, misses=rule.matcher.misses(request, connection))
        for name, rule in rules.rules.items()
        if name not in {candidate.name for candidate in candidates}
    ]
    near = tuple(each for each in rest if _STRUCTURE.issuperset(each.misses))
    return Trace(candidates=tuple(traced), near=near, others=len(rest) - len(near), decision=decision)


def _candidate(rule: Guardrail, facts: Facts, matches: Sequence[Match]) -> RuleTrace:
    match = next((match for match in matches if match.rule == rule.name), None)
    holds: bool | None = None
    error, clauses = "", None
    try:
        bound = activation(variables(facts, rule.references))
        if rule.condition is not None:
            clauses = _clauses(take_apart(rule.condition.expression), bound)
        holds = rule.holds(facts, bound)
    except Unevaluable as fault:
        error = str(fault)
    named_otherwise = holds is False and (clauses is None or clauses.value is True)
    return RuleTrace(
        rule=rule,
        misses=("names",) if named_otherwise else (),
        holds=holds,
        error=error,
        clauses=clauses,
        match=match,
    )


def _clauses(clause: Clause, bound: Any) -> ClauseTrace:
    parts = tuple(_clauses(part, bound) for part in clause.parts)
    value: bool | None = None
    error = ""
    try:
        value = compile_condition(clause.text).holds(bound)
    except (Unevaluable, InvalidExpression) as fault:
        error = str(fault)
    return ClauseTrace(
        text=" ".join(clause.text.split()),
        operator=clause.operator,
        value=value,
        error=error,
        decides=True,
        parts=_deciding(clause.operator, value, parts),
        operands=_operands(clause.operands, bound),
    )


def _deciding(operator: str, value: bool | None, parts: tuple[ClauseTrace, ...]) -> tuple[ClauseTrace, ...]:
    """A false part decides a conjunction, a true one a disjunction, an error both if nothing else does."""
    if operator == "?:":
        chosen = {0, 1 if parts[0].value else 2} if parts[0].value is not None else {0}
        return tuple(replace(part, decides=place in chosen) for place, part in enumerate(parts))
    return tuple(replace(part, decides=part.value is value) for part in parts) if operator in ("&&", "||") else parts


def _operands(operands: Sequence[str], bound: Any) -> dict[str, str]:
    """The sides that are no literals, with their values."""
    shown = {}
    for operand in operands:
        try:
            text = _shown(value_of(operand, bound))
        except (Unevaluable, InvalidExpression):
            continue
        if text != operand.replace("'", '"'):
            shown[" ".join(operand.split())] = text
    return shown


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
