"""What the gateway would make of a request, for people and programs that want to know before they ask.

The same reading and the same rules as on the way through; `inquiry` is what is known of a question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from addons.core.decision import Decision, Verdict
from addons.core.inquiry import Judge, inquire
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal

REFUSE = "refuse"
_SHOWN = ("verb", "api_group", "api_version", "namespace", "resource", "subresource", "name")


def explain(question: Mapping[str, Any], judge: Judge, now: float) -> dict[str, Any]:
    """The answer to one question of `inquire`, as JSON-ready values; an `id` it may have comes back.

    Raises UnusableQuestion.
    """
    inquiry = inquire(question, judge, now)
    if inquiry.facts is None:
        return _refused(question, inquiry.request, cast(Refusal, inquiry.refusal))
    request = inquiry.facts.request
    candidates = judge.guardrails.candidates(request, judge.connection)
    return _answer(
        question, request, judge.guardrails.judge(candidates, inquiry.facts, judge.thresholds, judge.profile)
    )


def _answer(question: Mapping[str, Any], request: KubeRequest, decision: Decision) -> dict[str, Any]:
    return {
        "id": question.get("id"),
        "request": shown(request),
        "verdict": decision.verdict.word,
        "observed": "" if decision.observed is None else decision.observed.word,
        "risk": decision.risk,
        "rule": decision.rule,
        "rules": [match.rule for match in decision.matches if not match.shadow],
        "reason": decision.reason,
        "hint": decision.hint,
    }


def _refused(question: Mapping[str, Any], request: KubeRequest | None, refusal: Refusal) -> dict[str, Any]:
    """403 is the API's own "no such thing", which is a denial; every other code means it cannot be read one way."""
    return {
        "id": question.get("id"),
        "request": None if request is None else shown(request),
        "verdict": Verdict.DENY.word if refusal.code == 403 else REFUSE,
        "observed": "",
        "risk": 100,
        "rule": refusal.rule,
        "rules": [refusal.rule],
        "reason": refusal.why,
        "hint": refusal.hint,
    }


def shown(request: KubeRequest) -> dict[str, Any]:
    """RequestInfo's reading, and the argv of an exec."""
    return {**{name: getattr(request, name) for name in _SHOWN}, "argv": list(request.argv)}
