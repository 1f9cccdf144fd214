"""The guardrails addon: what it asks the API server for, what it writes, what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow, Response
from mitmproxy.test import tflow

from addons.call_out import Ask
from addons.core.connection import Connection
from addons.core.decision import Verdict
from addons.core.grant import Grant
from addons.core.guardrails import GuardrailSet, Rate, ServerRefusal, Unanswered
from addons.core.guardrails.answer import Answer, Webhook
from addons.core.guardrails.selftest import request_of
from addons.exchange import Exchange, IncompleteExchange, begin, exchange_of
from addons.guardrails import Guardrails
from tests.core.guardrails.support import GRANT, IDENTITY, loaded, rule

PODS = "/api/v1/namespaces/a/pods"
CONNECTION = Connection(
    name="prod", host="prod", port=443, address=("127.0.0.1", 1), server_name="prod", ca_file="/ca.crt"
)
WRITES = "apiGroups: [''], resources: [pods], verbs: [create, update, patch]"
OBJECT_RULE = rule(match=WRITES, body="when: object.?bad.orValue(false)\n  risk: 95")
OLD_RULE = rule(
    body="when: oldObject != null && oldObject.?bad.orValue(false)\n  risk: 95",
    tests="""
  tests:
    - {expect: match, request: DELETE /api/v1/namespaces/a/pods/p, oldObject: {bad: true}}
    - {expect: no-match, request: DELETE /api/v1/namespaces/a/pods/p, oldObject: {bad: false}}
""",
)
NOT_FOUND = ServerRefusal(status=404, body=b'{"kind":"Status","code":404}')


class Server:
    """Answers every question with `answer` and keeps what it was asked."""

    def __init__(self, answer: Mapping[str, Any] | ServerRefusal | None = None) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    async def effective(
        self, grant: Grant, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, Any] | ServerRefusal:
        self.asked.append((grant.id, method, target, dict(headers), body))
        assert self.answer is not None
        return self.answer

    async def current(self, grant: Grant, target: str) -> Mapping[str, Any] | ServerRefusal | None:
        self.asked.append((grant.id, target))
        return self.answer

    async def affected(self, grant: Grant, target: str) -> int | ServerRefusal:
        self.asked.append((grant.id, target))
        return self.answer if isinstance(self.answer, ServerRefusal) else 7


def make_flow(method: str, target: str, body_object: Mapping[str, Any] | None = None) -> HTTPFlow:
    flow = tflow.tflow()
    flow.request.method, flow.request.path, flow.request.content = method, target, b"the body"
    flow.request.headers["content-type"] = "application/merge-patch+json"
    exchange = begin(flow, now=1.0)
    exchange.connection, exchange.identity, exchange.grant = CONNECTION, IDENTITY, GRANT
    exchange.request, exchange.body_object = request_of(f"{method} {target}"), body_object
    return flow


async def nobody(webhook: Webhook, review: Mapping[str, Any]) -> Answer:
    raise AssertionError(f"{webhook.url} was asked")


async def run(flow: HTTPFlow, rules: GuardrailSet, server: Server | None = None, ask: Ask = nobody) -> Server:
    server = server or Server()
    await Guardrails(lambda _: rules, server, ask, lambda: 2.0, lambda _, body, __: body).request(flow)
    return server


async def test_a_plain_read_asks_nobody() -> None:
    flow = make_flow("GET", PODS)
    server = await run(flow, loaded(OBJECT_RULE), Server())
    decision = exchange_of(flow).decision
    assert decision is not None
    assert (decision.verdict, server.asked, flow.response) == (Verdict.ALLOW, [], None)


async def test_a_decoded_create_is_judged_as_submitted_and_refused() -> None:
    flow = make_flow("POST", PODS, {"bad": True})
    server = await run(flow, loaded(OBJECT_RULE))
    exchange = exchange_of(flow)
    assert server.asked == []
    assert exchange.judged is not None and exchange.decision is not None
    assert exchange.judged.facts.object == {"bad": True}
    assert exchange.decision.verdict is Verdict.DENY
    assert exchange.refusal is not None
    assert (exchange.refusal.rule, exchange.refusal.what) == ("r", "create pods in namespace a")
    assert flow.response is not None
    assert flow.response.status_code == 403


async def test_a_patch_is_judged_by_the_servers_reading() -> None:
    flow = make_flow("PATCH", f"{PODS}/p?force=true", {"not": "the object"})
    server = await run(flow, loaded(OBJECT_RULE), Server({"bad": True}))
    headers = {"content-type": "application/merge-patch+json"}
    assert server.asked == [("g1", "PATCH", f"{PODS}/p?force=true", headers, b"the body")]
    judged = exchange_of(flow).judged
    assert judged is not None and judged.facts.object == {"bad": True}
    assert flow.response is not None


async def test_what_is_there_now_is_read_when_a_rule_asks_for_it() -> None:
    flow = make_flow("DELETE", f"{PODS}/p?gracePeriodSeconds=1")
    server = await run(flow, loaded(OLD_RULE), Server({"bad": True}))
    assert server.asked == [("g1", f"{PODS}/p")]
    judged = exchange_of(flow).judged
    assert judged is not None and judged.facts.old_object == {"bad": True}
    assert judged.needs.old_object and not judged.needs.object
    assert flow.response is not None


@pytest.mark.parametrize(("method", "text"), [("PATCH", OBJECT_RULE), ("DELETE", OLD_RULE)])
async def test_a_server_that_refuses_answers_the_agent_itself(method: str, text: str) -> None:
    flow = make_flow(method, f"{PODS}/p")
    await run(flow, loaded(text), Server(NOT_FOUND))
    exchange = exchange_of(flow)
    assert flow.response is not None
    assert (flow.response.status_code, flow.response.content) == (404, NOT_FOUND.body)
    assert flow.response.headers["content-type"] == "application/json"
    assert exchange.decision is None
    assert exchange.refusal is not None
    assert exchange.refusal.rule == "server-dry-run"


async def test_a_token_request_that_cannot_be_read_here_is_denied_and_never_dry_run() -> None:
    match = "apiGroups: [''], resources: [serviceaccounts/token], verbs: [create]"
    tests = """
  tests:
    - {expect: match, request: POST /api/v1/namespaces/a/serviceaccounts/s/token, object: {bad: true}}
    - {expect: no-match, request: POST /api/v1/namespaces/a/serviceaccounts/s/token, object: {}}
