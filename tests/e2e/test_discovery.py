"""What a cluster serves is known by discovery alone: kinds come and go."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from addons.edge.upstream import MISS_INTERVAL
from tests.e2e.agent import Agent, eventually
from tests.e2e.custom_resources import GROUP, definition, install
from tests.support.kubernetes import Kubectl

SOON_AFTER_A_MISS = MISS_INTERVAL + 20
"""A machine with much else to do: discovery of the cluster itself follows a change by some seconds."""


@pytest.fixture(scope="module")
def http(hasty: Agent) -> Iterator[httpx.Client]:
    with hasty.http() as client:
        yield client


def refused(reply: httpx.Response, rule: str) -> bool:
    return reply.status_code == 403 and f"rule: {rule}\n" in reply.json()["message"]


def test_a_kind_is_known_from_its_definition_to_its_end(http: httpx.Client, hasty: Agent, admin: Kubectl) -> None:
    path = f"/apis/{GROUP}/v1/namespaces/{hasty.namespace}/visitors"
    assert refused(http.get(path), "unknown-resource")
    install(admin, definition("visitors", "Visitor", "Namespaced"))
    eventually("the new kind", lambda: http.get(path).status_code == 200, SOON_AFTER_A_MISS)
    assert http.get(f"{path}/one").json()["metadata"]["name"] == "one"
    assert refused(http.get(f"{path}/one/scale"), "unknown-subresource")
    assert refused(http.get(f"/apis/{GROUP}/v1/visitors/one"), "wrong-scope")
    admin("delete", "crd", f"visitors.{GROUP}")
    assert http.get(path).status_code in (403, 404), "by whoever knows first that it is gone"

    def forgotten() -> bool:
        http.get(f"{path}-of-nobody")  # a miss, upon which the gateway asks again
        return refused(http.get(path), "unknown-resource")

    eventually("the end of it", forgotten, SOON_AFTER_A_MISS)
