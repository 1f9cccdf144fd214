"""The decision about one request as a tree of plain values: every step, every rule, every clause that decides.

For `chaperone rules explain`: JSON-ready here, drawn in `cli/decision_tree.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from addons.core.access import AccessPolicy, choose
from addons.core.decision import Decision, Match, Thresholds, Verdict
from addons.core.explain import shown
from addons.core.guardrails import Facts
from addons.core.guardrails.matching import effective_verb
from addons.core.guardrails.trace import ClauseTrace, RuleTrace, trace
from addons.core.inquiry import Inquiry, Judge, inquire
from addons.core.masking import Masker, refuse_request
from addons.core.refusal import Refusal
from addons.core.scope import spoken
from addons.core.session import Session

PASSED, REFUSED, NOT_EXAMINED = "passed", "refused", "not examined"
_UNDECIDED: Mapping[str, Any] = {"decision": None, "candidates": [], "near": [], "others": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The access rules, and the issuers that may vouch for a caller."""

    policy: AccessPolicy
    issuers: Sequence[str]


def tree_of_question(
    question: Mapping[str, Any], judge: Judge, masker: Masker, access: Access | None, now: float
) -> dict[str, Any]:
    """The tree of a question of `inquire`. `access` None: nobody asked who may do it. Raises UnusableQuestion."""
    inquiry = inquire(question, judge, now)
    if inquiry.facts is None:
        request = None if inquiry.request is None else shown(inquiry.request)
        steps = [_step(inquiry.step, inquiry.refusal)]
        return {"request": request, **_judged_by(judge), "steps": steps, **_UNDECIDED}
    steps = [
        _step("commands", None, f"read as {spoken(inquiry.facts.request)}"),
        _access(inquiry.facts, access),
        _step("masking", _masking(inquiry, masker)),
    ]
    return tree_of_facts(inquiry.facts, judge, steps)


