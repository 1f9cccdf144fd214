"""Reads the secrets of channels from their files, each time: one that was changed counts at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from addons.core.notify.channel import Channel
from addons.core.problem import Problem

_MOST = 4096
SHORTEST = 16
"""Characters. Slack's own secrets have 32."""


class UnusableSecret(OSError):
    """The file holds no secret that could be used. The message holds nothing of it."""


def read_secrets(file: str) -> tuple[bytes, ...]:
    """The secrets in a file, one a line, at least one. Raises UnusableSecret."""
    try:
        with Path(file).open("rb") as opened:
            lines = opened.read(_MOST).split()
    except OSError as error:
        raise UnusableSecret(f"{file} cannot be read: {error.strerror}") from error
    if not lines or any(len(line) < SHORTEST or not line.isascii() for line in lines):
        raise UnusableSecret(f"{file} must hold a secret of {SHORTEST} characters or more, in ASCII, one a line")
    return tuple(lines)


def check_secrets(channels: Iterable[Channel]) -> list[Problem]:
    """Every file that holds no secret, at the line that names it."""
    problems = []
    for channel in channels:
        for file, key in channel.secrets.items():
            try:
                read_secrets(file)
            except UnusableSecret as error:
                problems.append(channel.document.problem(key, f"{'.'.join(key[1:])}: {error}"))
    return problems
