"""The secret of this gateway that makes fingerprints of masked values, and hashes of callers, its own."""

from __future__ import annotations

import secrets
from pathlib import Path

from addons.core.problem import InvalidConfiguration, Problem
from addons.edge.durable import make_once

_FINGERPRINT_KEY = "fingerprint.key"
_BYTES = 32


def fingerprint_key(state: Path) -> bytes:
    """The key of masked values' fingerprints, made once, shared by all workers. Raises InvalidConfiguration."""
    file = state / _FINGERPRINT_KEY
    try:
        if not file.exists():
            make_once(file, secrets.token_bytes(_BYTES))
        key = file.read_bytes()
    except OSError as error:
        raise InvalidConfiguration([Problem(str(state), 0, f"the state folder cannot be used: {error}")]) from error
    if len(key) < _BYTES:  # anybody could make the fingerprints of a key that is empty, and try values
        why = f"is no key of {_BYTES} bytes: remove it, and a new one is made"
        raise InvalidConfiguration([Problem(str(file), 0, why)])
    return key
