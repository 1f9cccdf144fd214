"""Whose token a command acts with."""

from __future__ import annotations

import os
from pathlib import Path

TOKEN_VARIABLE = "CHAPERONE_TOKEN"


class NoToken(PermissionError):
    """The command needs to know who is asking."""


def read_token(token_file: Path | None) -> str:
    """The token in a file, or else in the environment. Raises NoToken."""
    token = token_file.read_text().strip() if token_file is not None else os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise NoToken(f"who are you? put your OIDC token in {TOKEN_VARIABLE}, or name a file with --token-file")
    return token
