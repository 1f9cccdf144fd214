"""The step that stops who is locked, and the end of what already runs."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence

import pytest
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tutils

from addons import expiry
from addons.core.access_request import AccessRequest
from addons.core.identity import Identity
from addons.core.lock import Lock
from addons.core.refusal import Refusal
from addons.core.session import Session
from addons.edge.store import StoreUnavailable
from addons.exchange import IncompleteExchange
from addons.expiry import Expiry
from addons.locks import Locks
from tests.support.flows import NOW, begun, status

WHO = Identity(iss="https://idp", sub="agent", aud=("c",), exp=NOW + 60)
SESSION = Session(id="s1", identity=WHO, connection="prod", started_at=NOW)
LOCK = Lock(id="a", subject="agent", reason="INC-1", made_by="oncall", made_at=0.0)


class Known:
    """Stands for the store's locks: what is known at once, and what a read would give."""

    def __init__(self, known: Sequence[Lock] | None, read: Sequence[Lock] | Exception = ()) -> None:
        self._known, self._read = known, read

    def known(self) -> Sequence[Lock] | None:
        return self._known

    async def read(self) -> Sequence[Lock]:
        if isinstance(self._read, Exception):
            raise self._read
        return self._read


async def run(known: Known, hook: str, flow: HTTPFlow) -> None:
    result = getattr(Locks(known), hook)(flow)  # type: ignore[arg-type]
    if inspect.isawaitable(result):
        await result


@pytest.mark.parametrize("hook", ["requestheaders", "request"])
@pytest.mark.parametrize(
    ("known", "rule", "code"),
    [
        (Known([]), "", 0),
        (Known([LOCK]), "locked", 403),
        (Known(None, []), "", 0),
        (Known(None, [LOCK]), "locked", 403),
        (Known(None, StoreUnavailable("away")), "locks-unreadable", 503),
    ],
)
async def test_who_is_stopped(known: Known, rule: str, code: int, hook: str) -> None:
    flow, exchange = begun(session=SESSION)
    await run(known, hook, flow)
    assert (flow.response is not None) == bool(rule)
    if rule:
        assert status(flow)["code"] == code
        assert exchange.refusal is not None and exchange.refusal.rule == rule


async def test_what_was_refused_is_left_alone_and_a_session_is_needed() -> None:
    flow, _ = begun()
    with pytest.raises(IncompleteExchange):
        await run(Known([]), "request", flow)
    flow.error = Error("gone")
    await run(Known([LOCK]), "request", flow)
    assert flow.response is None


class Access:
    """Rules that would grant it all again."""

    def grants(self, *_: object) -> Refusal:
        return Refusal(code=403, rule="no-grant", why="for a test that must not come so far")


@pytest.mark.parametrize(
    ("locks", "rule"),
    [
        (Known(None, [LOCK]), "locked"),
        (Known(None, StoreUnavailable("away")), "locks-unreadable"),
        (Known(None, []), "no-grant"),
    ],
)
async def test_what_runs_is_ended(locks: Known, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "LOOK_SECONDS", 0.01)
    ended: list[object] = []
    addon = Expiry(Access, locks.read, _nothing, lambda: NOW, ended.append)  # type: ignore[arg-type]
    flow, exchange = begun(session=SESSION, grant=object(), sealed=True)
    flow.response = tutils.tresp()
    flow.response.stream = True
    addon.responseheaders(flow)
    await wait_until(ended)
    assert exchange.ended is not None and exchange.ended.rule == rule
    assert ended[0] is flow.client_conn


async def _nothing() -> list[AccessRequest]:
    return []


async def wait_until(ended: list[object]) -> None:
    for _ in range(1000):
        if ended:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("nothing was ended")
