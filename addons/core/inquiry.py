"""A question about a request, read as the gateway reads it: every fact a rule could ask for, or why it is refused.

What only the API server knows (the result of a patch, the object that is there) is taken from the question, or worked
out here as far as that needs no schema.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import AwareDatetime, BaseModel, ValidationError

from addons.core.bodies import NO_BODY, Body
from addons.core.decision import Thresholds
from addons.core.grant import Grant
from addons.core.guardrails import Facts, GuardrailSet
from addons.core.guardrails.models import AnswerFacts, Count, GrantFacts, IdentityFacts, RateFacts
from addons.core.guardrails.selftest import grant_of, identity_of
from addons.core.headers import ForbiddenHeader, scrub_request_headers
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.patches import InapplicablePatch, json_patch, merge_patch
from addons.core.profile import Profile
from addons.core.reading import Reading, read
from addons.core.refusal import Refusal
from addons.core.resources import Resources


class UnusableQuestion(ValueError):
    """The question itself is malformed: it has no method or target, a body that is no base64, a time that is none."""


class _Situation(BaseModel):
    """What a question may say of who asks, and of time, rate and extent."""

    identity: IdentityFacts | None = None
    grant: GrantFacts | None = None
    now: AwareDatetime | None = None
    frozen: tuple[str, ...] | None = None
    rate: RateFacts = RateFacts()
    affected: Count | None = None
    answers: dict[str, AnswerFacts] = {}

    def caller(self, connection: str, now: float) -> tuple[Identity | None, Grant | None]:
        """Who asks, and by which grant; a grant of nobody in particular is the test agent's."""
        if self.identity is None and self.grant is None:
            return None, None
        identity = identity_of(self.identity or IdentityFacts(), now)
        return identity, grant_of(self.grant or GrantFacts(), identity, connection, now)


_UNSAID = _Situation()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What a question is judged by. The caller's role may do everything, so only reading and guardrails speak."""

    guardrails: GuardrailSet
    resources: Resources
    thresholds: Thresholds = Thresholds()
    profile: Profile = Profile.STANDARD
    connection: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """Either `facts` or a `refusal` by the step of that name; `request` as far as it could be read."""

    request: KubeRequest | None = None
    facts: Facts | None = None
    refusal: Refusal | None = None
    step: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: Body = NO_BODY
    raw: bytes = b""


def inquire(question: Mapping[str, Any], judge: Judge, now: float) -> Inquiry:
    """What there is to know of one question.

    `question` has `method`, `target` and may have `headers`, `body` or `body_base64`, `object`, `old_object`, and as in
    a rule's tests `identity`, `grant`, `now` (RFC 3339), `frozen`, `rate`, `affected`, `answers` (webhooks', by rule).
    `now` here is Unix seconds, for questions that do not say. What they leave out is worked out where it can be: freeze
    windows from the rules, a rate of this one request; how many objects a deletecollection affects, or what a policy
    service says, nobody here can know. Raises UnusableQuestion.
    """
    method, target = question.get("method"), question.get("target")
    if not isinstance(method, str) or not isinstance(target, str):
        raise UnusableQuestion("a question needs method and target")
    try:
        headers = _headers(question.get("headers") or {})
    except ForbiddenHeader as error:
        return Inquiry(step="perimeter", refusal=Refusal(code=400, rule="ambiguous-header", why=str(error)))
    raw = _body(question)
    reading = read(method, target, headers, raw, judge.resources)
    if reading.refusal is not None or reading.request is None:
        return Inquiry(request=reading.request, step="commands", refusal=reading.refusal)
    return Inquiry(
        request=reading.request,
        facts=_facts(question, reading, reading.request, judge, now),
        headers=tuple(headers),
        body=reading.body,
        raw=raw,
    )


def _facts(question: Mapping[str, Any], reading: Reading, request: KubeRequest, judge: Judge, now: float) -> Facts:
    given = _situation(question)
    now = given.now.timestamp() if given.now is not None else now
    identity, grant = given.caller(judge.connection, now)
    return Facts(
        request=request,
        object=_object(question, reading, request),
        old_object=question.get("old_object"),
        identity=identity,
        grant=grant,
        connection=judge.connection,
        now=now,
        frozen=given.frozen if given.frozen is not None else judge.guardrails.frozen(request, judge.connection, now),
        rate=given.rate.rate(request),
        affected=given.affected,
        answers={rule: said.answer() for rule, said in given.answers.items()},
    )


def _situation(question: Mapping[str, Any]) -> _Situation:
    if _Situation.model_fields.keys().isdisjoint(question):
        return _UNSAID
    try:
        return _Situation.model_validate(question)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UnusableQuestion(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


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
