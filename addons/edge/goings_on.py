"""Reading what goes on right now: the gateway's records for viewers, and the ends of logs that were written lately."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from mitmproxy.io import tnetstring

from addons.core.goings_on import Active, Running, active, running
from addons.core.timeline import entries, words
from addons.edge.audit_log import AUDIT_FILE
from addons.edge.live import MAX_SHOWN, live_folder
from addons.edge.recordings import SESSION_FILE
from addons.edge.session_folders import session_of

RECENT_SECONDS = 900
_MOST = 50
_TAIL_BYTES = 64 * 1024
_MAX_RECORD = 16 * 1024 * 1024


def goings_on(state: Path, now: float) -> list[Active]:
    """Sessions in which something goes on or was done within a quarter of an hour, 50 of the latter at most."""
    return active(_running(state), _lately(state, now))


def _running(state: Path) -> Iterator[Running]:
    for path in list(live_folder(state).glob("*.mitm"))[:MAX_SHOWN]:
        with suppress(OSError, ValueError), path.open("rb") as file:  # over meanwhile, or no record
            record = tnetstring.loads(file.read(_MAX_RECORD))
            if isinstance(record, dict) and (found := running(record)) is not None:
                yield found


def _lately(state: Path, now: float) -> Iterator[Active]:
    times: list[tuple[float, str]] = []
    with suppress(FileNotFoundError), os.scandir(state / "sessions") as folders:
        for folder in folders:
            with suppress(OSError):
                times.append(((Path(folder.path) / AUDIT_FILE).stat().st_mtime, folder.name))
    latest = sorted((each for each in times if now - each[0] < RECENT_SECONDS), reverse=True)
    for at, name in latest[:_MOST]:
        with suppress(OSError):
            yield _session(state / "sessions" / name, at)


def _session(folder: Path, at: float) -> Active:
    about = _parsed((folder / SESSION_FILE).read_bytes())
    identity = about.get("identity")
    with (folder / AUDIT_FILE).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read(_TAIL_BYTES).splitlines()
    found = entries((number, each) for number, line in enumerate(lines) if (each := _event(line)))
    return Active(
        session=session_of(folder.name),
        user=str(identity.get("sub", "")) if isinstance(identity, dict) else "unidentified",
        connection=str(about.get("connection") or ""),
        intent=str(about.get("intent") or ""),
        last=", ".join(filter(None, words(found[-1])[:3])) if found else "",
        last_at=at,
    )


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        about = json.loads(content)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}
