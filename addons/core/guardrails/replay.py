"""What other rules make of a recorded request: the same facts, asked again, without a cluster and without a secret.

Two things a record cannot give back, and both are told apart. A fact that no rule read then, and nobody fetched: the
answer of a rule that reads it is unknown. And a value that is masked: a rule whose answer would be another if another
value stood there depends on it. That is found out by putting others there: each text in the rule's condition, none,
and something that is no text at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import orjson

from addons.core.decision import Decision, Thresholds, Verdict
from addons.core.guardrails.cel import Unevaluable, activation, value_of
from addons.core.guardrails.clauses import texts
from addons.core.guardrails.facts import Facts, unasked, variables
from addons.core.guardrails.guardrail import Guardrail
from addons.core.guardrails.record import Record
from addons.core.guardrails.ruleset import GuardrailSet
from addons.core.masking.placeholder import ENCODED, PLAIN, contains_marker
from addons.core.profile import Profile

NO_TEXT = True
"""Stands for a value of another type: what compares it or searches it fails, or gives another answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What other rules decide. With `missing` facts the decision is unknown; `masked` names rules that depend on one.

    A denial by rules that miss nothing is known whatever the others say: then `missing` is empty.
    """

    record: Record
    decision: Decision
    missing: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """True if the verdict is known and another one."""
        return not self.missing and self.decision.verdict is not self.record.decision.verdict

    @property
    def newly_allowed(self) -> bool:
        """True if it passes by itself now, and did not."""
        return self.changed and self.decision.verdict <= Verdict.WARN < self.record.decision.verdict

    @property
    def newly_denied(self) -> bool:
        """True if it is denied now, and was not."""
        return self.changed and self.decision.verdict is Verdict.DENY


def replay(record: Record, rules: GuardrailSet, stance: tuple[Profile, Thresholds] | None = None) -> Replayed:
    """The decision of these rules. `stance` is the connection's, where it is not that of the record."""
    judged = record.judged
    profile, thresholds = stance or (judged.profile, judged.thresholds)
    request, connection = judged.facts.request, judged.facts.connection
    facts = replace(judged.facts, frozen=rules.frozen(request, connection, judged.facts.now))
    candidates = rules.candidates(request, connection)
    objects = orjson.dumps([facts.object, facts.old_object])
    reads_masked = candidates if contains_marker(objects) else ()
    masked = tuple(rule.name for rule in reads_masked if _depends_on_a_masked_value(rule, facts))
    missing = {rule.name: _missing(rule, record, facts) for rule in candidates}
    certain = [rule for rule in candidates if not missing[rule.name]]
    decision = rules.judge(certain, facts, thresholds, profile)
    if decision.verdict is Verdict.DENY or len(certain) == len(candidates):
        return Replayed(record=record, decision=decision, masked=masked)
    names = sorted({fact for lost in missing.values() for fact in lost})
    return Replayed(record=record, decision=decision, missing=tuple(names), masked=masked)


def _missing(rule: Guardrail, record: Record, facts: Facts) -> tuple[str, ...]:
    """The facts the rule reads and the record does not have, though there may have been one."""
    request, needs = facts.request, record.judged.needs
    reads = {
        "object": rule.reads_object(request) and facts.object is None,
        "old_object": rule.reads_old_object(request) and facts.old_object is None,
    }
    asked = {"object": needs.object, "old_object": needs.old_object}
    lost = [name for name, read in reads.items() if read and (not asked[name] or name in record.left_out)]
    return (*lost, *unasked(facts, rule.references))


def _depends_on_a_masked_value(rule: Guardrail, facts: Facts) -> bool:
    if rule.condition is None or not (rule.reads_object(facts.request) or rule.reads_old_object(facts.request)):
        return False
    answer = _answer(rule, facts)
    return any(_answer(rule, _with(facts, other)) != answer for other in _others(rule.condition.expression))


def _answer(rule: Guardrail, facts: Facts) -> bool | None:
    try:
        return rule.holds(facts, activation(variables(facts, rule.references)))
    except Unevaluable:
        return None


def _with(facts: Facts, other: Any) -> Facts:
    return replace(facts, object=_replaced(facts.object, other), old_object=_replaced(facts.old_object, other))


@lru_cache(maxsize=1024)
def _others(expression: str) -> tuple[Any, ...]:
    """What may stand in place of a masked value. Literals are decoded by the language itself."""
    nothing = activation({})
    return (NO_TEXT, "", *(value_of(text, nothing) for text in texts(expression)))


def _replaced(value: Any, other: Any) -> Any:
    """A copy with `other` in place of every placeholder; within a longer text, only another text can stand."""
    if isinstance(value, Mapping):
        return {key: _replaced(item, other) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, other) for item in value]
    if not isinstance(value, str):
        return value
    if PLAIN.fullmatch(value) or ENCODED.fullmatch(value):
        return other
    text = other if isinstance(other, str) else ""
    return PLAIN.sub(lambda _: text, ENCODED.sub(lambda _: text, value))
