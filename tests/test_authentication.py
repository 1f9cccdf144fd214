from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow

from addons.authentication import Authentication
from addons.core.console import Console
from addons.core.dpop import token_hash
from addons.core.identity_provider import IdentityProvider
from addons.core.secret import Secret
from addons.core.session import session_id
from addons.edge.oidc import Verifier
from tests.support.flows import CONNECTION, NOW, begun, status
from tests.support.issuer import EC_1, Issuer, issuer, jwk


@pytest.fixture
def idp() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


@pytest.fixture
async def authentication(idp: Issuer) -> AsyncIterator[Authentication]:
    provider = IdentityProvider(name="idp", issuer=idp.url, audiences=("chaperone",), algorithms=frozenset({"RS256"}))
    verifier = Verifier([provider], time.monotonic)
    yield Authentication(verifier, lambda: NOW)
    await verifier.close()


async def run(authentication: Authentication, flow: HTTPFlow) -> bool:
    """Run the hook; True if it had to wait."""
    result = authentication.requestheaders(flow)
    if result is not None:
        await result
    return result is not None


def bearer(token: str) -> tuple[bytes, bytes]:
    return b"Authorization", f"Bearer {token}".encode()


async def test_identity_and_session_come_from_the_token_which_is_removed(
    idp: Issuer, authentication: Authentication
) -> None:
    token = idp.sign(NOW)
    waited = []
    for _ in range(2):
        flow, exchange = begun((b"Accept", b"x"), bearer(token), intent="INC-7")
        waited.append(await run(authentication, flow))
        assert flow.response is None
        assert flow.request.headers.fields == ((b"Accept", b"x"),)
        identity, session = exchange.identity, exchange.session
        assert identity is not None and session is not None
        assert (identity.iss, identity.sub) == (idp.url, "agent")
        assert (session.identity, session.connection, session.intent) == (identity, "prod", "INC-7")
        assert session.id == session_id(identity, CONNECTION.name, "INC-7")
        assert session.started_at == NOW
    assert waited == [True, False], "a token that was seen before does not wait"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        pytest.param([], "there is none", id="no token"),
        pytest.param([(b"authorization", b"Basic YTpi")], "must be `Bearer`", id="B-23 Basic"),
        pytest.param([bearer("a"), (b"authorization", b"Bearer b")], "more than one", id="B-23 two headers"),
        pytest.param([bearer("opaque")], "not a signed JSON Web Token", id="opaque token"),
        pytest.param([(b"authorization", b"Bearer \xe9")], "must be `Bearer`", id="no ASCII"),
    ],
)
async def test_a_caller_without_a_good_token_learns_how_to_get_one(
    idp: Issuer, authentication: Authentication, fields: list[tuple[bytes, bytes]], why: str
) -> None:
    flow, exchange = begun(*fields)
    await run(authentication, flow)
    assert flow.response is not None
    assert (flow.response.status_code, status(flow)["reason"]) == (401, "Unauthorized")
    assert flow.response.headers["WWW-Authenticate"] == 'Bearer realm="chaperone"'
    message = status(flow)["message"]
    assert why in message and f"{idp.url} for the audience chaperone" in message
    assert exchange.identity is None and exchange.session is None
    assert "authorization" not in flow.request.headers


async def test_an_expired_token_says_so_and_is_not_quoted(
    idp: Issuer, authentication: Authentication, capfd: pytest.CaptureFixture[str]
) -> None:
    token = idp.sign(NOW, exp=NOW - 5)
    flow, _ = begun(bearer(token))
    await run(authentication, flow)
    assert "your token: it expired 5 s ago" in status(flow)["message"]
    output = "".join(capfd.readouterr()) + str(flow.get_state())
    assert not any(part in output for part in token.split("."))


async def test_unreachable_keys_are_the_gateways_trouble(idp: Issuer, authentication: Authentication) -> None:
    idp.answers.clear()
    flow, exchange = begun(bearer(idp.sign(NOW)))
    await run(authentication, flow)
    assert flow.response is not None
    assert (flow.response.status_code, flow.response.headers["Retry-After"]) == (503, "10")
    assert exchange.identity is None


async def test_the_token_of_the_tunnel_counts_for_each_request_without_one(
    idp: Issuer, authentication: Authentication
) -> None:
    token = idp.sign(NOW)
    for _ in range(2):
        flow, exchange = begun(tunnel_token=Secret(token))
        await run(authentication, flow)
        assert exchange.identity is not None and flow.response is None
    assert token not in repr(exchange)


async def test_b28_the_token_of_the_tunnel_expires_with_the_tunnel_open(
    idp: Issuer, authentication: Authentication
) -> None:
    tunnels, later = Secret(idp.sign(NOW, exp=NOW + 5)), NOW + 5
    flow, exchange = begun(tunnel_token=tunnels)
    await run(authentication, flow)
    assert exchange.identity is not None
    authentication._now = lambda: later
    flow, exchange = begun(tunnel_token=tunnels)
    await run(authentication, flow)
    assert "your token: it expired" in status(flow)["message"]
    assert exchange.identity is None


