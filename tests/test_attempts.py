"""Which exchanges are two tries of one session."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow, Response

from addons.attempts import Attempts
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.exchange import exchange_of
from tests.support.flows import CONNECTION, NOW, begun

AGENT = Identity(iss="https://idp", sub="agent", aud=("gw",), exp=NOW + 60)
EXEC = KubeRequest(
    method="GET", path="/e", target="/e?command=id", is_resource_request=True, verb="get", namespace="n",
    resource="pods", subresource="exec", name="p", upgrade="websocket",
)  # fmt: skip
AGAIN = replace(EXEC, method="POST", verb="create", upgrade="spdy")
PROXY = replace(EXEC, subresource="proxy")


def answered(addon: Attempts, request: KubeRequest | None = EXEC, code: int = 403, **changes: Any) -> HTTPFlow:
    """An exchange from its request to its answer."""
    flow, _ = begun(**{"identity": AGENT, "request": request, **changes})
    addon.request(flow)
    flow.response = Response.make(code)
    addon.response(flow)
    return flow


def retry_of(flow: HTTPFlow) -> str:
    return exchange_of(flow).retry_of


@pytest.fixture
def addon() -> Attempts:
    return Attempts(lambda: NOW)


@pytest.mark.parametrize("code", [403, 404, 500])
def test_the_second_try_names_the_first(code: int, addon: Attempts) -> None:
    first = answered(addon, code=code)
    assert retry_of(first) == ""
    assert retry_of(answered(addon, AGAIN)) == exchange_of(first).id
    assert retry_of(answered(addon, AGAIN)) == ""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"code": 101}, {}, id="the first was opened"),
        pytest.param({"identity": replace(AGENT, sub="other")}, {}, id="by somebody else"),
        pytest.param({"connection": replace(CONNECTION, name="other")}, {}, id="in another cluster"),
        pytest.param({"request": replace(EXEC, target="/e?command=ls")}, {}, id="another command"),
        pytest.param({"request": PROXY}, {"request": replace(PROXY, upgrade="spdy")}, id="no session"),
        pytest.param({"request": replace(EXEC, upgrade="")}, {}, id="no upgrade"),
        pytest.param({"request": None}, {}, id="unreadable"),
        pytest.param({"identity": None}, {"identity": None}, id="by nobody"),
        pytest.param({"connection": None}, {"connection": None}, id="to nowhere"),
        pytest.param({}, {"request": EXEC}, id="the same protocol again"),
    ],
)
def test_others_stand_for_themselves(first: dict[str, Any], second: dict[str, Any], addon: Attempts) -> None:
    answered(addon, **first)
    assert retry_of(answered(addon, **{"request": AGAIN, **second})) == ""
