"""An OpenID provider at which people sign in through the console: where browsers go, and what their codes are worth.

Whatever the provider answers is only read here; who it is, the console's verifier says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from addons.core.safe_url import is_loopback
from addons.core.sign_in import Attempt, Client, SignInFailed, authorization_url, code_exchange, endpoint, reason
from addons.edge.machine_trust import machine_trust

_TIMEOUT = 10.0
_KNOWN_SECONDS = 60
_MOST = 512 * 1024


class Providers:
    """What providers say of themselves is asked once a minute: whoever begins sign-ins does not make others ask more.

    `now` gives Unix seconds. Every method raises SignInFailed.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._known: dict[str, tuple[float, Mapping[str, Any]]] = {}

    async def sent_to(self, client: Client, attempt: Attempt, redirect: str) -> str:
        """The address at which somebody signs in."""
        found = endpoint(await self._configuration(client), client.issuer, "authorization_endpoint")
        return authorization_url(found, client, attempt, redirect)

    async def redeemed(self, client: Client, attempt: Attempt, code: str, redirect: str) -> Mapping[str, Any]:
        """What the token endpoint answers to a code."""
        url = endpoint(await self._configuration(client), client.issuer, "token_endpoint")
        answer = await _asked(client, "POST", url, code_exchange(client, attempt, code, redirect))
        if "error" in answer:
            raise SignInFailed(f"the provider refused: {reason(answer)}")
        return answer

    async def _configuration(self, client: Client) -> Mapping[str, Any]:
        until, known = self._known.get(client.issuer, (0.0, {}))
        if self._now() >= until:
            known = await _asked(client, "GET", f"{client.issuer.rstrip('/')}/.well-known/openid-configuration", None)
            self._known[client.issuer] = self._now() + _KNOWN_SECONDS, known
        return known


async def _asked(client: Client, method: str, url: str, form: Mapping[str, str] | None) -> dict[str, Any]:
    """The object that is answered, of a bounded size; redirects are not followed."""
    content = bytearray()
    try:
        async with (
            httpx.AsyncClient(
                verify=machine_trust(), timeout=_TIMEOUT, trust_env=not is_loopback(client.issuer)
            ) as http,
            http.stream(method, url, data=form) as reply,
        ):
            async for chunk in reply.aiter_bytes():
                content += chunk
                if len(content) > _MOST:
                    raise SignInFailed(f"{client.issuer} answers too much")
    except httpx.HTTPError as error:
        raise SignInFailed(f"{client.issuer} cannot be asked: {type(error).__name__}") from None
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise SignInFailed(f"{client.issuer} answers {reply.status_code} and no JSON: is it an OpenID provider?")
    return answer
