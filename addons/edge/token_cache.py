"""What is kept of having signed in: tokens, in a file that is the user's alone, one per provider and client."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path

from addons.core.sign_in import Client, SignInFailed, Tokens

RENEW_BEFORE_SECONDS = 60


class TokenCache:
    """The tokens of one client, in a file that only its owner can read."""

    def __init__(self, client: Client, folder: Path | None = None) -> None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._file = (folder or cache / "chaperone" / "tokens") / f"{client.digest}.json"

    def load(self) -> Tokens | None:
        """What was kept; None for nothing, or for what cannot be read."""
        try:
            return Tokens(**json.loads(self._file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, tokens: Tokens) -> None:
        """Keep these, in place of others."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self._file.with_suffix(f".{os.getpid()}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(tokens), file)
        partial.replace(self._file)

    def forget(self) -> bool:
        """Nothing is kept any more. False if nothing was."""
        there = self._file.exists()
        self._file.unlink(missing_ok=True)
        return there


def current_token(client: Client, cache: TokenCache) -> str:
    """An ID token that is still good, renewed if need be. Raises SignInFailed."""
    tokens = cache.load()
    how = f"chaperone login --issuer {client.issuer} --client-id {client.client_id}"
    if tokens is None:
        raise SignInFailed(f"you are not signed in: {how}")
    if tokens.expires_at - RENEW_BEFORE_SECONDS > time.time():
        return tokens.id_token
    if not tokens.refresh_token:
        raise SignInFailed(f"your sign-in has expired: {how}")
    from addons.edge.sign_in import Provider  # and with it an HTTP client: a credential plugin can do without mostly

    try:
        with Provider(client) as provider:
            cache.save(tokens := provider.renewed(tokens))
    except SignInFailed as error:
        raise SignInFailed(f"{error}; sign in again: {how}") from None
    return tokens.id_token
