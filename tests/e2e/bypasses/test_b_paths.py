"""Section B, paths: what two parsers could read differently is refused, and never sent."""

from __future__ import annotations

import pytest

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.bypasses.oracle import Oracle
from tests.e2e.raw import ask, request


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1/namespaces/default%2fsecrets", 400),
        ("//api/v1/secrets", 400),
        ("/api/v1/../v1/secrets", 400),
        ("/api/v1/namespaces/default/%2e%2e/secrets", 400),
        ("/api/v1/namespaces/default/secrets%00", 400),
        ("/api/v1/nodes/node-1/proxy/metrics", 403),
        ("/apis/unknown.example/v1/things", 403),
        ("/metrics", 403),
    ],
)
def test_paths_that_two_could_read_differently_are_refused(
    path: str, code: int, gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    answer = ask(gateway, request(gateway, path, token=token))
    assert answer.status == code
    assert answer.message
    assert path.encode() not in oracle.sent()
    assert oracle.arrived() == []
