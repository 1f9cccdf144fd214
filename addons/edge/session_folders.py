"""Which folder a session's record goes to: its own, or the next one once the audit log in that is large enough.

A session that outlives its tokens, and callers that never prove who they are, would fill one file without end: nobody
could archive it and remove it. So `ID` goes on in `ID.part2`, `ID.part3`. The chain does not care: its records are in
whatever folders, and each names its own.
"""

from __future__ import annotations

import re
from pathlib import Path

from addons.edge.audit_log import AUDIT_FILE

ROLL_BYTES = 128 * 1024 * 1024
"""Of an audit log, from which on the session goes on in another folder; by workers that are at it, a bit more."""
_PART = re.compile(r"(.+)\.part[0-9]{1,6}")


def session_of(folder: str) -> str:
    """The id of the session that a folder is of."""
    found = _PART.fullmatch(folder)
    return found[1] if found else folder


def named(folder: str) -> dict[str, object]:
    """What `session.json` begins with: the folder's name and, in a further part, the session's id."""
    whole = session_of(folder)
    return {"id": folder} if whole == folder else {"id": folder, "session": whole}


def folder_of(session: str, number: int) -> str:
    """The name of the folder of a session's first, second … part."""
    return session if number == 1 else f"{session}.part{number}"


def current(sessions: Path, session: str) -> str:
    """The name of the folder that is written to now: the last there is, or the next one if that is full. Some µs."""
    number = 1
    while (sessions / folder_of(session, number + 1)).exists():
        number += 1
    return folder_of(session, number + _is_full(sessions / folder_of(session, number)))


def _is_full(folder: Path) -> bool:
    try:
        return (folder / AUDIT_FILE).stat().st_size >= ROLL_BYTES
    except OSError:  # not there yet, or a fault, which whoever writes there meets
        return False
