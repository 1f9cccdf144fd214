"""Sends what channels are told: over HTTPS, without redirects, bounded in size and time.

Nothing of what is sent or answered is in an error but the status and Slack's own word for it, and no address.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from addons.core.notify.channel import Slack, Webhook
from addons.edge.post import NotSent, Poster, first_secret, signed_headers


class Senders:
    """Connections to every receiver. Belongs to one event loop."""

    def __init__(self) -> None:
        self._poster = Poster()

    async def webhook(self, place: Webhook, body: Mapping[str, Any], now: float) -> None:
        """Post a signed document. Raises NotSent."""
        content = orjson.dumps(body)
        headers = signed_headers(first_secret(place.secret_file), content, now)
        await self._poster.post(place.url, content, headers)

    async def slack(self, place: Slack, method: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call a method of Slack's API; its answer. Raises NotSent."""
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Authorization": f"Bearer {first_secret(place.bot_token_file).decode()}",
        }
        answer = await self._poster.post(f"{place.api_url}/{method}", orjson.dumps(arguments), headers)
        try:
            found = json.loads(answer)
        except ValueError:
            raise NotSent("it did not answer with JSON") from None
        if not isinstance(found, dict) or found.get("ok") is not True:
            raise NotSent(f"Slack says {_word(found)}")
        return found

    async def close(self) -> None:
        """Close every connection."""
        await self._poster.close()


def _word(answer: Any) -> str:
    """Slack's word for what is wrong, if it is one."""
    said = answer.get("error") if isinstance(answer, dict) else None
    known = isinstance(said, str) and len(said) <= 64 and said.replace("_", "").isalnum() and said.isascii()
    return str(said) if known else "no"
