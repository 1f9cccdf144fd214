"""The step that answers what is for the gateway itself, with the real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow

from addons.access_requests import AccessRequests
from addons.core.access_request import PATH
from addons.edge.store import Store, StoreUnavailable, sqlite_url
from addons.edge.store_thread import StoreThread
from tests.support.flows import NOW, begun
from tests.test_access import RULES, policy, session

AUTOMATIC = f"{RULES}  onRequest: {{automatic: true}}\n"
ROLE = "arn:aws:iam::123456789012:role/web"
WISH = {"role": ROLE, "intent": "INC-1", "seconds": 60}


@pytest.fixture
def addon(tmp_path: Path) -> Iterator[AccessRequests]:
    with closing(StoreThread(Store(sqlite_url(tmp_path / "store.sqlite")))) as thread:
        yield AccessRequests(lambda _: policy(AUTOMATIC), thread, lambda: NOW)


async def send(addon: AccessRequests, method: str, path: str, body: bytes = b"", **who: Any) -> tuple[HTTPFlow, Any]:
    flow, exchange = begun(session=session(**who))
    flow.request.method, flow.request.path, flow.request.content = method, path, body
    await addon.request(flow)
    if flow.response is None:
        return flow, None
    assert exchange.stays_here and exchange.answered == (flow.response.status_code == 200)
    return flow, json.loads(flow.response.content or b"")


async def test_asked_for_listed_and_given_back_by_nobody_else(addon: AccessRequests) -> None:
    _, made = await send(addon, "POST", PATH, json.dumps(WISH).encode())
    assert (made["state"], made["expires_at"], made["history"][0]["who"]) == ("granted", NOW + 60, "rule")
    _, mine = await send(addon, "GET", PATH)
    assert mine == [made]
    assert (await send(addon, "GET", PATH, sub="alice"))[1] == []
    _, refused = await send(addon, "DELETE", f"{PATH}/{made['id']}", sub="alice")
    assert "only who asked" in refused["message"]
    _, released = await send(addon, "DELETE", f"{PATH}/{made['id']}")
    assert released["state"] == "released"


@pytest.mark.parametrize("path", ["/api", f"{PATH}s", f"/x{PATH}", "/chaperone/v1"])
async def test_what_is_for_the_cluster_is_left_alone(addon: AccessRequests, path: str) -> None:
    flow, _ = await send(addon, "GET", path)
    assert flow.response is None


async def test_what_was_refused_is_left_alone(addon: AccessRequests) -> None:
    flow, _ = begun()
    flow.request.path, flow.error = PATH, Error("gone")
    await addon.request(flow)
    assert flow.response is None


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "says"),
    [
        ("POST", PATH, b"{", 403, "JSON"),
        ("POST", PATH, json.dumps({**WISH, "seconds": "60"}).encode(), 403, "seconds"),
        ("POST", PATH, json.dumps({**WISH, "seconds": 901}).encode(), 403, "at most 900s"),
        ("DELETE", f"{PATH}/none", b"", 403, "there is no access request"),
        ("PUT", PATH, b"", 405, "given back"),
        ("GET", f"{PATH}/none", b"", 405, "given back"),
    ],
)
async def test_mistakes_are_told(
    addon: AccessRequests, method: str, path: str, body: bytes, code: int, says: str
) -> None:
    _, refused = await send(addon, method, path, body)
    assert (refused["kind"], refused["code"]) == ("Status", code)
    assert says in refused["message"]


async def test_without_the_store_nothing_is_given(addon: AccessRequests, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr("addons.access_requests.add_access_request", away)
    with pytest.raises(StoreUnavailable):  # which is a refusal, whatever was asked
        await send(addon, "POST", PATH, json.dumps(WISH).encode())
