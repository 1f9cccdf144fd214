from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from addons.core.grant import Grant
from addons.core.guardrails.effective import Objects, Sent, ServerRefusal, objects
from addons.core.guardrails.facts import Needs
from addons.core.guardrails.selftest import request_of
from tests.core.guardrails.support import GRANT

PODS = "/api/v1/namespaces/a/pods"


class Server:
    """Records what it is asked and answers with it."""

    async def effective(
        self, grant: Grant, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, Any] | ServerRefusal:
        return {"asked": (grant.id, method, target, dict(headers), body)}

    async def current(self, grant: Grant, target: str) -> Mapping[str, Any] | ServerRefusal | None:
        return {"stored": (grant.id, target)}

    async def affected(self, grant: Grant, target: str) -> int | ServerRefusal:
        assert grant is GRANT
        return len(target)


def sent(method: str, target: str) -> Sent:
    return Sent(method=method, target=target, content_type="t", body=b"b")


@pytest.mark.parametrize(
    ("method", "target", "submitted", "expected"),
    [
        pytest.param("POST", PODS, {"a": 1}, {"a": 1}, id="a decoded create is what was submitted"),
        pytest.param("PUT", f"{PODS}/p", {"a": 1}, {"a": 1}, id="a decoded update too"),
        pytest.param("POST", PODS, None, "asked", id="an undecoded create is asked for"),
        pytest.param("PATCH", f"{PODS}/p?force=true", None, "asked", id="a patch is asked for"),
        pytest.param("PATCH", f"{PODS}/p", {"a": 1}, "asked", id="a decoded patch is not the object"),
        pytest.param(
            "POST", "/api/v1/namespaces/a/serviceaccounts/s/token", None, None, id="a TokenRequest is never dry-run"
        ),
        pytest.param(
            "POST", "/api/v1/namespaces/a/serviceaccounts/s/token", {"a": 1}, {"a": 1}, id="a decoded TokenRequest"
        ),
    ],
)
async def test_object_after(method: str, target: str, submitted: Any, expected: Any) -> None:
    request = request_of(f"{method} {target}")
    if expected == "asked":
        expected = {"asked": ("g1", method, target, {"content-type": "t"}, b"b")}
    needs = Needs(object=True)
    found = await objects(Server(), needs, GRANT, request, submitted, sent(method, target))
    assert found == Objects(after=expected)


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("PATCH", f"{PODS}/p?force=true", {"stored": ("g1", f"{PODS}/p")}),
        ("DELETE", f"{PODS}/p", {"stored": ("g1", f"{PODS}/p")}),
        ("DELETE", PODS, None),
        ("POST", PODS, None),
    ],
)
async def test_object_before(method: str, target: str, expected: Any) -> None:
    request = request_of(f"{method} {target}")
    found = await objects(Server(), Needs(old_object=True), GRANT, request, None, sent(method, target))
    assert found == Objects(before=expected)


REFUSED = ServerRefusal(status=422, body=b"{}")


class Refusing(Server):
    """Refuses one of the two questions."""

    def __init__(self, question: str) -> None:
        self.question = question

    async def effective(
        self, grant: Grant, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, Any] | ServerRefusal:
        return REFUSED if self.question == "after" else {}

    async def current(self, grant: Grant, target: str) -> Mapping[str, Any] | ServerRefusal | None:
        return REFUSED if self.question == "before" else None

    async def affected(self, grant: Grant, target: str) -> int | ServerRefusal:
        return REFUSED if self.question == "affected" else 0


async def test_how_much_a_deletecollection_reaches_is_asked_with_its_selectors_alone() -> None:
    target = f"{PODS}?limit=1&labelSelector=app%3Dweb&labelSelector=b&propagationPolicy=Orphan&continue=x"
    request = request_of(f"DELETE {target}")
    found = await objects(Server(), Needs(affected=True), GRANT, request, None, sent("DELETE", target))
    assert found == Objects(affected=len(f"{PODS}?labelSelector=app%3Dweb&limit=500"))


@pytest.mark.parametrize("question", ["after", "before", "affected"])
async def test_the_servers_refusal_is_the_answer(question: str) -> None:
    request = request_of(f"PATCH {PODS}/p")
    needs = Needs(object=True, old_object=True, affected=True)
    assert await objects(Refusing(question), needs, GRANT, request, None, sent("PATCH", f"{PODS}/p")) is REFUSED


async def test_nothing_needed_is_nothing_asked() -> None:
    request = request_of(f"PATCH {PODS}/p")
    found = await objects(Refusing("after"), Needs(), GRANT, request, None, sent("PATCH", f"{PODS}/p"))
    assert found == Objects()
