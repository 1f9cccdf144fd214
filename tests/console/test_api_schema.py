"""The API keeps to its own description, whatever it is sent: schemathesis, all its checks, against the application.

The application and its store are real, with something in it, and reached over the network of this machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from addons.core.access_request import AccessRequest
from addons.core.throttle import Throttle
from addons.edge.access_request_store import add_access_request
from addons.policy import Policy
from scripts import openapi
from scripts.devenv.processes import free_ports
from tests.console.served import Served, served
from tests.console.test_pages import ASK, policy
from tests.support.issuer import Issuer

__all__ = ["policy"]  # a fixture
EXAMPLES = 12
"""Of each address; the phases of examples and of limits come on top."""


@pytest.fixture(scope="module")
def console(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    state = tmp_path_factory.mktemp("api")
    folder = state / "sessions" / "s-1"
    folder.mkdir(parents=True)
    (folder / "session.json").write_text(json.dumps({"connection": "prod", "identity": {"sub": "bot"}}))
    with served(policy, free_ports(1)[0], state) as running:
        running.parts.people.asked = running.parts.people.sent = Throttle(1_000_000, 60)
        for number in range(3):
            running.store.claim(f"d{number}", ASK, time.time())
        request = AccessRequest(
            id="r2345678", iss="https://agents", sub="agent", connection="prod", role="system:x", rule="on-request",
            intent="INC-1", seconds=3600, longest_seconds=7200, approvers=("admins",), asked_at=time.time(),
            expires_at=time.time() + 600,
        )  # fmt: skip
        add_access_request(running.store, request)
        yield running


@pytest.fixture(scope="module")
def token(idp: Issuer) -> str:
    return idp.sign(time.time(), sub="ann", groups=["admins"], exp=time.time() + 3600)


api = schemathesis.openapi.from_dict(openapi.document())


@api.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
def test_the_api_is_as_it_says(case: schemathesis.Case[Any], console: Served, token: str) -> None:
    case.call_and_validate(base_url=f"{console.url}/api", headers={"Authorization": f"Bearer {token}"})
