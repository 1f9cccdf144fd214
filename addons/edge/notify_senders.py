"""Sends what channels are told: over HTTPS, without redirects, bounded in size and time.

Nothing of what is sent or answered is in an error but the status and Slack's own word for it, and no address.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from addons.core.notify import signature
from addons.core.notify.channel import Slack, Webhook
from addons.core.notify.outbox import SEND_SECONDS
from addons.edge.notify_secrets import UnusableSecret, read_secrets

_MAX_ANSWER = 256 * 1024
_MAX_WAIT = 120.0


class NotSent(ConnectionError):
    """The message did not arrive, as far as is known. `wait`: seconds for which the receiver wants to be left alone."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class Senders:
    """Connections to every receiver. Belongs to one event loop."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # the deadline is that of the whole
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
            headers={"Accept-Encoding": "identity", "User-Agent": "kube-chaperone"},
        )

    async def webhook(self, place: Webhook, body: Mapping[str, Any], now: float) -> None:
        """Post a signed document. Raises NotSent."""
        content, moment = orjson.dumps(body), int(now)
        signed = signature.sign(_secret(place.secret_file), moment, content)
        headers = {
            "Content-Type": "application/json",
            signature.TIMESTAMP_HEADER: str(moment),
            signature.SIGNATURE_HEADER: signed,
        }
        await self._post(place.url, content, headers)

    async def slack(self, place: Slack, method: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call a method of Slack's API; its answer. Raises NotSent."""
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Authorization": f"Bearer {_secret(place.bot_token_file).decode()}",
        }
        answer = await self._post(f"{place.api_url}/{method}", orjson.dumps(arguments), headers)
        try:
            found = json.loads(answer)
        except ValueError:
            raise NotSent("it did not answer with JSON") from None
        if not isinstance(found, dict) or found.get("ok") is not True:
            raise NotSent(f"Slack says {_word(found)}")
        return found

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _post(self, url: str, content: bytes, headers: Mapping[str, str]) -> bytes:
        try:
            async with (
                asyncio.timeout(SEND_SECONDS),
                self._client.stream("POST", url, content=content, headers=dict(headers)) as response,
            ):
                if not response.is_success:
                    raise NotSent(f"it answered with status {response.status_code}", _wait(response))
                return await _bounded(response)
        except TimeoutError:
            raise NotSent(f"it gave no answer within {SEND_SECONDS} s") from None
        except (httpx.HTTPError, OSError) as error:  # ssl.SSLError is an OSError
            if isinstance(error, NotSent):
                raise
            raise NotSent(f"it could not be reached: {type(error).__name__}") from None


async def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > _MAX_ANSWER:
            raise NotSent(f"it answered with more than {_MAX_ANSWER} bytes")
    return bytes(content)


def _secret(file: str) -> bytes:
    try:
        return read_secrets(file)[0]
    except UnusableSecret as error:
        raise NotSent(str(error)) from None


def _wait(response: httpx.Response) -> float:
    """Source: RFC 9110, section 10.2.3, in seconds."""
    said = response.headers.get("retry-after", "")
    return min(float(said), _MAX_WAIT) if said.isascii() and said.isdigit() and len(said) < 9 else 0.0


def _word(answer: Any) -> str:
    """Slack's word for what is wrong, if it is one."""
    said = answer.get("error") if isinstance(answer, dict) else None
    known = isinstance(said, str) and len(said) <= 64 and said.replace("_", "").isalnum() and said.isascii()
    return str(said) if known else "no"
