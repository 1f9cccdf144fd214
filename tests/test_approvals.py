"""Requests that wait for a human, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.connection import ConnectionState
from mitmproxy.http import HTTPFlow, Response

from addons.approvals import Approvals
from addons.core.approval import Ask, State
from addons.core.approval_terms import Needed, Reuse, Scope, Terms
from addons.core.command import Command
from addons.core.decision import Decision, Match, Verdict
from addons.core.grant import Grant
from addons.core.guardrails import Unanswered
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.question import CHANGED
from addons.core.session import Session
from addons.edge import store as edge_store
from addons.edge.answers import Answers
from addons.edge.flow_record import FlowRecords
from addons.edge.live import Live, live_folder
from addons.edge.store import Store, StoreUnavailable, sqlite_url
from addons.edge.store_thread import StoreThread
from addons.exchange import Exchange, IncompleteExchange, exchange_of
from addons.refusal import refuse
from tests.support.flows import NOW, begun, judged, records, status

AGENT = Identity(iss="https://idp", sub="agent", aud=("gw",), exp=NOW + 60, owner="bob")
ALICE = Identity(iss="https://idp", sub="alice", aud=("gw",), exp=NOW + 60)
SESSION = Session(id="s1", identity=AGENT, connection="prod", started_at=NOW)
REQUIRED = Decision(verdict=Verdict.REQUIRE_APPROVAL, risk=60, rule="risky", reason="because")
GRANT = Grant(
    id="g", identity=AGENT, connection="prod", role="arn:aws:iam::123456789012:role/r", not_before_at=NOW,
    expires_at=NOW + 60, granted_by="rule",
)  # fmt: skip
DELETE = KubeRequest(
    method="DELETE", path="/api/v1/nodes/n", target="/api/v1/nodes/n", is_resource_request=True, verb="delete",
    api_version="v1", resource="nodes", name="n",
)  # fmt: skip
EXEC = KubeRequest(
    method="GET", path="/e", target="/e?command=id", is_resource_request=True, verb="get", api_version="v1",
    namespace="n", resource="pods", subresource="exec", name="p", argv=("id",),
)  # fmt: skip


def _scrub(_: Exchange, body: bytes, __: str) -> bytes:
    return body.replace(b"hunter2", b"*****")


def _flow(request: KubeRequest = DELETE, **changes: Any) -> HTTPFlow:
    values: dict[str, Any] = {
        "identity": AGENT,
        "session": SESSION,
        "grant": GRANT,
        "request": request,
        "command": Command(),
        "decision": REQUIRED,
        "judged": judged(request),
    }
    flow, _ = begun(**(values | changes))
    flow.client_conn.state = ConnectionState.OPEN
    return flow


class Gateway:
    """The addon around a real store, and a human beside it."""

    def __init__(self, file: Path, hold_seconds: float = 30) -> None:
        self.now = NOW
        self.store = Store(sqlite_url(file))
        self.thread = StoreThread(Store(sqlite_url(file)))
        self.live = Live(file.parent, FlowRecords(_scrub), interval_seconds=0.01)
        self.uid: str | Unanswered = "uid-1"
        self.targets: list[str] = []
        self.answers = Answers(self.thread, lambda: self.now)
        self.addon = Approvals(
            self.thread, self.uid_at, lambda: self.now, _scrub, self.live, self.answers, hold_seconds
        )

    async def uid_at(self, _: Grant, target: str) -> str:
        self.targets.append(target)
        if isinstance(self.uid, Unanswered):
            raise self.uid
        return self.uid

    async def send(self, flow: HTTPFlow) -> Exchange:
        waiting = self.addon.request(flow)
        if waiting is not None:
            await waiting
        assert not flow.intercepted
        return exchange_of(flow)

    async def asked(self) -> str:
        """The id of the one open question, once there is one and its request waits."""
        for _ in range(200):
            if pending := self.store.pending(NOW):
                await asyncio.sleep(0.05)
                return pending[0].approval.id
            await asyncio.sleep(0.01)
        raise AssertionError("nobody asked")

    def close(self) -> None:
        self.live.close()
        self.thread.close()
        self.store.close()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    made = Gateway(tmp_path / "store.db")
    yield made
    made.close()


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[Gateway]:
    made = Gateway(tmp_path / "store.db", hold_seconds=0.05)
    yield made
    made.close()


@pytest.mark.parametrize("verdict", [Verdict.ALLOW, Verdict.WARN])
async def test_what_needs_nobody_is_approved_at_once(gateway: Gateway, verdict: Verdict) -> None:
    flow = _flow(decision=Decision(verdict=verdict))
    assert gateway.addon.request(flow) is None
    assert exchange_of(flow).approved


async def test_no_decision_is_a_fault(gateway: Gateway) -> None:
    for decision in (None, Decision(verdict=Verdict.DENY)):
        flow = _flow(decision=decision)
        with pytest.raises(IncompleteExchange):
            gateway.addon.request(flow)
        assert not exchange_of(flow).approved


async def test_a_settled_flow_is_left_alone(gateway: Gateway) -> None:
    flow = _flow()
    refuse(flow, CHANGED)
    assert gateway.addon.request(flow) is None
    assert not exchange_of(flow).approved
    assert gateway.store.pending(NOW) == []


async def test_approved_while_it_waits(gateway: Gateway) -> None:
    flow = _flow()
    sending = asyncio.create_task(gateway.send(flow))
    approval = await gateway.asked()
    assert flow.intercepted
    gateway.store.decide(approval, State.GRANTED, ALICE, "ok", NOW)
    exchange = await asyncio.wait_for(sending, 5)
    assert exchange.approved
    assert exchange.approval is not None
    assert (exchange.approval.state, exchange.approval.approver) == (State.CONSUMED, "https://idp#alice")
    assert gateway.store.get(approval).approval.state is State.CONSUMED
    assert flow.response is None


async def test_viewers_see_who_waits(gateway: Gateway, tmp_path: Path) -> None:
    flow = _flow()
    sending = asyncio.create_task(gateway.send(flow))
    approval = await gateway.asked()
    file = live_folder(tmp_path) / f"{flow.id}.mitm"
    await _until(lambda: file.exists() and approval in records(file.read_bytes())[0].comment)
    gateway.store.decide(approval, State.GRANTED, ALICE, "", NOW)
    await asyncio.wait_for(sending, 5)
    await _until(lambda: records(file.read_bytes())[0].marked == ":arrow_forward:")


async def test_denied_while_it_waits(gateway: Gateway) -> None:
    flow = _flow()
    sending = asyncio.create_task(gateway.send(flow))
    gateway.store.decide(await gateway.asked(), State.DENIED, ALICE, "not on a Friday", NOW)
    assert not (await asyncio.wait_for(sending, 5)).approved
    assert status(flow)["code"] == 403
    assert "not on a Friday" in status(flow)["message"]
    again = _flow()
    assert not (await gateway.send(again)).approved
    assert status(again)["code"] == 403


@pytest.mark.parametrize(("request_", "code"), [(DELETE, 429), (EXEC, 403)], ids=["ordinary", "exec"])
async def test_nobody_answers(hasty: Gateway, request_: KubeRequest, code: int) -> None:
    flow = _flow(request_)
    assert not (await hasty.send(flow)).approved
    [case] = hasty.store.pending(NOW)
    assert status(flow)["code"] == code
    assert f"chaperone approvals approve {case.approval.id}" in status(flow)["message"]
    if code == 429:
        assert flow.response is not None
        assert flow.response.headers["retry-after"] == "2"


async def test_the_next_identical_request_uses_the_approval_once(hasty: Gateway) -> None:
    await hasty.send(_flow())
    [case] = hasty.store.pending(NOW)
    hasty.store.decide(case.approval.id, State.GRANTED, ALICE, "", NOW)
    assert [(await hasty.send(_flow())).approved for _ in range(2)] == [True, False]


async def test_both_ways_to_open_an_exec_are_one_question(hasty: Gateway) -> None:
    await hasty.send(_flow(EXEC))
    [case] = hasty.store.pending(NOW)
    post = KubeRequest(**{name: getattr(EXEC, name) for name in EXEC.__slots__} | {"method": "POST"})
    await hasty.send(_flow(post))
    assert len(hasty.store.pending(NOW)) == 1
    hasty.store.decide(case.approval.id, State.GRANTED, ALICE, "", NOW)
    assert (await hasty.send(_flow(post))).approved


WEBSOCKET = replace(EXEC, upgrade="websocket")
SPDY = replace(EXEC, method="POST", upgrade="spdy")


async def test_a_second_try_over_spdy_tells_how_the_first_stands_without_waiting(gateway: Gateway) -> None:
    first = asyncio.create_task(gateway.send(_flow(WEBSOCKET)))
    approval = await gateway.asked()
    gateway.now += 1
    second = _flow(SPDY)
    await asyncio.wait_for(gateway.send(second), 5)
    assert f"chaperone approvals approve {approval}" in status(second)["message"]
    gateway.store.decide(approval, State.GRANTED, ALICE, "", gateway.now)
    assert (await first).approved


async def test_a_client_that_speaks_only_spdy_asks_and_is_let_in(hasty: Gateway) -> None:
    await hasty.send(_flow(SPDY))
    [case] = hasty.store.pending(NOW)
    hasty.store.decide(case.approval.id, State.GRANTED, ALICE, "", NOW)
    assert (await hasty.send(_flow(SPDY))).approved


async def test_what_the_cluster_declined_is_not_asked_about_again(hasty: Gateway) -> None:
    """kubectl tries it over SPDY, which would be a second question about what cannot succeed."""
    await hasty.send(_flow(WEBSOCKET))
    [case] = hasty.store.pending(NOW)
    hasty.store.decide(case.approval.id, State.GRANTED, ALICE, "", NOW)
    first = _flow(WEBSOCKET)
    assert (await hasty.send(first)).approved
    exchange_of(first).sealed = True
    first.response = Response.make(403)
    hasty.addon.responseheaders(first)
    second = _flow(SPDY)
    await hasty.send(second)
    assert "declined-by-the-cluster" in status(second)["message"]
    assert hasty.store.pending(NOW) == []
    hasty.now += 60
    await hasty.send(_flow(SPDY))
    assert len(hasty.store.pending(hasty.now)) == 1


async def test_two_identical_requests_that_wait_share_one_approval(gateway: Gateway) -> None:
    flows = [_flow(), _flow()]
    sending = [asyncio.create_task(gateway.send(flow)) for flow in flows]
    approval = await gateway.asked()
    gateway.store.decide(approval, State.GRANTED, ALICE, "", NOW)
    exchanges = await asyncio.wait_for(asyncio.gather(*sending), 5)
    assert sorted(exchange.approved for exchange in exchanges) == [False, True]
    assert len(gateway.store.latest()) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda flow: setattr(flow.request, "content", b"evil"), id="body"),
        pytest.param(lambda flow: setattr(flow.request, "path", "/api/v1/nodes/other"), id="path"),
        pytest.param(lambda flow: setattr(flow.request, "method", "PUT"), id="method"),
        pytest.param(lambda flow: flow.request.headers.add("X-New", "1"), id="header"),
        pytest.param(lambda flow: setattr(flow.request, "host", "elsewhere"), id="host"),
    ],
)
async def test_b69_a_change_after_the_question_is_refused(gateway: Gateway, change: Any) -> None:
    flow = _flow()
    sending = asyncio.create_task(gateway.send(flow))
    approval = await gateway.asked()
    change(flow)
    gateway.store.decide(approval, State.GRANTED, ALICE, "", NOW)
    assert not (await asyncio.wait_for(sending, 5)).approved
    assert "changed-after-approval" in status(flow)["message"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"identity": ALICE}, id="another-caller"),
        pytest.param({"request": EXEC}, id="another-request"),
    ],
)
async def test_b69_an_approval_is_for_nothing_else(hasty: Gateway, changes: dict[str, Any]) -> None:
    await hasty.send(_flow())
    [case] = hasty.store.pending(NOW)
    hasty.store.decide(case.approval.id, State.GRANTED, ALICE, "", NOW)
    assert not (await hasty.send(_flow(**changes))).approved


async def test_b86_an_approval_is_for_the_object_that_was_there(hasty: Gateway) -> None:
    await hasty.send(_flow())
    [case] = hasty.store.pending(NOW)
    hasty.store.decide(case.approval.id, State.GRANTED, ALICE, "", NOW)
    hasty.uid = "uid-2"
    assert not (await hasty.send(_flow())).approved
    hasty.uid = "uid-1"
    assert (await hasty.send(_flow())).approved
    assert set(hasty.targets) == {"/api/v1/nodes/n"}


async def test_b86_another_object_took_its_place_while_it_waited(gateway: Gateway) -> None:
    flow = _flow()
    sending = asyncio.create_task(gateway.send(flow))
    approval = await gateway.asked()
    gateway.uid = "uid-2"
    gateway.store.decide(approval, State.GRANTED, ALICE, "", NOW)
    assert not (await asyncio.wait_for(sending, 5)).approved
    assert "changed-after-approval" in status(flow)["message"]


async def test_b80_what_it_is_about_cannot_be_told(gateway: Gateway) -> None:
    gateway.uid = Unanswered("away")
    flow = _flow()
    assert not (await gateway.send(flow)).approved
    assert (status(flow)["code"], "away" in status(flow)["message"]) == (503, True)
    assert gateway.store.pending(NOW) == []


async def test_whoever_leaves_does_not_use_up_the_approval(gateway: Gateway) -> None:
    flow = _flow()
    sending = asyncio.create_task(gateway.send(flow))
    approval = await gateway.asked()
    gateway.addon.client_disconnected(_flow().client_conn)
    assert flow.intercepted
    flow.client_conn.state = ConnectionState.CLOSED
    gateway.addon.client_disconnected(flow.client_conn)
    assert not (await asyncio.wait_for(sending, 5)).approved
    gateway.store.decide(approval, State.GRANTED, ALICE, "", NOW)
    assert (await gateway.send(_flow())).approved


async def test_granted_in_the_moment_the_client_leaves(gateway: Gateway) -> None:
    flow = _flow()
    sending = asyncio.create_task(gateway.send(flow))
    approval = await gateway.asked()
    flow.client_conn.state = ConnectionState.CLOSED
    gateway.store.decide(approval, State.GRANTED, ALICE, "", NOW)
    assert not (await asyncio.wait_for(sending, 5)).approved
    assert gateway.store.get(approval).approval.state is State.GRANTED


async def test_b80_a_gateway_that_stops_says_so_and_the_question_stays(gateway: Gateway) -> None:
    flow = _flow()
    sending = asyncio.create_task(gateway.send(flow))
    approval = await gateway.asked()
    assert gateway.answers.stop() == 1
    assert not (await asyncio.wait_for(sending, 5)).approved
    assert (status(flow)["code"], "gateway-stopping" in status(flow)["message"]) == (503, True)
    assert flow.response is not None
    assert flow.response.headers["retry-after"] == "5"
    late = _flow()
    await asyncio.wait_for(gateway.send(late), 5)
    assert status(late)["code"] == 503, "nobody begins to wait"
    assert gateway.store.get(approval).approval.state is State.PENDING
    gateway.store.decide(approval, State.GRANTED, ALICE, "", NOW)
    assert (await gateway.send(_flow())).approved, "it is there after a restart"


async def test_a_flow_killed_while_it_waits_stays_dead(gateway: Gateway) -> None:
    flow = _flow()
    sending = asyncio.create_task(gateway.send(flow))
    approval = await gateway.asked()
    flow.resume()
    flow.kill()
    assert not (await asyncio.wait_for(sending, 5)).approved
    assert gateway.store.get(approval).approval.state is State.PENDING


async def test_b80_a_store_that_fails_while_waiting_is_a_fault(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = _flow()
    sending = asyncio.create_task(gateway.send(flow))
    await gateway.asked()

    def broken(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(Store, "approvals", broken)
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(sending, 5)
    assert not flow.intercepted
    assert not exchange_of(flow).approved


async def test_b80_a_store_that_cannot_be_asked_is_a_fault(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(Store, "claim", broken)
    flow = _flow()
    with pytest.raises(StoreUnavailable):
        await gateway.send(flow)
    assert not exchange_of(flow).approved


async def test_b82_too_many_questions(hasty: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_store, "MAX_PENDING", 0)
    flow = _flow()
    assert not (await hasty.send(flow)).approved
    assert "too-many-approvals" in status(flow)["message"]


async def _until(true: Callable[[], bool]) -> None:
    for _ in range(2000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


async def test_the_store_is_asked_once_for_all_and_only_while_someone_waits(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries: list[int] = []
    original = Store.approvals

    def counted(store: Store, ids: set[str]) -> Any:
        queries.append(len(ids))
        return original(store, ids)

    monkeypatch.setattr(Store, "approvals", counted)
    flows = [_flow(KubeRequest(method="GET", path="/", target=f"/{number}")) for number in range(20)]
    sending = [asyncio.create_task(gateway.send(flow)) for flow in flows]
    await _until(lambda: all(flow.intercepted for flow in flows))
    queries.clear()
    await _until(lambda: len(queries) >= 3)
    assert set(queries[1:]) == {20}
    for case in gateway.store.pending(NOW):
        gateway.store.decide(case.approval.id, State.GRANTED, ALICE, "", NOW)
    assert all(exchange.approved for exchange in await asyncio.gather(*sending))
    await asyncio.sleep(0.6)  # a query that was under way may still end
    before = len(queries)
    await asyncio.sleep(0.6)
    assert len(queries) == before


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        pytest.param({"body_object": {"password": "hunter2"}}, '+  "password": "*****"', id="sent"),
        pytest.param(
            {"judged": judged(DELETE, object={"a": 2}, old_object={"a": 1}), "body_object": {}},
            '-  "a": 1',
            id="effective",
        ),
    ],
)
async def test_the_question_shows_the_change_masked(hasty: Gateway, changes: dict[str, Any], shown: str) -> None:
    await hasty.send(_flow(**changes))
    [case] = hasty.store.pending(NOW)
    assert shown in case.ask.diff
    assert "hunter2" not in case.ask.diff
    assert isinstance(case.ask, Ask)


SESSION_LONG = Scope(reuse=Reuse.SESSION, seconds=600)


def _asking(risk: int = 60, rule: str = "risky", **terms: Any) -> Decision:
    values: dict[str, Any] = {"reuse": Reuse.SESSION, "max_seconds": 3600} | terms
    match = Match(rule=rule, verdict=Verdict.REQUIRE_APPROVAL, risk=risk, reason="because", terms=Terms(**values))
    return replace(REQUIRED, risk=risk, rule=rule, matches=(match,))


AGAIN = _asking()


async def _stand(gateway: Gateway, scope: Scope = SESSION_LONG, **changes: Any) -> str:
    """An approval that stands, given for a request that has come back with 429."""
    await gateway.send(_flow(**{"request": WEBSOCKET, "decision": AGAIN, **changes}))
    [case] = gateway.store.pending(gateway.now)
    gateway.store.decide(case.approval.id, State.GRANTED, ALICE, "for the incident", gateway.now, scope)
    return case.approval.id


async def test_b69_an_approval_that_stands_covers_the_like_and_says_so(hasty: Gateway) -> None:
    approval = await _stand(hasty)
    for number in range(1, 4):
        exchange = await hasty.send(_flow(WEBSOCKET, decision=AGAIN))
        assert exchange.approved
        assert exchange.approval is not None
        found = exchange.approval
        assert (found.id, found.approver, found.note, found.uses) == (
            approval, "https://idp#alice", "for the incident", number,
        )  # fmt: skip
        assert (found.reuse, found.expires_at) == (Reuse.SESSION, NOW + 600)
    assert hasty.store.pending(NOW) == []


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"session": replace(SESSION, id="s2")}, id="another session"),
        pytest.param({"session": replace(SESSION, intent="INC-2")}, id="another intent"),
        pytest.param({"identity": replace(AGENT, sub="other")}, id="another caller"),
        pytest.param({"decision": _asking(risk=61)}, id="a higher risk"),
        pytest.param({"decision": _asking(rule="another")}, id="another rule"),
        pytest.param({"decision": _asking(reuse=Reuse.NEVER)}, id="a rule that allows it no more"),
        pytest.param({"decision": _asking(count=2)}, id="a rule that wants two people by now"),
        pytest.param({"decision": REQUIRED}, id="nobody knows which rule"),
        pytest.param({"request": replace(WEBSOCKET, target="/e?command=rm")}, id="another command"),
        pytest.param({"request": replace(WEBSOCKET, stdin=True)}, id="with input"),
    ],
)
async def test_b69_what_stands_covers_nothing_else(hasty: Gateway, changes: dict[str, Any]) -> None:
    await _stand(hasty)
    flow = _flow(**{"request": WEBSOCKET, "decision": AGAIN, **changes})
    assert not (await hasty.send(flow)).approved
    assert len(hasty.store.pending(NOW)) == 1


async def test_b86_what_stands_is_for_the_object_that_was_there(hasty: Gateway) -> None:
    await _stand(hasty)
    hasty.uid = "uid-2"
    assert not (await hasty.send(_flow(WEBSOCKET, decision=AGAIN))).approved


async def test_b81_revoked_or_over_it_is_asked_again(hasty: Gateway) -> None:
    approval = await _stand(hasty)
    assert (await hasty.send(_flow(WEBSOCKET, decision=AGAIN))).approved
    hasty.store.revoke(approval, ALICE, "over", NOW)
    assert not (await hasty.send(_flow(WEBSOCKET, decision=AGAIN))).approved
    [case] = hasty.store.pending(NOW)
    hasty.store.decide(case.approval.id, State.GRANTED, ALICE, "", NOW, SESSION_LONG)
    hasty.now += 600
    assert not (await hasty.send(_flow(WEBSOCKET, decision=AGAIN))).approved


async def test_all_who_wait_for_what_then_stands_go_on_and_no_other_session(gateway: Gateway) -> None:
    """An identical request of another session shares the question, and not an answer for one session."""
    flows = [_flow(WEBSOCKET, decision=AGAIN) for _ in range(2)]
    elsewhere = _flow(WEBSOCKET, decision=AGAIN, session=replace(SESSION, id="s2"))
    sending = [asyncio.create_task(gateway.send(flow)) for flow in (*flows, elsewhere)]
    await _until(lambda: all(flow.intercepted for flow in (*flows, elsewhere)))
    [case] = gateway.store.pending(NOW)
    assert case.ask.session == "s1"
    gateway.store.decide(case.approval.id, State.GRANTED, ALICE, "", NOW, SESSION_LONG)
    exchanges = await asyncio.wait_for(asyncio.gather(*sending), 5)
    assert [exchange.approved for exchange in exchanges] == [True, True, False]
    assert gateway.store.get(case.approval.id).approval.uses == 2


async def test_several_people_have_to_agree(gateway: Gateway) -> None:
    flow = _flow(decision=_asking(count=2))
    sending = asyncio.create_task(gateway.send(flow))
    approval = await gateway.asked()
    [case] = gateway.store.pending(NOW)
    assert case.ask.needed == (Needed(rule="risky", count=2),)
    gateway.store.decide(approval, State.GRANTED, ALICE, "", NOW)
    await asyncio.sleep(0.6)
    assert flow.intercepted, "one is not enough"
    gateway.store.decide(approval, State.GRANTED, replace(ALICE, sub="carol"), "", NOW)
    exchange = await asyncio.wait_for(sending, 5)
    assert exchange.approved
    assert exchange.approval is not None
    assert exchange.approval.approver == "https://idp#alice, https://idp#carol"
