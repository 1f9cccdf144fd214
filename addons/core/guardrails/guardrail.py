"""One compiled guardrail: what it is about, when it holds, and what it says when it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from addons.core.approval_terms import NO_TERMS, Reuse, Terms
from addons.core.connection import resolve_path
from addons.core.decision import Alert, Match, Thresholds, Verdict
from addons.core.documents import Document, validate
from addons.core.guardrails.answer import NOT_ASKED, Webhook
from addons.core.guardrails.cel import Condition, InvalidExpression, Unevaluable, compile_condition
from addons.core.guardrails.facts import Facts
from addons.core.guardrails.lint import mistakes
from addons.core.guardrails.matching import Matcher, carries_object, compile_match, replaces_object
from addons.core.guardrails.models import ApprovalsSpec, GuardrailSpec, WebhookSpec
from addons.core.guardrails.object_facts import OBJECT_VARIABLES, reads_object, reads_old_object
from addons.core.kube_request import KubeRequest
from addons.core.problem import Problem

KIND = "Guardrail"
_VERDICT_RISK = {Verdict.WARN: 30, Verdict.REQUIRE_APPROVAL: 50, Verdict.DENY: 100}
"""The risk shown for a rule that names its verdict: that of the standard thresholds, and the highest for a deny."""
_UNEVALUABLE_HINT = (
    "send the object complete and in the form its API documents; if it is, the rule needs has() or .?field"
)
_NO_REFERENCES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Guardrail:
    """One compiled rule. `verdict` None leaves the verdict to the connection's thresholds."""

    name: str
    description: str
    covers: tuple[str, ...]
    matcher: Matcher
    condition: Condition | None
    webhook: Webhook | None
    risk: int
    verdict: Verdict | None
    reason: str
    hint: str
    retry_after_seconds: int | None
    shadow: bool
    alert: Alert | None
    file: str
    line: int
    terms: Terms = NO_TERMS

    @property
    def references(self) -> frozenset[str]:
        """The variables the condition reads."""
        return self.condition.references if self.condition else _NO_REFERENCES

    def reads_object(self, request: KubeRequest) -> bool:
        """True if this rule cannot be judged for this request without its object."""
        asks = self.webhook is not None and carries_object(request)
        return asks or reads_object(self.references, request) or self._named_by_object(request)

    def reads_old_object(self, request: KubeRequest) -> bool:
        """The same for what is there now."""
        return (self.webhook is not None and replaces_object(request)) or reads_old_object(self.references, request)

    def holds(self, facts: Facts, bound: Any) -> bool:
        """True if the rule, already a candidate, matches. Raises Unevaluable when that cannot be said."""
        if not self.applies(facts, bound):
            return False
        return self.webhook is None or facts.answers.get(self.name, NOT_ASKED).objects()

    def applies(self, facts: Facts, bound: Any) -> bool:
        """The same but for what a policy service says. Raises Unevaluable."""
        if self._named_by_object(facts.request) and not self.matcher.named(_name_of(facts.object)):
            return False
        return self.condition is None or self.condition.holds(bound)

    def match(self, thresholds: Thresholds, facts: Facts) -> Match:
        """This rule as one that matched, with what a policy service said about it."""
        said = facts.answers[self.name].message if self.name in facts.answers else ""
        return Match(
            rule=self.name,
            verdict=thresholds.verdict(self.risk) if self.verdict is None else self.verdict,
            risk=self.risk,
            reason=f"{self.reason}: {said}" if said else self.reason,
            hint=self.hint,
            covers=self.covers,
            shadow=self.shadow,
            retry_after_seconds=self.retry_after_seconds,
            fixed=self.verdict is not None,
            alert=self.alert,
            terms=self.terms,
        )

    def unevaluable(self, error: Unevaluable) -> Match:
        """This rule as one that could not be evaluated: a denial, because what is not known to be safe is not."""
        return Match(
            rule=self.name,
            verdict=Verdict.DENY,
            risk=100,
            reason=f"the expression of this rule could not be evaluated: {error}",
            hint=_UNEVALUABLE_HINT,
            covers=self.covers,
            shadow=self.shadow,
            unevaluable=True,
            alert=self.alert,
        )

    def _named_by_object(self, request: KubeRequest) -> bool:
        return bool(self.matcher.names) and not request.name and carries_object(request)


def compile_guardrail(document: Document) -> tuple[Guardrail | None, GuardrailSpec | None, list[Problem]]:
    """One document's rule; None with the mistakes that prevent it. Its tests are not run."""
    if document.kind != KIND:
        return None, None, [document.problem(("kind",), f"kind must be {KIND} here, not {document.kind}")]
    spec, problems = validate(document, GuardrailSpec)
    if spec is None:
        return None, None, problems
    problems.extend(document.problem(path, message) for path, message in mistakes(spec))
    try:
        condition = compile_condition(spec.when) if spec.when is not None else None
    except InvalidExpression as error:
        return None, spec, [*problems, document.problem(("spec", "when"), f"when: {error}")]
    if spec.approvals.any_name and condition is not None and condition.references & OBJECT_VARIABLES:
        why = "approvals.anyName: the condition reads the object, which is another under another name"
        problems.append(document.problem(("spec", "approvals", "anyName"), why))
    return _guardrail(document, spec, condition), spec, problems


def _guardrail(document: Document, spec: GuardrailSpec, condition: Condition | None) -> Guardrail:
    verdict = Verdict[spec.verdict.upper()] if spec.verdict is not None else None
    return Guardrail(
        name=document.name,
        description=spec.description,
        covers=tuple(spec.covers),
        matcher=compile_match(spec.match),
        condition=condition,
        webhook=_webhook(document, spec.webhook),
        risk=spec.risk if spec.risk is not None else _VERDICT_RISK[verdict or Verdict.DENY],
        verdict=verdict,
        reason=spec.reason,
        hint=spec.hint,
        retry_after_seconds=spec.retry_after_seconds,
        shadow=spec.mode == "shadow",
        alert=Alert(severity=spec.alert.severity, per=tuple(spec.alert.per)) if spec.alert is not None else None,
        file=document.file,
        line=document.line,
        terms=_terms(spec.approvals),
    )


def _terms(spec: ApprovalsSpec) -> Terms:
    return Terms(
        groups=tuple(spec.groups),
        count=spec.count,
        reuse=Reuse(spec.reuse),
        max_seconds=spec.max_minutes * 60 if spec.reuse != "never" else 0,
        any_name=spec.any_name,
    )


def _webhook(document: Document, spec: WebhookSpec | None) -> Webhook | None:
    if spec is None:
        return None
    ca_file = resolve_path(document.file, spec.ca_file)
    return Webhook(url=spec.url, ca_file=ca_file, timeout_seconds=spec.timeout_seconds)


def _name_of(content: Mapping[str, Any] | None) -> str:
    """The name an object will have. A generated one ends in five characters nobody can know yet."""
    metadata = content.get("metadata") if content is not None else None
    if not isinstance(metadata, Mapping):
        raise Unevaluable("the object has no metadata to take its name from")
    name, prefix = metadata.get("name"), metadata.get("generateName")
    if isinstance(name, str) and name:
        return name
    if isinstance(prefix, str) and prefix:
        return f"{prefix}xxxxx"
    raise Unevaluable("the object has neither metadata.name nor metadata.generateName")
