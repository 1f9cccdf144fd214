"""The secret of this gateway that makes fingerprints of masked values, and hashes of callers, its own."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from addons.core.problem import InvalidConfiguration, Problem

_FINGERPRINT_KEY = "fingerprint.key"


def fingerprint_key(state: Path) -> bytes:
    """The key of masked values' fingerprints, made once, shared by all workers. Raises InvalidConfiguration."""
    file = state / _FINGERPRINT_KEY
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (
            contextlib.suppress(FileExistsError),
            os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new,
        ):
            new.write(secrets.token_bytes(32))
        return file.read_bytes()
    except OSError as error:
        raise InvalidConfiguration([Problem(str(state), 0, f"the state folder cannot be used: {error}")]) from error
