"""Asks the console for a session token: RFC 8693 from the caller's side."""

from __future__ import annotations

import httpx

from addons.core.safe_url import is_loopback
from addons.core.sign_in import SignInFailed, reason
from addons.core.token_exchange import EXCHANGE, JWT
from addons.edge.machine_trust import person_trust

_TIMEOUT = 15


def session_token(
    console: str, subject_token: str, *, connection: str = "", intent: str = "", seconds: int = 0, actor_token: str = ""
) -> str:
    """A session token for a proof of who somebody is. Raises SignInFailed."""
    form = {
        "grant_type": EXCHANGE,
        "subject_token": subject_token,
        "subject_token_type": JWT,
        "audience": connection,
        "intent": intent,
        "expires_in": str(seconds),
    }
    actor = {"actor_token": actor_token, "actor_token_type": JWT} if actor_token else {}
    try:
        with httpx.Client(verify=person_trust(), timeout=_TIMEOUT, trust_env=not is_loopback(console)) as client:
            reply = client.post(f"{console.rstrip('/')}/token", data=form | actor)
            answer = reply.json()
    except (httpx.HTTPError, ValueError) as error:
        raise SignInFailed(f"the console {console} cannot be asked: {error}") from None
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str):
        why = reason(answer) if isinstance(answer, dict) else f"status {reply.status_code}"
        raise SignInFailed(f"the console {console} refused: {why}")
    return token
