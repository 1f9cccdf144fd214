"""Asks external policy services: HTTPS to the service's own CA, no redirects, bounded in size and time.

Whatever is not a whole, timely answer to this very question is an `Answer` that nobody knows, and so denies.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from addons.core.guardrails.answer import Answer, UnusableAnswer, Webhook, read_answer
from addons.edge.tls import client_context

MAX_BYTES = 1024 * 1024


class PolicyServices:
    """Connections to every service asked so far. Belongs to one event loop."""

    def __init__(self) -> None:
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def ask(self, webhook: Webhook, review: Mapping[str, Any]) -> Answer:
        """The answer, or one with `allowed` None that says what went wrong."""
        try:
            async with asyncio.timeout(webhook.timeout_seconds):
                return read_answer(await self._post(webhook, orjson.dumps(review)), review["request"]["uid"])
        except TimeoutError:
            why = f"it gave no answer within {webhook.timeout_seconds} s"
        except UnusableAnswer as error:
            why = str(error)
        except (httpx.HTTPError, OSError) as error:  # ssl.SSLError is an OSError
            why = f"it could not be asked: {_cause(error)}"
        return Answer(allowed=None, message=f"the policy service {webhook.url} is asked, and {why}")

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()

    async def _post(self, webhook: Webhook, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        async with self._client(webhook.ca_file).stream("POST", webhook.url, content=body, headers=headers) as response:
            if response.status_code != 200:
                raise UnusableAnswer(f"it answered with status {response.status_code}")
            content = bytearray()
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise UnusableAnswer(f"it answered with more than {MAX_BYTES} bytes")
        return bytes(content)

    def _client(self, ca_file: str) -> httpx.AsyncClient:
        if ca_file not in self._clients:
            self._clients[ca_file] = httpx.AsyncClient(
                verify=client_context(ca_file),
                trust_env=False,
                follow_redirects=False,
                timeout=None,  # the deadline is the webhook's
                limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
                headers={"Accept-Encoding": "identity", "User-Agent": "kube-chaperone"},
            )
        return self._clients[ca_file]


def _cause(error: Exception) -> str:
    """The kind of failure; of a certificate, what is wrong with it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