def tree_of_facts(facts: Facts, judge: Judge, steps: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The tree of a request of which everything is known; `steps` are those before the guardrails."""
    traced = trace(judge.guardrails, facts, judge.thresholds, judge.profile)
    decision = traced.decision
    return {
        "request": shown(facts.request),
        **_judged_by(judge),
        "steps": [*steps, *_outcome(decision)],
        "decision": _decision(decision),
        "candidates": [_candidate(rule, decision, judge.thresholds) for rule in traced.candidates],
        "near": [_near(rule, facts) for rule in traced.near],
        "others": traced.others,
    }


def _judged_by(judge: Judge) -> dict[str, Any]:
    return {
        "connection": judge.connection,
        "profile": judge.profile.value,
        "thresholds": asdict(judge.thresholds),
        "rules": judge.guardrails.digest,
    }


def _step(name: str, refusal: Refusal | None, why: str = "") -> dict[str, str]:
    if refusal is None:
        return {"step": name, "outcome": PASSED, "why": why}
    return {"step": name, "outcome": REFUSED, "why": f"{refusal.code} {refusal.rule}: {refusal.why}"}


def _access(facts: Facts, access: Access | None) -> dict[str, str]:
    """What the first issuer leads to that grants anything; otherwise the last refusal."""
    if access is None or facts.identity is None:
        why = "name a connection and a caller (--group, --subject) to have the access rules asked"
        return {"step": "access", "outcome": NOT_EXAMINED, "why": why}
    refusal = None
    for issuer in access.issuers:
        identity = replace(facts.identity, iss=issuer)
        intent = facts.grant.intent if facts.grant is not None else ""
        session = Session(
            id="explained", identity=identity, connection=facts.connection, started_at=facts.now, intent=intent
        )
        grants = access.policy.grants(session, facts.now)
        grant = grants if isinstance(grants, Refusal) else choose(grants, facts.request)
        if not isinstance(grant, Refusal):
            return _step("access", None, f"{grant.granted_by} grants {grant.role} to callers vouched for by {issuer}")
        refusal = grant
    return _step("access", refusal)


def _masking(inquiry: Inquiry, masker: Masker) -> Refusal | None:
    facts = inquiry.facts
    if facts is None or (plan := masker.plan(facts.request)).passes:
        return None
    headers = {name.lower(): value for name, value in inquiry.headers}
    return refuse_request(plan, facts.request, headers, inquiry.raw, inquiry.body.mapping)


def _outcome(decision: Decision) -> list[dict[str, str]]:
    """The steps from the guardrails on."""
    if decision.verdict is Verdict.DENY:
        return [{"step": "guardrails", "outcome": REFUSED, "why": f"{decision.rule}: {decision.reason}"}]
    guardrails = {"step": "guardrails", "outcome": PASSED, "why": decision.verdict.word}
    if decision.verdict is not Verdict.REQUIRE_APPROVAL:
        return [guardrails]
    return [guardrails, {"step": "approvals", "outcome": "asks", "why": f"{decision.rule}: {decision.reason}"}]


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict.word,
        "observed": "" if decision.observed is None else decision.observed.word,
        "risk": decision.risk,
        "rule": decision.rule,
        "reason": decision.reason,
        "hint": decision.hint,
    }


def _candidate(traced: RuleTrace, decision: Decision, thresholds: Thresholds) -> dict[str, Any]:
    rule = traced.rule
    return {
        "rule": rule.name,
        "file": rule.file,
        "line": rule.line,
        "mode": "shadow" if rule.shadow else "enforce",
        "holds": traced.holds,
        "error": traced.error,
        "names": sorted(rule.matcher.spec.names) if traced.misses else [],
        "when": None if traced.clauses is None else _clause(traced.clauses),
        "verdict": "" if traced.match is None else traced.match.verdict.word,
        "how": "" if traced.match is None else _how(traced.match, thresholds),
        "place": "" if traced.match is None else _place(traced.match, decision),
    }


def _clause(traced: ClauseTrace) -> dict[str, Any]:
    return {
        "text": traced.text,
        "operator": traced.operator,
        "value": traced.value,
        "error": traced.error,
        "decides": traced.decides,
        "operands": dict(traced.operands),
        "parts": [_clause(part) for part in traced.parts],
    }


def _how(match: Match, thresholds: Thresholds) -> str:
    """How a match comes to its verdict."""
    if match.unevaluable:
        return "cannot be evaluated, which denies"
    if match.fixed:
        return f"names its verdict: {match.verdict.word}"
    at = {
        Verdict.DENY: f"from {thresholds.deny} denied",
        Verdict.REQUIRE_APPROVAL: f"from {thresholds.approve} a human is asked, from {thresholds.deny} denied",
        Verdict.WARN: f"from {thresholds.warn} warned of, from {thresholds.approve} a human is asked",
        Verdict.ALLOW: f"below {thresholds.warn} nothing is said",
    }[match.verdict]
    return f"risk {match.risk}, {at}"


def _place(match: Match, decision: Decision) -> str:
    """Whether a match decides, or what comes before it."""
    if match.shadow:
        return "shadow: only reported"
    first = decision.matches[0]
    if match.rule == first.rule:
        return "decides"
    if match.verdict is not first.verdict:
        return f"{first.rule} is stricter"
    if match.retry_after_seconds is not None and first.retry_after_seconds is None:
        return f"{first.rule} denies for good"
    return f"{first.rule} {'has the higher risk' if match.risk < first.risk else 'comes first by name'}"


def _near(traced: RuleTrace, facts: Facts) -> dict[str, Any]:
    spec, request = traced.rule.matcher.spec, facts.request
    resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    asked: dict[str, tuple[str, Sequence[str]]] = {
        "excludeResources": (resource, spec.exclude_resources),
        "verbs": (effective_verb(request), spec.verbs),
        "namespaces": (request.namespace, spec.namespaces),
        "names": (request.name, spec.names),
        "connections": (facts.connection, spec.connections),
    }
    misses = [{"field": field, "asked": asked[field][0], "wanted": list(asked[field][1])} for field in traced.misses]
    return {"rule": traced.rule.name, "file": traced.rule.file, "line": traced.rule.line, "misses": misses}
