"""The compiled guardrails and their judgement: `candidates → needs → judge`.

Structure first, because it is a dictionary look-up; conditions only for what structure leaves; objects only when a
condition reads them. Strictest wins, so the order of files and rules decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType

from addons.core.decision import Decision, Match, Thresholds, Verdict
from addons.core.documents import KEPT, Document
from addons.core.guardrails.cel import Unevaluable, activation
from addons.core.guardrails.facts import Facts, Needs, variables
from addons.core.guardrails.freeze import KIND as FREEZE_WINDOW
from addons.core.guardrails.freeze import FreezeWindow, compile_windows, frozen
from addons.core.guardrails.guardrail import Guardrail, compile_guardrail
from addons.core.guardrails.matching import effective_verb, reaches_many
from addons.core.guardrails.outcome import outcome
from addons.core.guardrails.selftest import failures
from addons.core.kube_request import KubeRequest
from addons.core.problem import Problem
from addons.core.profile import Profile
from addons.core.session_events import Event, each_of

_NOTHING = Needs()
_CACHE_LIMIT = 8192

_Shape = tuple[str, str, str, str, str, str]


class GuardrailSet:
    """Every rule that was loaded. Immutable but for a cache: a reload makes a new set and swaps it."""

    def __init__(self, rules: Iterable[Guardrail] = (), windows: Iterable[FreezeWindow] = (), digest: str = "") -> None:
        self.digest = digest
        """Of the documents the set was made of: equal for equal documents, whatever files they are in."""
        self.rules: Mapping[str, Guardrail] = MappingProxyType({rule.name: rule for rule in rules})
        self.windows = tuple(windows)
        self.counts = any("rate" in rule.references for rule in self.rules.values())
        """True if requests must be counted, all of them, because some rule reads `rate`."""
        self._shapes: dict[_Shape, tuple[tuple[Guardrail, ...], bool]] = {}

    def candidates(self, request: KubeRequest, connection: str, each: str = "request") -> tuple[Guardrail, ...]:
        """The rules whose `match` describes the request, or what happens in the session it opens.

        Cached by shape: a known shape costs a dictionary look-up.
        """
        key = (each, request.api_group, request.resource, request.subresource, effective_verb(request), connection)
        rules, narrow = self._shapes.get(key) or self._shape(key)
        return tuple(rule for rule in rules if rule.matcher.within(request)) if narrow else rules

    def needs(self, candidates: Sequence[Guardrail], request: KubeRequest) -> Needs:
        """What the candidates' conditions read that the request alone does not tell."""
        if not candidates:
            return _NOTHING
        references = frozenset().union(*(rule.references for rule in candidates))
        return Needs(
            object=any(rule.reads_object(request) for rule in candidates),
            old_object=any(rule.reads_old_object(request) for rule in candidates),
            affected="affected" in references and reaches_many(request),
            frozen="frozen" in references,
        )

    def judge_events(
        self, events: Iterable[Event], facts: Facts, thresholds: Thresholds, profile: Profile
    ) -> list[tuple[Decision, Event]]:
        """The strictest decision about what happens in a session, and what it is about; nothing when no rule matches.

        If a human has to be asked, about all of it: what came in one piece is passed on in one piece.
        """
        found: list[tuple[Decision, Event]] = []
        for event in events:
            candidates = self.candidates(facts.request, facts.connection, each_of(event))
            if candidates:
                decision = self.judge(candidates, replace(facts, event=event), thresholds, profile)
                found += [(decision, event)] if decision.matches else []
        worst = max((decision.verdict for decision, _ in found), default=Verdict.ALLOW)
        strictest = [each for each in found if each[0].verdict is worst]
        return strictest if worst is Verdict.REQUIRE_APPROVAL else strictest[:1]

    def frozen(self, request: KubeRequest, connection: str, now: float) -> tuple[str, ...]:
        """The names of the freeze windows a request falls into at `now` (Unix seconds)."""
        return frozen(self.windows, request, connection, now)

    def judge(
        self,
        candidates: Sequence[Guardrail],
        facts: Facts,
        thresholds: Thresholds,
        profile: Profile = Profile.STANDARD,
    ) -> Decision:
        """The strictest of what matches; ties go by risk, then name. Shadow matches never decide."""
        if not candidates:
            return outcome((), facts.request, profile)
        try:
            bound = activation(variables(facts, frozenset().union(*(rule.references for rule in candidates))))
        except Unevaluable as error:
            return outcome([rule.unevaluable(error) for rule in candidates], facts.request, profile)
        matches: list[Match] = []
        for rule in candidates:
            try:
                if rule.holds(facts, bound):
                    matches.append(rule.match(thresholds, facts))
            except Unevaluable as error:
                matches.append(rule.unevaluable(error))
        return outcome(matches, facts.request, profile)

    def callouts(self, candidates: Sequence[Guardrail], facts: Facts) -> list[Guardrail]:
        """The rules whose policy service must be asked: all else about them holds."""
        asking = [rule for rule in candidates if rule.webhook is not None]
        return [rule for rule in asking if _applies(rule, facts)]

    def _shape(self, key: _Shape) -> tuple[tuple[Guardrail, ...], bool]:
        each, *shape_of = key
        rules = tuple(
            rule for rule in self.rules.values() if rule.matcher.each == each and rule.matcher.about(*shape_of)
        )
        if len(self._shapes) >= _CACHE_LIMIT:
            self._shapes.clear()
        shape = self._shapes[key] = rules, any(rule.matcher.narrow for rule in rules)
        return shape


def _applies(rule: Guardrail, facts: Facts) -> bool:
    """False also where that cannot be said: the judgement then denies, whatever a service would say."""
    try:
        return rule.applies(facts, activation(variables(facts, rule.references)))
    except Unevaluable:
        return False


def compile_guardrails(documents: Sequence[Document]) -> tuple[GuardrailSet, list[Problem]]:
    """The guardrails and freeze windows of these documents, and every mistake in them, their tests included.

    With a mistake, use none of it.
    """
    rules: list[Guardrail] = []
    digest = digest_of(documents)
    windows, problems = compile_windows([document for document in documents if document.kind == FREEZE_WINDOW])
    documents = [document for document in documents if document.kind != FREEZE_WINDOW]
    first: dict[str, Document] = {}
    for document in documents:
        if document.name in first:
            other = first[document.name]
            message = f"a guardrail named {document.name} is already at {other.file}:{other.line}"
            problems.append(document.problem(("metadata", "name"), message))
        first.setdefault(document.name, document)
        rule, found = _tested(document)
        problems.extend(found)
        if rule is not None:
            rules.append(rule)
    return GuardrailSet(rules, windows, digest), problems


@lru_cache(KEPT)
def _tested(document: Document) -> tuple[Guardrail | None, Sequence[Problem]]:
    """The rule, if it can be compiled, and every mistake, failed tests among them."""
    rule, spec, problems = compile_guardrail(document)
    if rule is None or spec is None:
        return None, problems
    return rule, [*problems, *failures(rule, spec, document)]


def digest_of(documents: Iterable[Document]) -> str:
    """SHA-256 over kind, name and `spec` of the documents, in hexadecimal, whatever their order and layout."""
    return sha256("\n".join(sorted(map(_content, documents))).encode()).hexdigest()


@lru_cache(KEPT)
def _content(document: Document) -> str:
    return json.dumps([document.kind, document.name, document.spec], sort_keys=True, default=str)
