from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

import pytest
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow, Response

from addons.core.authorization import Bearer
from addons.core.decision import Decision, Verdict
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.secret import Secret
from addons.core.session import Session
from addons.credential_removal import PLACEHOLDER, CredentialRemoval
from addons.credentials import Credentials
from addons.edge.credentials import Credentials as Source
from addons.edge.credentials import CredentialUnavailable
from addons.exchange import Exchange, IncompleteExchange
from tests.support.flows import NOW, begun, status

WHO = Identity(iss="https://idp", sub="agent", aud=("c",), exp=NOW + 60)
GRANT = Grant(id="g", identity=WHO, connection="prod", role="arn", not_before_at=NOW, expires_at=NOW + 60)
DECIDED: dict[str, Any] = {
    "identity": WHO,
    "session": Session(id="s", identity=WHO, connection="prod", started_at=NOW),
    "request": KubeRequest(method="GET", path="/api"),
    "grant": GRANT,
    "decision": Decision(verdict=Verdict.ALLOW),
    "approved": True,
    "recorded": True,
}
TOKEN = Bearer(Secret("k8s-aws-v1.secret"))


class Minter:
    """A source whose tokens are ready, or come later, or never."""

    def __init__(self, ready: bool = True, failure: CredentialUnavailable | None = None) -> None:
        self.ready, self.failure = ready, failure
        self.dropped: list[tuple[Grant, Bearer]] = []

    def cached(self, grant: Grant) -> Bearer | None:
        return TOKEN if self.ready else None

    async def token(self, grant: Grant) -> Bearer:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return TOKEN

    def drop(self, grant: Grant, token: Bearer) -> None:
        self.dropped.append((grant, token))


def addon(minter: Minter) -> Credentials:
    return Credentials(cast(Source, minter))


async def run(minter: Minter, flow: HTTPFlow) -> None:
    result: Awaitable[None] | None = addon(minter).request(flow)
    assert (result is None) is minter.ready or flow.error or flow.response
    if result is not None:
        await result


def authorization(flow: HTTPFlow) -> list[str]:
    return flow.request.headers.get_all("authorization")


@pytest.mark.parametrize("ready", [True, False], ids=["cached", "minted now"])
async def test_a_decided_request_gets_the_credential_and_nothing_else(ready: bool) -> None:
    flow, exchange = begun((b"authorization", b"Bearer a"), (b"Authorization", b"Bearer b"), **DECIDED)
    await run(Minter(ready), flow)
    assert authorization(flow) == ["Bearer k8s-aws-v1.secret"]
    assert exchange.credential is TOKEN
    assert flow.response is None


@pytest.mark.parametrize("missing", [*DECIDED, "connection"])
async def test_an_undecided_request_never_gets_one(missing: str) -> None:
    flow, exchange = begun(**DECIDED)
    setattr(exchange, missing, False if missing in ("approved", "recorded") else None)
    with pytest.raises(IncompleteExchange, match=missing):
        await run(Minter(), flow)
    assert authorization(flow) == [] and exchange.credential is None


async def test_a_refused_request_never_gets_one() -> None:
    flow, exchange = begun(**DECIDED)
    flow.response = Response.make(403)
    await run(Minter(), flow)
    assert authorization(flow) == [] and exchange.credential is None


async def test_a_client_that_left_while_waiting_gets_none() -> None:
    flow, exchange = begun(**DECIDED)
    waiting = addon(Minter(ready=False)).request(flow)
    flow.error = Error("client disconnected")
    assert waiting is not None
    await waiting
    assert authorization(flow) == [] and exchange.credential is None


@pytest.mark.parametrize(
    ("code", "retry"), [("Throttling", "5"), ("AccessDenied", None)], ids=["may pass", "will not pass"]
)
async def test_no_credential_is_the_gateways_trouble(code: str, retry: str | None) -> None:
    flow, exchange = begun(**DECIDED)
    await run(Minter(ready=False, failure=CredentialUnavailable("prod", code, retry is not None)), flow)
    assert flow.response is not None
    assert flow.response.status_code == 503
    assert flow.response.headers.get("Retry-After") == retry
    assert f"no credential for prod: {code}. Your own token is fine" in status(flow)["message"]
    assert exchange.credential is None


def sent(status_code: int = 200) -> tuple[HTTPFlow, Exchange]:
    flow, exchange = begun((b"authorization", b"Bearer k8s-aws-v1.secret"), credential=TOKEN, **DECIDED)
    flow.response = Response.make(status_code, b"{}", {"WWW-Authenticate": "x", "Content-Type": "application/json"})
    return flow, exchange


@pytest.mark.parametrize("event", ["responseheaders", "response", "error", "upgrade_start"])
@pytest.mark.parametrize("which", ["removal", "credentials"])
def test_the_credential_is_off_the_flow_once_it_is_sent(event: str, which: str) -> None:
    flow, _ = sent()
    minter = Minter()
    hooks = CredentialRemoval(cast(Source, minter)) if which == "removal" else addon(minter)
    getattr(hooks, event)(flow)
    assert authorization(flow) == [PLACEHOLDER]
    assert b"k8s-aws-v1" not in repr(flow.get_state()).encode()
    assert minter.dropped == []


def test_a_flow_without_a_credential_gets_no_placeholder() -> None:
    flow, _ = begun(**DECIDED)
    CredentialRemoval(cast(Source, Minter())).error(flow)
    assert authorization(flow) == []


def test_a_credential_the_cluster_does_not_accept_is_dropped_and_not_blamed_on_the_caller() -> None:
    flow, exchange = sent(401)
    minter = Minter()
    removal = CredentialRemoval(cast(Source, minter))
    removal.responseheaders(flow)
    assert minter.dropped == [(GRANT, TOKEN)]
    assert flow.response is not None
    assert flow.response.status_code == 503 and "www-authenticate" not in flow.response.headers
    removal.response(flow)
    assert (status(flow)["code"], flow.response.headers["Retry-After"]) == (503, "5")
    assert exchange.refusal is not None and "not mapped" in status(flow)["message"]


def test_a_streamed_reply_keeps_its_body() -> None:
    flow, _ = sent(401)
    removal = CredentialRemoval(cast(Source, Minter()))
    removal.responseheaders(flow)
    assert flow.response is not None
    flow.response.raw_content = None
    removal.response(flow)
    assert flow.response.status_code == 503 and flow.response.raw_content is None


def test_the_gateways_own_401_is_left_alone() -> None:
    flow, exchange = sent(401)
    exchange.credential = None
    minter = Minter()
    CredentialRemoval(cast(Source, minter)).responseheaders(flow)
    assert flow.response is not None and flow.response.status_code == 401 and minter.dropped == []
