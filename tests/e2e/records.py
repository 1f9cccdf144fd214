"""What was written down about requests: by the gateway, and, as the oracle it is compared with, by the API server."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.devenv.cluster import Cluster
from scripts.devenv.components import ACCOUNTS
from scripts.devenv.gateway_env import GatewayEnv
from tests.support.log_lines import lines_since

Event = dict[str, Any]
IMPERSONATED, IMPERSONATOR = "agent:", ":impersonator-"
"""How users begin whom a gateway impersonates in these tests, and what its own account is called there."""
ACCOUNT = "gateway-agent"
"""The service account whose tokens only a gateway has made."""
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
GATEWAY_AGENT = "kube-chaperone"
"""User agent of the gateway's own questions, dry runs excepted: those carry the caller's, as it names the manager."""


PARTS = "parts"
"""In the folder of a cluster: by their account, the folders of all whose tests use it."""


class ApiServer:
    """The API server's own audit log: what came through these gateways, in whose namespaces accounts have a beginning.

    Other tests may use the cluster meanwhile: their roles are of other accounts, their namespaces have other names.
    """

    def __init__(self, cluster: Cluster, namespaces: str) -> None:
        self._file = Path(cluster.audit_log)
        self._sessions = f"arn:aws:sts::{cluster.account}:"
        self._accounts = f"system:serviceaccount:{namespaces}"
        self._parts = Path(cluster.state_dir) / PARTS
        self._account = cluster.account
        self.began = self.mark()

    def mark(self) -> int:
        """Where the log ends now, perhaps in the middle of a line that is being written."""
        return self._file.stat().st_size

    def since(self, mark: int = 0) -> list[Event]:
        """Events of role sessions, which only the gateway can open, in order."""
        return [event for event in self._events(mark, self._sessions, self._accounts) if self.by_role_session(event)]

    def strangers(self, mark: int) -> list[Event]:
        """Events of role sessions and of whoever has no valid credential: all that can come by way of a gateway."""
        events = self._events(mark)
        return [each for each in events if self.by_role_session(each) or (_by_nobody(each) and not self._others(each))]

    def _others(self, event: Event) -> bool:
        """Whether a gateway of another part has that request on record, or it says itself that it is of another test.

        Tests of credentials ask who they are, or for a token, and are told that they are nobody.
        """
        parts = [part for part in self._parts.glob("[0-9]*") if part.name != self._account]
        what = event.get("objectRef", {})
        asks_who = what.get("resource") == "selfsubjectreviews"
        asks_for_token = what.get("subresource") == "token" and event.get("userAgent") == GATEWAY_AGENT
        if asks_who or asks_for_token or event.get("userAgent") in {*ACCOUNTS} - {self._account}:
            return True
        files = (file for part in parts for file in Path(part.read_text()).glob("*/*/state/sessions/*/audit.jsonl"))
        return any(event["auditID"].encode() in file.read_bytes() for file in files)

    def by_role_session(self, event: Event) -> bool:
        """True for what came through a gateway, as only a gateway can assume the roles, or impersonates agents."""
        user = str(event["user"].get("username", ""))
        account = user.startswith(self._accounts) and (user.endswith(f":{ACCOUNT}") or IMPERSONATOR in user)
        return account or user.startswith(self._sessions)

    def about(self, mark: int, text: str) -> list[Event]:
        """Events since the mark whose request URI holds `text`, a namespace or a name."""
        return [event for event in self.since(mark) if text in event["requestURI"]]

    def _events(self, mark: int, *texts: str) -> list[Event]:
        """Since the mark, of the lines that hold one of the texts, if any are given."""
        lines = lines_since(self._file, mark)
        wanted = [text.encode() for text in texts]
        return [json.loads(line) for line in lines if not wanted or any(text in line for text in wanted)]


def _by_nobody(event: Event) -> bool:
    return event["user"].get("username", "") in ("", "system:anonymous")


def real_writes(events: Iterable[Event]) -> list[str]:
    """The requests that could have changed something."""
    return [
        f"{event['verb']} {event['requestURI']}"
        for event in events
        if event["verb"] in WRITES and "dryRun=All" not in event["requestURI"] and not _review(event)
    ]


def _review(event: Event) -> bool:
    """SubjectAccessReviews and the like are created and never stored."""
    return str(event.get("objectRef", {}).get("resource", "")).endswith("reviews")


def gateway_events(gateway: GatewayEnv) -> list[Event]:
    """Every event the gateway wrote, session by session, in the order of the files."""
    return [event for file in audit_files(gateway) for event in read_events(file)]


def audit_files(gateway: GatewayEnv) -> list[Path]:
    """The audit log of each session."""
    return sorted(gateway.state_dir.glob("sessions/*/audit.jsonl"))


def read_events(file: Path) -> Sequence[Event]:
    """The events of one file; every whole line must be one. Not to be changed: what was read is kept."""
    return _logs.setdefault(file, GrowingLog(file)).events()


@dataclass(slots=True)
class GrowingLog:
    """The events of a file that is looked at again and again: only what is new is read."""

    file: Path
    _inode: int = 0
    _size: int = 0
    _events: list[Event] = field(default_factory=list)

    def events(self) -> Sequence[Event]:
        """All that are whole by now; from the beginning, if it is another file."""
        with self.file.open("rb") as opened:
            found = os.fstat(opened.fileno())
            if found.st_ino != self._inode or found.st_size < self._size:
                self._inode, self._size, self._events = found.st_ino, 0, []
            opened.seek(self._size)
            whole = opened.read().rpartition(b"\n")[0]
        if whole:
            self._events += map(json.loads, whole.split(b"\n"))
            self._size += len(whole) + 1
        return self._events


_logs: dict[Path, GrowingLog] = {}


def approvals(gateway: GatewayEnv, **columns: str) -> list[dict[str, Any]]:
    """Rows of the store with these values, oldest first: looking costs no process, unlike the command."""
    file = gateway.state_dir / "approvals.sqlite"
    where = " AND ".join(f"{column} = ?" for column in columns) or "1"
    store = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)
    try:
        store.row_factory = sqlite3.Row
        query = f"SELECT * FROM approvals WHERE {where} ORDER BY asked_at"
        return [dict(row) for row in store.execute(query, list(columns.values()))]
    finally:
        store.close()


def by_id(events: list[Event]) -> dict[str, list[Event]]:
    """The events of each request, in order."""
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[event["auditID"]].append(event)
    return found


def refused(events: list[Event]) -> bool:
    """True if the gateway itself answered."""
    return events[-1]["annotations"].get("chaperone.dev/decision") in ("refuse", "deny")


def answered_by_the_cluster(events: list[Event]) -> bool:
    own = events[-1]["requestURI"].startswith("/chaperone/")  # what the gateway is asked itself
    return "code" in events[-1].get("responseStatus", {}) and not refused(events) and not own