@pytest.mark.parametrize(
    ("own", "code", "why"),
    [
        pytest.param("the same", None, "", id="the same twice"),
        pytest.param("another", 400, "rule: two-tokens", id="B-23 two that differ, both good"),
        pytest.param("Basic eDp4", 401, "must be `Bearer`", id="B-23 its own is none"),
    ],
)
async def test_two_tokens(idp: Issuer, authentication: Authentication, own: str, code: int | None, why: str) -> None:
    tunnels, another = idp.sign(NOW), idp.sign(NOW, sub="another")
    value = {"the same": f"Bearer {tunnels}", "another": f"Bearer {another}"}.get(own, own)
    flow, exchange = begun((b"Authorization", value.encode()), tunnel_token=Secret(tunnels))
    await run(authentication, flow)
    assert (flow.response is None) == (exchange.identity is not None) == (code is None)
    assert flow.response is None or (flow.response.status_code, why in status(flow)["message"]) == (code, True)
    state = str(flow.get_state())
    assert tunnels not in state and another not in state


async def test_a_settled_flow_still_loses_its_token(idp: Issuer, authentication: Authentication) -> None:
    flow, exchange = begun(bearer(idp.sign(NOW)))
    flow.error = Error("client disconnected")
    assert not await run(authentication, flow)
    assert "authorization" not in flow.request.headers
    assert exchange.identity is None and flow.response is None


CONSOLE = "https://console.example"


@pytest.fixture
async def with_console(idp: Issuer) -> AsyncIterator[Authentication]:
    """An authentication that knows a console, whose keys are the issuer's."""
    provider = Console(name="c", url=CONSOLE, audience="chaperone", longest_seconds=3600).provider
    verifier = Verifier([replace(provider, jwks_uri=f"{idp.url}/jwks")], time.monotonic)
    idp.publish(jwk(EC_1))
    yield Authentication(verifier, lambda: NOW)
    await verifier.close()


def session_token(idp: Issuer, **changes: Any) -> str:
    origin = {"iss": "https://idp", "sub": "raw"}
    return idp.sign(NOW, EC_1, "ES256", iss=CONSOLE, sub="ann", sid="s1", origin=origin, **changes)


@pytest.mark.parametrize("scheme", ["Bearer", "DPoP", "dpop"])
async def test_a_session_token_speaks_for_whom_another_vouched_for(
    idp: Issuer, with_console: Authentication, scheme: str
) -> None:
    token = session_token(idp, connection="prod", intent="INC-7", owner="team", cnf={"jkt": "thumb"})
    for waits in (True, False):
        flow, exchange = begun((b"Authorization", f"{scheme} {token}".encode()))
        assert await run(with_console, flow) == waits
        assert flow.response is None and "authorization" not in flow.request.headers
        identity, session = exchange.identity, exchange.session
        assert identity is not None and session is not None
        assert (identity.username, identity.owner, identity.session_token) == ("https://idp#ann", "team", True)
        assert (identity.connection, identity.intent, identity.jkt) == ("prod", "INC-7", "thumb")
        assert identity.subjects == {"ann", "raw"}
        assert exchange.token_hash == token_hash(token)
        assert session.intent == "INC-7", "although the request says none"
        assert session.id == session_id(identity, CONNECTION.name, "INC-7")


async def test_what_a_session_token_says_it_is_for_is_what_the_session_is_for(
    idp: Issuer, with_console: Authentication
) -> None:
    for bound, said, found in (("a", "b", "a"), ("a", "", "a"), ("", "b", "b"), ("", "", "")):
        flow, exchange = begun(bearer(session_token(idp, intent=bound)), intent=said)
        await run(with_console, flow)
        assert exchange.session is not None and exchange.session.intent == found
        assert exchange.token_hash is None, "where no key is asked for"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"origin": "https://idp"}, id="no origin"),
        pytest.param({"sid": None}, id="no session"),
        pytest.param({"cnf": "thumb"}, id="bound to nobody knows what"),
    ],
)
async def test_what_is_no_session_token(idp: Issuer, with_console: Authentication, changes: dict[str, Any]) -> None:
    claims = {"iss": CONSOLE, "sub": "ann", "sid": "s1", "origin": {"iss": "https://idp", "sub": "raw"}, **changes}
    flow, exchange = begun(bearer(idp.sign(NOW, EC_1, "ES256", **claims)))
    await run(with_console, flow)
    assert status(flow)["code"] == 401 and "not a session token" in status(flow)["message"]
    assert exchange.identity is None


async def test_another_providers_token_cannot_say_that_it_is_a_session_token(
    idp: Issuer, authentication: Authentication
) -> None:
    origin = {"iss": "https://other", "sub": "admin"}
    flow, exchange = begun(bearer(idp.sign(NOW, origin=origin, sid="s", connection="x", cnf={"jkt": "k"})))
    await run(authentication, flow)
    identity = exchange.identity
    assert identity is not None
    assert (identity.iss, identity.connection, identity.jkt, identity.session_token) == (idp.url, "", "", False)
    assert identity.subjects == {"agent"}
