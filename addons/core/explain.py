"""What the gateway would make of a request, for people and programs that want to know before they ask.

The same reading and the same rules as on the way through; what only the API server knows (the result of a patch, the
object that is there) is taken from the question, or worked out here as far as that needs no schema.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import AwareDatetime, BaseModel, ValidationError

from addons.core.decision import Decision, Thresholds, Verdict
from addons.core.guardrails import Facts, GuardrailSet
from addons.core.guardrails.models import Count, RateFacts
from addons.core.headers import ForbiddenHeader, scrub_request_headers
from addons.core.kube_request import KubeRequest
from addons.core.patches import InapplicablePatch, json_patch, merge_patch
from addons.core.profile import Profile
from addons.core.reading import Reading, read
from addons.core.refusal import Refusal
from addons.core.resources import Resources

REFUSE = "refuse"
_SHOWN = ("verb", "api_group", "api_version", "namespace", "resource", "subresource", "name")


class UnusableQuestion(ValueError):
    """The question itself is malformed: it has no method or target, a body that is no base64, a time that is none."""


class _Situation(BaseModel):
    """What a question may say of time, rate and extent."""

    now: AwareDatetime | None = None
    frozen: tuple[str, ...] | None = None
    rate: RateFacts = RateFacts()
    affected: Count | None = None


_UNSAID = _Situation()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What a question is judged by. The caller's role may do everything, so only reading and guardrails speak."""

    guardrails: GuardrailSet
    resources: Resources
    thresholds: Thresholds = Thresholds()
    profile: Profile = Profile.STANDARD
    connection: str = ""


def explain(question: Mapping[str, Any], judge: Judge, now: float) -> dict[str, Any]:
    """The answer to one question, as JSON-ready values.

    `question` has `method`, `target` and may have `id`, `headers`, `body` or `body_base64`, `object`, `old_object`,
    `now` (RFC 3339), `frozen`, `rate`, `affected`, as in a rule's tests. `now` here is Unix seconds, for questions that
    do not say. What they leave out is worked out where it can be: freeze windows from the rules, a rate of this one
    request; how many objects a deletecollection affects nobody here can know. Raises UnusableQuestion.
    """
    method, target = question.get("method"), question.get("target")
    if not isinstance(method, str) or not isinstance(target, str):
        raise UnusableQuestion("a question needs method and target")
    try:
        headers = _headers(question.get("headers") or {})
    except ForbiddenHeader as error:
        return _refused(question, None, Refusal(code=400, rule="ambiguous-header", why=str(error)))
    reading = read(method, target, headers, _body(question), judge.resources)
    if reading.refusal is not None:
        return _refused(question, reading.request, reading.refusal)
    return _judged(question, reading, judge, now)


def _judged(question: Mapping[str, Any], reading: Reading, judge: Judge, now: float) -> dict[str, Any]:
    request = cast(KubeRequest, reading.request)  # what was not refused was read
    candidates = judge.guardrails.candidates(request, judge.connection)
    given = _situation(question)
    now = given.now.timestamp() if given.now is not None else now
    facts = Facts(
        request=request,
        object=_object(question, reading, request),
        old_object=question.get("old_object"),
        connection=judge.connection,
        now=now,
        frozen=given.frozen if given.frozen is not None else judge.guardrails.frozen(request, judge.connection, now),
        rate=given.rate.rate(request),
        affected=given.affected,
    )
    return _answer(question, request, judge.guardrails.judge(candidates, facts, judge.thresholds, judge.profile))


def _situation(question: Mapping[str, Any]) -> _Situation:
    if _Situation.model_fields.keys().isdisjoint(question):
        return _UNSAID
    try:
        return _Situation.model_validate(question)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UnusableQuestion(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


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


def _object(question: Mapping[str, Any], reading: Reading, request: KubeRequest) -> Mapping[str, Any] | None:
    """The effective object: given, submitted, or the patch applied to what was there, if that was said."""
    given = question.get("object")
    if given is not None:
        return given if isinstance(given, Mapping) else None
    if request.verb != "patch":
        return reading.body.mapping
    return _patched(question.get("old_object"), reading.body.object)


def _patched(old_object: Any, patch: Any) -> Mapping[str, Any] | None:
    try:
        result = json_patch(old_object, patch) if isinstance(patch, list) else merge_patch(old_object, patch)
    except InapplicablePatch:
        return None
    return result if isinstance(result, Mapping) else None


def _headers(headers: Any) -> list[tuple[str, str]]:
    """A mapping, or a list of pairs where an order or a repetition matters; scrubbed as the perimeter does."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    fields = [(str(name).encode("latin-1", "replace"), str(value).encode("utf-8")) for name, value in pairs]
    return [(name.decode(), value.decode()) for name, value in scrub_request_headers(fields)]


def _body(question: Mapping[str, Any]) -> bytes:
    encoded, body = question.get("body_base64"), question.get("body")
    if encoded is not None:
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise UnusableQuestion("body_base64 is no base64") from error
    if body is None:
        return b""
    return (body if isinstance(body, str) else json.dumps(body)).encode("utf-8", "surrogatepass")
