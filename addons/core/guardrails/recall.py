"""How well a set of guardrails answers a catalogue: what of the rules' examples it catches or takes amiss.

Every example is judged by the whole set under the standard thresholds, as a request would be: an example of one rule
may be caught by another, and what is harmless for its own rule may be taken amiss by another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from addons.core.decision import Decision, Match, Thresholds, Verdict
from addons.core.documents import Document, validate
from addons.core.guardrails.catalogue import Answer, Coverage
from addons.core.guardrails.facts import Facts
from addons.core.guardrails.guardrail import KIND as GUARDRAIL
from addons.core.guardrails.models import GuardrailSpec
from addons.core.guardrails.ruleset import GuardrailSet
from addons.core.guardrails.selftest import facts_of
from addons.core.session_events import each_of

_VERDICTS: Mapping[Answer, Verdict] = {
    "log": Verdict.ALLOW,
    "mask": Verdict.ALLOW,
    "warn": Verdict.WARN,
    "approve": Verdict.REQUIRE_APPROVAL,
    "deny": Verdict.DENY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What rules are proven by: dangers with the ids their rule covers, and ordinary work."""

    dangers: Sequence[tuple[frozenset[str], Facts]]
    harmless: Sequence[Facts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """How one entry fares. `strict` is true if some danger meets the strictest answer its entry names."""

    coverage: Coverage
    dangers: int
    caught: int
    strict: bool
    harmless: int
    stopped: int
    """Of ordinary work, what a rule of this entry asks a person about, or denies."""
    warned: int


def examples_of(documents: Iterable[Document]) -> Examples:
    """The tests of the guardrails among valid documents."""
    dangers: list[tuple[frozenset[str], Facts]] = []
    harmless: list[Facts] = []
    for document in documents:
        spec, _ = validate(document, GuardrailSpec) if document.kind == GUARDRAIL else (None, [])
        if spec is None:
            continue
        for example in spec.tests:
            if example.expect == "match":
                dangers.append((frozenset(spec.covers), facts_of(example, spec.match.each)))
            elif example.harmless:
                harmless.append(facts_of(example, spec.match.each))
    return Examples(dangers=dangers, harmless=harmless)


def recall(rules: GuardrailSet, covered: Iterable[Coverage], examples: Examples) -> list[Recall]:
    """One row for each entry that rules cover, in order."""
    dangers = [(ids, judged_example(rules, facts)) for ids, facts in examples.dangers]
    harmless = [judged_example(rules, facts) for facts in examples.harmless]
    return [_recall(item, dangers, harmless) for item in covered if item.rules]


def judged_example(rules: GuardrailSet, facts: Facts) -> Decision:
    """What the whole set makes of an example under the standard thresholds. What it does not say is little and calm."""
    known = replace(facts, affected=1 if facts.affected is None else facts.affected)
    each = "request" if facts.event is None else each_of(facts.event)
    return rules.judge(rules.candidates(known.request, known.connection, each), known, Thresholds())


def _recall(item: Coverage, dangers: Sequence[tuple[frozenset[str], Decision]], harmless: Sequence[Decision]) -> Recall:
    answers = sorted(_VERDICTS[answer] for answer in item.entry.default)
    own = [_strictest(decision, item.entry.id) for ids, decision in dangers if item.entry.id in ids]
    amiss = [_strictest(decision, item.entry.id) for decision in harmless]
    return Recall(
        coverage=item,
        dangers=len(own),
        caught=sum(verdict is not None and verdict >= answers[0] for verdict in own),
        strict=any(verdict is not None and verdict >= answers[-1] for verdict in own),
        harmless=len(amiss),
        stopped=sum(verdict is not None and verdict >= Verdict.REQUIRE_APPROVAL for verdict in amiss),
        warned=sum(verdict is Verdict.WARN for verdict in amiss),
    )


def _strictest(decision: Decision, name: str) -> Verdict | None:
    """The strictest verdict of the matches that cover an entry; None when none does."""
    return max((match.verdict for match in decision.matches if _answers(match, name)), default=None)


def _answers(match: Match, name: str) -> bool:
    return not match.shadow and not match.unevaluable and name in match.covers
