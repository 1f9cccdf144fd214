"""`chaperone approvals --watch`: every question and what becomes of it, as it happens."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

from addons.cli.approval_text import as_json, line
from addons.core.approval import TRANSITIONS, Case, state_at
from addons.core.audit import timestamp
from addons.edge.store import Store

_INTERVAL_SECONDS = 0.5


def watch(store: Store, output: str) -> None:
    """Prints until it is interrupted: a line each, "json" for programs. Raises StoreUnavailable."""
    if output == "text":
        print("watching: Ctrl+C ends it", file=sys.stderr)
    watched = Watched(store)
    while True:
        now = time.time()
        for case in watched.changes(now):
            shown = json.dumps(as_json(case, now)) if output == "json" else f"{timestamp(now)[:19]}Z {line(case, now)}"
            print(shown, flush=True)
        time.sleep(_INTERVAL_SECONDS)


class Watched:
    """What was seen of the questions that are not over."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, tuple[str, int]] = {}

    def changes(self, now: float) -> Iterator[Case]:
        """Questions that are new, that one more person has agreed to, or that are in another state than before."""
        waiting = {case.approval.id: case for case in self._store.pending(now)}
        answered = [self._store.get(each) for each in self._seen if each not in waiting]
        for case in (*waiting.values(), *answered):
            state, known = state_at(case.approval, now), case.approval.id
            if self._seen.get(known) == (state, len(case.votes)):
                continue
            self._seen[known] = (state, len(case.votes))
            if not TRANSITIONS[state]:
                del self._seen[known]
            yield case
