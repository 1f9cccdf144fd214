"""A decision that was written down is the same when it is read, without what a record must not hold."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import orjson
import pytest

from addons.core.decision import Decision, Match, Thresholds, Verdict
from addons.core.grant import Scope
from addons.core.guardrails import Facts, Judged, Needs, Rate
from addons.core.guardrails.record import FORMAT, MAX_OBJECT, UnreadableRecord, line, read
from addons.core.guardrails.selftest import request_of
from addons.core.kube_request import KubeRequest
from addons.core.profile import Profile
from tests.core.guardrails.support import GRANT, IDENTITY

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZ2VudCJ9.c2lnbmF0dXJl"
FULL = Facts(
    request=request_of("POST /api/v1/namespaces/a/pods/p/exec?command=sh&command=-c&command=id&stdin=true"),
    object={"metadata": {"name": "p"}, "spec": {"replicas": 3, "ratio": 0.5, "none": None}},
    old_object={"metadata": {"name": "p"}},
    identity=replace(IDENTITY, jti="j", act="bot", claims={"email": "a@b.example", "n": [1, {"x": True}]}),
    grant=replace(
        GRANT,
        identity=replace(IDENTITY, jti="j", act="bot", claims={"email": "a@b.example", "n": [1, {"x": True}]}),
        scope=Scope(namespaces=("a",), verbs=("get",)),
    ),
    connection="prod",
    now=1_700_000_000.25,
    frozen=("friday",),
    rate=Rate(requests=3, denied=1),
    affected=4,
)
DECISION = Decision(
    verdict=Verdict.WARN,
    observed=Verdict.DENY,
    risk=95,
    rule="r",
    reason="because",
    matches=(
        Match(rule="r", verdict=Verdict.DENY, risk=95, reason="because", fixed=True),
        Match(rule="s", verdict=Verdict.DENY, risk=100, reason="broken", shadow=True, unevaluable=True),
    ),
)


def judged(**changes: Any) -> Judged:
    values: dict[str, Any] = {
        "facts": FULL,
        "needs": Needs(object=True, affected=True),
        "thresholds": Thresholds(warn=1, approve=2, deny=101),
        "profile": Profile.OBSERVE,
        "rules": "digest",
    }
    return Judged(**(values | changes))


def as_it_is(_: KubeRequest, body: bytes, __: str) -> bytes:
    return body


def test_every_fact_and_the_decision_come_back() -> None:
    # What happens in a session is judged then, and is no fact of the request that opened it.
    assert {field.name for field in fields(Facts) if getattr(FULL, field.name) == field.default} == {"event"}
    text = line("id-1", judged(), DECISION, as_it_is)
    assert text.count(b"\n") == 1 and text.endswith(b"\n")
    record = read(text)
    assert record.judged == judged()
    assert record.judged.facts.identity is not None
    assert record.judged.facts.identity.claims == FULL.identity.claims  # type: ignore[union-attr]
    assert (record.id, record.decision, record.left_out) == ("id-1", DECISION, ())


def test_what_is_not_known_stays_unknown() -> None:
    facts = Facts(request=request_of("GET /version"))
    decision = Decision(verdict=Verdict.ALLOW)
    record = read(line("id", judged(facts=facts), decision, as_it_is))
    assert (record.judged.facts, record.decision) == (facts, decision)


def test_objects_are_kept_as_they_are_masked() -> None:
    record = read(line("id", judged(), DECISION, lambda _, body, kind: body.replace(b'"p"', b'"%s"' % kind.encode())))
    assert record.judged.facts.object is not None
    assert record.judged.facts.object["metadata"] == {"name": "application/json"}


@pytest.mark.parametrize(
    ("content", "masked"),
    [
        pytest.param({"a": "x"}, b"[not kept: no form of it is known]", id="unmaskable"),
        pytest.param({"a": "x"}, b'{"a":"' + b"x" * MAX_OBJECT + b'"}', id="too large"),
        pytest.param({"a": 2**70}, b"{}", id="no JSON that anybody reads"),
    ],
)
def test_an_object_that_cannot_be_kept_is_said_to_be_left_out(content: dict[str, Any], masked: bytes) -> None:
    facts = replace(FULL, object=content)
    record = read(line("id", judged(facts=facts), DECISION, lambda *_: masked))
    assert record.judged.facts.object is None
    assert "object" in record.left_out


def test_no_token_is_kept_wherever_it_stands() -> None:
    target = f"/api/v1/namespaces/a/pods/p/exec?command={JWT}&access_token=hunter2&token=&x=1"
    facts = replace(
        FULL,
        request=replace(request_of(f"GET {target}"), target=target),
        identity=replace(IDENTITY, claims={JWT: ["k8s-aws-v1.abc"]}),
        object={"note": JWT},
    )
    text = line("id", judged(facts=facts), DECISION, as_it_is)
    for secret in (JWT, "c2lnbmF0dXJl", "hunter2", "k8s-aws-v1.abc"):
        assert secret.encode() not in text
    request = read(text).judged.facts.request
    assert request.argv == ("[scrubbed]",)
    assert request.first("access_token") == "[scrubbed]"
    assert request.first("x") == "1"


def test_text_that_is_no_unicode_is_kept_readable() -> None:
    facts = replace(FULL, request=replace(FULL.request, argv=("\udcff",)), object=None)
    assert read(line("id", judged(facts=facts), DECISION, as_it_is)).judged.facts.request.argv == ("\\udcff",)


def changed(**changes: Any) -> bytes:
    return orjson.dumps(orjson.loads(line("id", judged(), DECISION, as_it_is)) | changes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(b'{"torn', "not a whole line", id="torn"),
        pytest.param(b"[]", "TypeError", id="no object"),
        pytest.param(b"{}", "KeyError", id="no format"),
        pytest.param(changed(format="chaperone.dev/decision/v2"), f"reads {FORMAT}, not chaperone.dev/decision/v2",
                     id="another format"),
        pytest.param(changed(facts=None), "AttributeError", id="no facts"),
        pytest.param(changed(facts={"request": {}}), "ValidationError", id="no request"),
        pytest.param(changed(decision={"verdict": "maybe", "matches": [], "observed": None}), "KeyError", id="verdict"),
    ],
)  # fmt: skip
def test_what_is_no_decision_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(UnreadableRecord, match=words):
        read(text)


def test_facts_that_came_later_are_ignored_and_those_that_are_missing_unknown() -> None:
    content = orjson.loads(line("id", judged(), DECISION, as_it_is))
    content["facts"]["tomorrow"] = 1
    del content["facts"]["affected"]
    assert read(orjson.dumps(content)).judged.facts.affected is None
