"""The step that refuses a token where it was not used first, with the real store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow

from addons.core.identity import Identity
from addons.core.refusal import Refusal
from addons.core.single_use import Use
from addons.edge.first_use import FirstUses
from addons.edge.store import Store, StoreUnavailable, sqlite_url
from addons.edge.store_thread import StoreThread
from addons.exchange import IncompleteExchange, exchange_of
from addons.single_use import SingleUse
from tests.support.flows import CONNECTION, NOW, begun, status

WHO = Identity(iss="https://idp", sub="agent", aud=("c",), exp=NOW + 60, jti="j1")


@pytest.fixture
def uses(tmp_path: Path) -> Iterator[FirstUses]:
    with closing(StoreThread(Store(sqlite_url(tmp_path / "store.sqlite")))) as thread:
        yield FirstUses(thread, lambda: NOW)


@pytest.fixture
def step(uses: FirstUses) -> SingleUse:
    return SingleUse(lambda _: [WHO.iss], uses)


async def used(step: SingleUse, address: str, connection: str = "prod", who: Identity | None = WHO) -> HTTPFlow:
    """A flow that the step has seen; whether it waited is in its metadata."""
    flow, _ = begun(connection=replace(CONNECTION, name=connection), identity=who)
    flow.client_conn.peername = (address, 40000)
    waiting = step.requestheaders(flow)
    flow.metadata["waited"] = waiting is not None
    if waiting is not None:
        await waiting
    return flow


async def test_many_requests_of_one_place_pass_and_one_waits(step: SingleUse) -> None:
    flows = [await used(step, address) for address in ("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1")]
    assert [flow.response for flow in flows] == [None] * 3
    assert [flow.metadata["waited"] for flow in flows] == [True, False, False]


@pytest.mark.parametrize(
    ("address", "connection"), [("10.0.0.2", "prod"), ("10.0.0.1", "test"), ("2001:db8::1", "prod")]
)
async def test_another_place_is_refused_and_told_to_the_operators(
    address: str, connection: str, step: SingleUse, capfd: pytest.CaptureFixture[str]
) -> None:
    await used(step, "10.0.0.1")
    for _ in range(2):
        flow = await used(step, address, connection)
        assert flow.response is not None
        assert (status(flow)["code"], status(flow)["details"]["causes"][0]["reason"]) == (401, "token-used-elsewhere")
        assert flow.response.headers["WWW-Authenticate"] == 'Bearer realm="chaperone"'
        assert exchange_of(flow).identity == WHO, "the audit event names whose token it is"
    said = "".join(capfd.readouterr())
    for part in ("token used elsewhere", "https://idp#agent", "10.0.0.1 prod", f"{address} {connection}"):
        assert part in said
    assert (await used(step, "10.0.0.1")).response is None, "and the first one goes on"


async def test_a_new_token_is_bound_anew(step: SingleUse) -> None:
    await used(step, "10.0.0.1")
    assert (await used(step, "10.0.0.2", who=replace(WHO, jti="j2"))).response is None


async def test_where_it_is_not_asked_for_nothing_is_bound(uses: FirstUses) -> None:
    step = SingleUse(lambda _: ["https://other"], uses)
    flows = [await used(step, address, who=replace(WHO, jti="")) for address in ("10.0.0.1", "10.0.0.2")]
    assert [(flow.response, flow.metadata["waited"]) for flow in flows] == [(None, False)] * 2


@pytest.mark.parametrize("who", [None, replace(WHO, jti="")], ids=["nobody", "no jti"])
async def test_without_an_identity_or_an_id_nothing_passes(who: Identity | None, step: SingleUse) -> None:
    with pytest.raises(IncompleteExchange):
        await used(step, "10.0.0.1", who=who)


async def test_without_an_address_nothing_passes(step: SingleUse) -> None:
    flow, _ = begun(identity=WHO)
    flow.client_conn.peername = None  # type: ignore[assignment]
    with pytest.raises(IncompleteExchange):
        step.requestheaders(flow)


async def test_what_was_refused_is_left_alone(step: SingleUse) -> None:
    flow, _ = begun()
    flow.error = Error("gone")
    assert step.requestheaders(flow) is None


class Gone:
    """Stands for the uses of a store that is away."""

    def known(self, _: Use) -> None:
        return None

    async def find(self, _: Use) -> Use:
        raise StoreUnavailable("away")


async def test_a_store_that_is_away_refuses() -> None:
    flow = await used(SingleUse(lambda _: [WHO.iss], Gone()), "10.0.0.1")  # type: ignore[arg-type]
    refusal = exchange_of(flow).refusal
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.rule, refusal.retry_after_seconds) == (503, "token-uses-unreadable", 5)
