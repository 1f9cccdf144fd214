"""The tests a rule carries, run whenever it is loaded: a rule that does not do what it says is not loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC

from addons.core.documents import Document
from addons.core.grant import Grant
from addons.core.guardrails.cel import Unevaluable, activation
from addons.core.guardrails.facts import Facts, variables
from addons.core.guardrails.guardrail import Guardrail
from addons.core.guardrails.matching import effective_verb
from addons.core.guardrails.models import ExampleSpec, GrantFacts, GuardrailSpec, IdentityFacts
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.problem import Problem
from addons.core.request_info import request_info
from addons.core.request_line import parse_target
from addons.core.session_events import Copied, Event, Line, Reached

_NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z, for tests that do not say when they are
_HOUR = 3600.0


def failures(rule: Guardrail, spec: GuardrailSpec, document: Document) -> Iterator[Problem]:
    """One problem for each test that does not come out as expected, at the test's line."""
    for index, example in enumerate(spec.tests):
        if mistake := failure(rule, example):
            yield document.problem(("spec", "tests", index), f"test {index + 1} failed: {mistake}")


def failure(rule: Guardrail, example: ExampleSpec) -> str:
    """Why a test does not come out as expected; "" when it does."""
    try:
        facts = facts_of(example, rule.matcher.each)
        if example.webhook is not None:
            facts = replace(facts, answers={rule.name: example.webhook.answer()})
        matched = _matches(rule, facts)
    except ValueError as error:
        return f"the request cannot be read: {error}"
    except Unevaluable as error:
        return f"the expression could not be evaluated: {error}"
    if matched == (example.expect == "match"):
        return ""
    return f"expected {example.expect} for {example.request}"


def _matches(rule: Guardrail, facts: Facts) -> bool:
    request, matcher = facts.request, rule.matcher
    verb = effective_verb(request)
    if not matcher.about(request.api_group, request.resource, request.subresource, verb, facts.connection):
        return False
    return matcher.within(request) and rule.holds(facts, activation(variables(facts, rule.references)))


def facts_of(example: ExampleSpec, each: str = "request") -> Facts:
    """What an example says, for a rule about `each`. Raises ValueError when the request cannot be read."""
    request, now = request_of(example.request), _NOW
    if example.now is not None:
        now = (example.now if example.now.tzinfo else example.now.replace(tzinfo=UTC)).timestamp()
    identity = identity_of(example.identity, now)
    return Facts(
        request=request,
        object=example.object,
        old_object=example.old_object,
        identity=identity,
        grant=grant_of(example.grant, identity, example.connection, now),
        connection=example.connection,
        now=now,
        frozen=tuple(example.frozen),
        rate=example.rate.rate(request),
        affected=example.affected,
        event=_event_of(example, each),
    )


def identity_of(given: IdentityFacts, now: float) -> Identity:
    """The caller of an example, vouched for by an issuer of no account."""
    return Identity(
        iss="https://issuer.test",
        sub=given.sub,
        aud=("chaperone",),
        exp=now + _HOUR,
        groups=tuple(given.groups),
        act=given.act,
        owner=given.owner,
        claims=given.claims,
    )


def grant_of(given: GrantFacts, identity: Identity, connection: str, now: float) -> Grant:
    """The grant of an example."""
    return Grant(
        id="test",
        identity=identity,
        connection=connection,
        role=given.role,
        intent=given.intent,
        not_before_at=now,
        expires_at=now + _HOUR,
    )


def _event_of(example: ExampleSpec, each: str) -> Event | None:
    """What happens in the session, in an example of a rule about that."""
    match each:
        case "line" | "output":
            return Line(example.line, "stdin" if each == "line" else "stdout")
        case "file" if example.file is not None:
            file = example.file
            return Copied(file.name, file.direction, file.size, file.kind)
        case "port":
            return Reached(example.port)
    return None


def request_of(text: str) -> KubeRequest:
    """The request of `METHOD TARGET`. Raises ValueError when it cannot be read one way."""
    method, _, target = text.partition(" ")
    return request_info(method, *parse_target(target))
