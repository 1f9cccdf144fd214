"""What a question says of its request reaches the rules; what cannot be read is refused where the gateway would."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.guardrails import GuardrailSet
from addons.core.inquiry import Inquiry, Judge, UnusableQuestion, inquire
from addons.core.resources import BUILTIN_AND_OPTIONAL

JUDGE = Judge(guardrails=GuardrailSet(), resources=BUILTIN_AND_OPTIONAL, connection="prod")
GET = {"method": "GET", "target": "/api/v1/namespaces/a/pods"}


def asked(**question: Any) -> Inquiry:
    return inquire({**GET, **question}, JUDGE, 5.0)


def test_nobody_in_particular_asks() -> None:
    facts = asked().facts
    assert facts is not None
    assert (facts.identity, facts.grant, facts.now, facts.connection) == (None, None, 5.0, "prod")


def test_who_asks_when_and_by_which_grant() -> None:
    facts = asked(identity={"sub": "a", "groups": ["g"]}, grant={"intent": "INC-1"}, now="1970-01-01T00:01:00Z").facts
    assert facts is not None and facts.identity is not None and facts.grant is not None
    assert (facts.identity.sub, facts.identity.groups, facts.grant.identity) == ("a", ("g",), facts.identity)
    assert (facts.grant.intent, facts.grant.connection, facts.now) == ("INC-1", "prod", 60.0)


def test_a_grant_alone_is_somebodys() -> None:
    facts = asked(grant={"role": "r"}).facts
    assert facts is not None and facts.identity is not None
    assert facts.identity.sub == "agent"


@pytest.mark.parametrize(
    ("question", "step", "rule"),
    [
        pytest.param({"headers": [("Connection", "x, authorization"), ("A\x00", "b")]}, "perimeter", "ambiguous-header",
                     id="header"),
        pytest.param({"target": "/api/v1/namespaces/a%2fb/pods"}, "commands", "ambiguous-request", id="path"),
        pytest.param({"target": "/apis/example.com/v1/foos"}, "commands", "unknown-resource", id="resource"),
    ],
)  # fmt: skip
def test_the_step_that_refuses(question: dict[str, Any], step: str, rule: str) -> None:
    inquiry = asked(**question)
    assert inquiry.facts is None and inquiry.refusal is not None
    assert (inquiry.step, inquiry.refusal.rule) == (step, rule)


@pytest.mark.parametrize("question", [{"identity": {"nonsense": 1}}, {"now": "now"}, {"method": 1}])
def test_a_malformed_question(question: dict[str, Any]) -> None:
    with pytest.raises(UnusableQuestion):
        asked(**question)