"""
    rules = loaded(rule(match=match, body="when: object.?bad.orValue(false)\n  risk: 1", tests=tests))
    flow = make_flow("POST", "/api/v1/namespaces/a/serviceaccounts/s/token?dryRun=All")
    server = await run(flow, rules)
    assert server.asked == []
    assert flow.response is not None
    assert flow.response.status_code == 403


async def test_a_required_approval_is_left_to_the_next_step() -> None:
    flow = make_flow("POST", f"{PODS}/p/exec?command=ls")
    await run(flow, loaded(rule(body="risk: 60")))
    decision = exchange_of(flow).decision
    assert decision is not None
    assert (decision.verdict, flow.response) == (Verdict.REQUIRE_APPROVAL, None)


async def test_warnings_are_passed_on() -> None:
    flow = make_flow("GET", PODS)
    await run(flow, loaded(rule("w", body="risk: 40"), rule("s", body="risk: 95\n  mode: shadow")))
    assert exchange_of(flow).warnings == ["w: because w; do w", "shadow: s, on trial, would deny this: because s"]
    assert flow.response is None


FREEZE = """apiVersion: chaperone/v1
kind: FreezeWindow
metadata: {name: epoch}
spec:
  description: the first day
  timeZone: UTC
  from: 1970-01-01T00:00:00
  to: 1970-01-02T00:00:00
  tests:
    - {expect: frozen, now: 1970-01-01T12:00:00}
    - {expect: open, now: 1970-01-02T00:00:00}
"""
DELETES = "apiGroups: [''], resources: [pods], verbs: [deletecollection]"
SITUATION_RULE = rule(
    match=DELETES,
    body="when: affected == 7 && frozen == ['epoch'] && rate.requests == 3\n  verdict: deny\n  retryAfterSeconds: 9",
    tests=f"""  tests:
    - {{expect: match, request: DELETE {PODS}, affected: 7, frozen: [epoch], rate: {{requests: 3}}}}
    - {{expect: no-match, request: DELETE {PODS}, affected: 1}}
