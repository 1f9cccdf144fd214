"""`chaperone index`: the index that `chaperone sessions search` and the console's search page ask."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from addons.cli.operator import operator
from addons.edge.search_follow import Progress
from addons.edge.search_keeper import Stopped, catch_up, keep_up
from addons.edge.search_schema import index_folder
from addons.logs import configure_logs

_CONF = Path("mitm.conf")
_QUIET_SECONDS = 2.0
_POLL_SECONDS = 0.5


def index(
    *,
    rebuild: bool = False,
    follow: bool = False,
    beside: Annotated[int, Parameter(show=False)] = 0,
    conf: Path = _CONF,
) -> None:
    """Bring the search index up to date with the record, from which it can be made again at any time.

    The console keeps it up to date by itself; without a console, `chaperone sessions search` does so each time.

    Parameters
    ----------
    rebuild
        Make it anew. Needed never: another version, or a damaged one, is made anew anyway.
    follow
        Go on until Ctrl-C.
    beside
        End with this process.
    conf
        The gateway's configuration file.
    """
    gateway = operator(conf)
    if follow:
        configure_logs(gateway.settings.log_format, gateway.settings.log_level)
        keep_up(gateway.state, _stopped(beside), lambda _: None)
        return
    began = time.monotonic()
    made = catch_up(gateway.state, progress(), rebuild)
    seconds = time.monotonic() - began
    print(f"{index_folder(gateway.state)}: {made.events} new events, {made.total} bytes read in {seconds:.1f} s")


def progress() -> Callable[[Progress], None]:
    """Says on standard error how far it is, where it takes more than two seconds."""
    began = said = time.monotonic()

    def told(made: Progress) -> None:
        nonlocal said
        now = time.monotonic()
        if now - began > _QUIET_SECONDS and now - said > _QUIET_SECONDS:
            said = now
            percent = 100 * made.done // max(1, made.total)
            print(f"indexing the record: {percent} % of {made.total} bytes", file=sys.stderr)

    return told


def _stopped(beside: int) -> Stopped:
    """A signal ends it, and the end of the process that started it."""
    ended = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: ended.set())

    def stopped(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not ended.wait(max(0.0, min(_POLL_SECONDS, end - time.monotonic()))):
            if beside and os.getppid() != beside:
                return True
            if time.monotonic() >= end:
                return False
        return True

    return stopped
