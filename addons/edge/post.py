"""Posts documents to receivers of somebody else's: over HTTPS, without redirects, bounded in size and time.

Nothing of what is sent or answered is in an error but the status, and no address.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

import httpx

from addons.core.notify import signature
from addons.core.notify.outbox import SEND_SECONDS
from addons.edge.machine_trust import machine_trust
from addons.edge.notify_secrets import UnusableSecret, read_secrets

_MAX_ANSWER = 256 * 1024
_MAX_WAIT = 120.0


class NotSent(ConnectionError):
    """It did not arrive, as far as is known. `wait`: seconds for which the receiver wants to be left alone.

    `status` is that of an answer, 0 if there was none.
    """

    def __init__(self, why: str, wait: float = 0.0, status: int = 0) -> None:
        super().__init__(why)
        self.wait, self.status = wait, status


class Poster:
    """Connections to receivers. Belongs to one event loop."""

    def __init__(self, ca_file: str = "") -> None:
        """`ca_file`: a CA bundle (PEM) instead of the machine's trust store. Raises OSError if it cannot be used."""
        verify = ssl.create_default_context(cafile=ca_file) if ca_file else machine_trust()
        self._client = httpx.AsyncClient(
            verify=verify,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # the deadline is that of the whole
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
            headers={"Accept-Encoding": "identity", "User-Agent": "kube-chaperone"},
        )

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> bytes:
        """The body of the answer, whose status was 2xx. Raises NotSent."""
        try:
            async with (
                asyncio.timeout(SEND_SECONDS),
                self._client.stream("POST", url, content=content, headers=dict(headers)) as response,
            ):
                if not response.is_success:
                    status = response.status_code
                    raise NotSent(f"it answered with status {status}", _wait(response), status)
                return await _bounded(response)
        except TimeoutError:
            raise NotSent(f"it gave no answer within {SEND_SECONDS} s") from None
        except (httpx.HTTPError, OSError) as error:  # ssl.SSLError is an OSError
            if isinstance(error, NotSent):
                raise
            raise NotSent(f"it could not be reached: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def signed_headers(secret: bytes, content: bytes, now: float) -> dict[str, str]:
    """The headers of a signed document of JSON; `now` is Unix seconds."""
    moment = int(now)
    return {
        "Content-Type": "application/json",
        signature.TIMESTAMP_HEADER: str(moment),
        signature.SIGNATURE_HEADER: signature.sign(secret, moment, content),
    }


def first_secret(file: str) -> bytes:
    """The secret that signs. Raises NotSent: while it cannot be read, nothing is sent."""
    try:
        return read_secrets(file)[0]
    except UnusableSecret as error:
        raise NotSent(str(error)) from None


async def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > _MAX_ANSWER:
            raise NotSent(f"it answered with more than {_MAX_ANSWER} bytes")
    return bytes(content)


def _wait(response: httpx.Response) -> float:
    """Source: RFC 9110, section 10.2.3, in seconds."""
    said = response.headers.get("retry-after", "")
    return min(float(said), _MAX_WAIT) if said.isascii() and said.isdigit() and len(said) < 9 else 0.0
