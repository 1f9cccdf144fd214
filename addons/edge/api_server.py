"""One question to one cluster's API server: over TLS that trusts the cluster's CA alone, bounded in size and time.

Redirects are never followed, and a target is sent as it is: a library's idea of a tidier URL could mean something else.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from addons.core.authorization import Bearer, with_bearer
from addons.core.connection import Connection
from addons.core.guardrails.effective import Unanswered
from addons.core.headers import authority
from addons.edge.tls import client_context

MAX_BYTES = 16 * 1024 * 1024
_DEADLINE = 30.0
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)


class UpstreamUnavailable(Unanswered):
    """The cluster gave no usable answer. Holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAnswer:
    """`object` is the decoded body where it is a JSON object."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    object: Mapping[str, Any] | None


class ApiServer:
    """Belongs to one event loop. Dials the connection's address and says its name."""

    def __init__(self, connection: Connection, context: ssl.SSLContext | None = None) -> None:
        """Reads the CA file, unless it is given a context; dials nobody yet."""
        self._connection, self._client = connection, _client(connection, context or client_context(connection.ca_file))

    async def ask(
        self, token: Bearer | None, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> ServerAnswer:
        """The answer, with whatever status, in JSON unless `headers` ask for something else.

        Raises UpstreamUnavailable.
        """
        sent = tuple(
            (name.encode(), value.encode()) for name, value in {"Accept": "application/json", **headers}.items()
        )
        sent = with_bearer(sent, token) if token is not None else sent
        extensions = {"target": target.encode("ascii"), "sni_hostname": self._connection.server_name}
        request = self._client.build_request(method, "/", headers=sent, content=body or None, extensions=extensions)
        try:
            async with asyncio.timeout(_DEADLINE):
                response = await self._client.send(request, stream=True)
                try:
                    return await self._answer(response)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, TimeoutError) as error:
            name = self._connection.name
            raise UpstreamUnavailable(f"{name} could not be asked: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _answer(self, response: httpx.Response) -> ServerAnswer:
        if 300 <= response.status_code < 400:
            raise UpstreamUnavailable(f"{self._connection.name} answered with a redirect")
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > MAX_BYTES:
                raise UpstreamUnavailable(f"{self._connection.name} answered with more than {MAX_BYTES} bytes")
        try:
            decoded = orjson.loads(content)
        except orjson.JSONDecodeError:
            decoded = None
        found = decoded if isinstance(decoded, dict) else None
        return ServerAnswer(status=response.status_code, headers=response.headers, body=bytes(content), object=found)


def _client(connection: Connection, context: ssl.SSLContext) -> httpx.AsyncClient:
    """No proxy, redirect or compression."""
    host, port = connection.address
    return httpx.AsyncClient(
        base_url=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        verify=context,
        trust_env=False,
        follow_redirects=False,
        timeout=_TIMEOUT,
        limits=httpx.Limits(max_connections=32, max_keepalive_connections=8),
        headers={
            "Host": authority(connection.host, connection.port, always=True),
            "Accept-Encoding": "identity",
            "User-Agent": "kube-chaperone",
        },
    )
