"""Where a cluster is below the gateway's own address, for clients that know no proxy: `/clusters/NAME/api/v1/…`."""

from __future__ import annotations

import re

PREFIX = "/clusters/"
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")
_BELOW = re.compile(rf"{PREFIX}([^/?#]*)([^#]*)")


def path_of(name: str) -> str:
    """Where the connection of that name is. Raises ValueError for one that no path can say in one way alone."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be part of a path: letters, digits, hyphens, dots and underscores can")
    return f"{PREFIX}{name}"


def split(target: str) -> tuple[str, str] | None:
    """The name in a request target, "" if it is not written plainly, and the target at the cluster itself.

    None for a target that is not below `PREFIX`. Nothing is decoded: an escaped name is none.
    """
    if (found := _BELOW.fullmatch(target)) is None:
        return None
    name, rest = found[1], found[2]
    return name if _NAME.fullmatch(name) else "", rest if rest.startswith("/") else f"/{rest}"