""",
)


async def test_extent_time_and_rate_are_facts_and_a_denial_may_pass() -> None:
    flow = make_flow("DELETE", PODS)
    exchange_of(flow).rate = Rate(requests=3)
    server = await run(flow, loaded(SITUATION_RULE, FREEZE))
    assert server.asked == [("g1", f"{PODS}?limit=500")]
    assert flow.response is not None
    assert (flow.response.status_code, flow.response.headers["retry-after"]) == (429, "9")


async def test_a_rate_nobody_knows_is_denied() -> None:
    flow = make_flow("DELETE", PODS)
    await run(flow, loaded(SITUATION_RULE, FREEZE))
    refusal = exchange_of(flow).refusal
    assert refusal is not None
    assert (refusal.code, refusal.rule) == (403, "r")
    assert "rate" in refusal.why


async def test_a_list_that_is_refused_is_the_servers_answer() -> None:
    flow = make_flow("DELETE", PODS)
    await run(flow, loaded(SITUATION_RULE, FREEZE), Server(NOT_FOUND))
    assert flow.response is not None
    assert (flow.response.status_code, flow.response.content) == (404, NOT_FOUND.body)


async def test_the_rules_are_asked_for_each_time() -> None:
    current = GuardrailSet()
    addon = Guardrails(lambda _: current, Server(), nobody, lambda: 2.0, lambda _, body, __: body)
    await addon.request(first := make_flow("POST", PODS, {"bad": True}))
    current = loaded(OBJECT_RULE)
    await addon.request(second := make_flow("POST", PODS, {"bad": True}))
    assert first.response is None
    assert second.response is not None


async def test_what_is_settled_is_left_alone() -> None:
    flow = make_flow("POST", PODS, {"bad": True})
    flow.response = Response.make(400)
    await run(flow, loaded(OBJECT_RULE))
    assert exchange_of(flow).decision is None


@pytest.mark.parametrize("missing", ["request", "connection", "identity", "grant"])
async def test_an_incomplete_exchange_is_never_judged(missing: str) -> None:
    flow = make_flow("GET", PODS)
    setattr(exchange_of(flow), missing, None)
    with pytest.raises(IncompleteExchange):
        await run(flow, loaded(OBJECT_RULE))


async def test_a_body_that_is_not_there_is_never_guessed() -> None:
    flow = make_flow("PATCH", f"{PODS}/p")
    flow.request.content = None
    with pytest.raises(IncompleteExchange):
        await run(flow, loaded(OBJECT_RULE))


async def test_a_cluster_that_cannot_be_asked_is_a_503_that_says_so() -> None:
    class Unreachable(Server):
        async def effective(self, *_: Any) -> Mapping[str, Any] | ServerRefusal:
            raise Unanswered("test could not be asked: ConnectError")

    flow = make_flow("PATCH", f"{PODS}/p")
    await run(flow, loaded(OBJECT_RULE), Unreachable())
    assert flow.response is not None
    assert flow.response.status_code == 503
    assert b"could not be asked: ConnectError" in (flow.response.content or b"")
    assert flow.response.headers["retry-after"] == "5"


ASKING = rule(
    "ask",
    match="apiGroups: [''], resources: [secrets], verbs: [create, update, patch]",
    body="webhook: {url: 'https://opa.test/', caFile: opa.pem}\n  verdict: deny",
    tests="""  tests:
    - {expect: match, request: POST /api/v1/namespaces/a/secrets, object: {}, webhook: {allowed: false}}
    - {expect: no-match, request: POST /api/v1/namespaces/a/secrets, object: {}, webhook: {allowed: true}}
""",
)
SECRETS = "/api/v1/namespaces/a/secrets"


async def test_policy_services_see_what_the_record_sees_and_have_the_last_word() -> None:
    asked: list[Any] = []

    async def ask(webhook: Webhook, review: Mapping[str, Any]) -> Answer:
        asked.append((webhook.url, review["request"]["uid"], review["request"]["object"]))
        return Answer(allowed=False, message="not like this", warnings=("look out",))

    def mask(_: Exchange, body: bytes, kind: str) -> bytes:
        assert kind == "application/json"
        return body.replace(b"s3cr3t", b"*****")

    flow = make_flow("POST", SECRETS, {"data": {"password": "s3cr3t"}})
    await Guardrails(lambda _: loaded(ASKING), Server(), ask, lambda: 2.0, mask).request(flow)
    exchange = exchange_of(flow)
    assert asked == [("https://opa.test/", exchange.id, {"data": {"password": "*****"}})]
    assert exchange.refusal is not None
    assert (exchange.refusal.rule, exchange.refusal.why) == ("ask", "because ask: not like this")
    assert exchange.warnings == ["ask: look out"]
    assert exchange.judged is not None
    assert exchange.judged.facts.answers["ask"].allowed is False


async def test_what_cannot_be_masked_is_shown_to_no_service_and_denied() -> None:
    flow = make_flow("POST", SECRETS, {"data": {}})
    await Guardrails(lambda _: loaded(ASKING), Server(), nobody, lambda: 2.0, lambda *_: b"[not kept: x]").request(flow)
    refusal = exchange_of(flow).refusal
    assert refusal is not None
    assert (refusal.code, refusal.rule) == (403, "ask")
    assert "cannot be asked" in refusal.why
