"""Policy services over real HTTPS: only a whole, timely answer to the very question counts, from the right server."""

from __future__ import annotations

import asyncio
import http.server
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from addons.core.guardrails.answer import Answer, Webhook
from addons.edge import policy_service as module
from addons.edge.policy_service import PolicyServices
from tests.support.policy_service import Service, policy_service, verdict

REVIEW = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u-1"}}
Handler = http.server.BaseHTTPRequestHandler


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with policy_service(tmp_path) as found:
        yield found


@pytest.fixture
async def services() -> AsyncIterator[PolicyServices]:
    found = PolicyServices()
    yield found
    await found.close()


def webhook(service: Service, **changes: Any) -> Webhook:
    return Webhook(**{"url": service.url, "ca_file": str(service.ca_file), "timeout_seconds": 2, **changes})


async def test_an_answer(service: Service, services: PolicyServices) -> None:
    service.answer = lambda review, _: verdict(review, False, status={"message": "no"}, warnings=["w"])
    assert await services.ask(webhook(service), REVIEW) == Answer(allowed=False, message="no", warnings=("w",))
    assert service.asked == [REVIEW]


def raw(status: int, body: bytes = b"", **headers: str) -> Callable[[Any, Handler], None]:
    def answer(_: Any, handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def hang_up(_: Any, handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.close()


def half(_: Any, handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"half')
    handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(raw(200, b"yes"), "no JSON", id="no JSON"),
        pytest.param(raw(500), "status 500", id="a fault"),
        pytest.param(raw(307, Location="https://localhost:1/"), "status 307", id="a redirect"),
        pytest.param(raw(200, b" " * 2_000), "more than 1000 bytes", id="too much"),
        pytest.param(half, "could not be asked", id="half an answer"),
        pytest.param(hang_up, "could not be asked", id="no answer"),
        pytest.param(lambda _, __: verdict({"request": {"uid": "u-2"}}, True), "the uid differs", id="another's"),
        pytest.param(lambda _, __: time.sleep(3), "no answer within 1 s", id="too late"),
    ],
)
async def test_everything_else_is_no_answer(
    service: Service, services: PolicyServices, monkeypatch: pytest.MonkeyPatch, answer: Any, why: str
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    service.answer = answer
    found = await services.ask(webhook(service, timeout_seconds=1), REVIEW)
    assert found.allowed is None
    assert service.url in found.message and why in found.message


async def test_another_authority_is_not_trusted(service: Service, services: PolicyServices, tmp_path: Path) -> None:
    with policy_service(tmp_path / "other") as other:
        found = await services.ask(webhook(service, ca_file=str(other.ca_file)), REVIEW)
    assert (found.allowed, "its certificate:" in found.message) == (None, True), found.message
    assert service.asked == []


async def test_another_name_is_not_trusted(services: PolicyServices, tmp_path: Path) -> None:
    with policy_service(tmp_path, name="somebody.else") as service:
        found = await services.ask(webhook(service), REVIEW)
    assert (found.allowed, "its certificate:" in found.message, service.asked) == (None, True, [])


@pytest.mark.parametrize("change", [{"url": "https://localhost:1/"}, {"ca_file": "/nowhere"}])
async def test_who_is_not_there_gives_no_answer(
    service: Service, services: PolicyServices, change: dict[str, str]
) -> None:
    assert (await services.ask(webhook(service, **change), REVIEW)).allowed is None


@pytest.mark.alone
async def test_many_are_asked_at_once_and_connections_are_used_again(
    service: Service, services: PolicyServices
) -> None:
    def slowly(review: dict[str, Any], _: Handler) -> dict[str, Any]:
        time.sleep(0.2)
        return verdict(review, True)

    service.answer = slowly
    began = time.monotonic()
    answers = await asyncio.gather(*(services.ask(webhook(service), REVIEW) for _ in range(10)))
    assert {answer.allowed for answer in answers} == {True}
    assert time.monotonic() - began < 1.5
