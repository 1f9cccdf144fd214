"""Keeping the index up to date, for as long as somebody wants: in a process of its own, on nobody's way."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import structlog

from addons.edge.search_follow import Follower, Progress, Told
from addons.edge.search_schema import IndexInUse, index_folder, is_damaged, open_to_write, writing

log = structlog.get_logger()

INTERVAL_SECONDS = 1.0
_SHARE = 20
"""A look at the files takes one in so many seconds at most, however many there are."""
_RETRY_SECONDS = 5.0

Stopped = Callable[[float], bool]
"""Waits for so many seconds; true, at once, when it is to end."""


def catch_up(state: Path, told: Told, anew: bool = False) -> Progress:
    """What is new is in the index when this returns. Raises IndexInUse, OSError and sqlite3.Error."""
    with writing(state), closing(open_to_write(state, anew)) as connection:
        return Follower(state, connection).catch_up(told)


def forget(state: Path, session: str) -> None:
    """Nothing of a session is in the index, if there is one, when this returns. Raises OSError and sqlite3.Error."""
    if not index_folder(state).exists():
        return
    with writing(state), closing(open_to_write(state)) as connection:
        Follower(state, connection).forget(session)


def keep_up(state: Path, stopped: Stopped, told: Told) -> None:
    """Until it is stopped. What goes wrong is said and tried again; an index that is damaged is made anew."""
    anew = False
    while not stopped(0):
        try:
            with writing(state), closing(open_to_write(state, anew)) as connection:
                anew = False
                _follow(state, Follower(state, connection), stopped, told)
        except IndexInUse:
            stopped(_RETRY_SECONDS)
        except (OSError, sqlite3.OperationalError) as error:
            log.warning("search index not written", error=str(error))
            stopped(_RETRY_SECONDS)
        except sqlite3.DatabaseError as error:
            log.warning("search index damaged: it is made anew", error=str(error))
            anew = True
            stopped(_RETRY_SECONDS)


def _follow(state: Path, follower: Follower, stopped: Stopped, told: Told) -> None:
    while not is_damaged(state):
        began = time.monotonic()
        follower.catch_up(told)
        if stopped(max(INTERVAL_SECONDS, _SHARE * (time.monotonic() - began))):
            return
