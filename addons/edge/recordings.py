"""One folder of evidence per session, under `state_dir/sessions/`:

* `session.json`: whose job it was;
* `audit.jsonl`: the truth; written and synced before a request is forwarded, shared by all workers, each of which has
  one chain over all sessions (`audit_log`);
* `decisions.jsonl`: what each judged request was judged by, for other rules to be tried on (`core.guardrails.record`);
  written with the audit event, and not synced itself: the event is the truth;
* `flows-<worker>-<start>.mitm`: scrubbed copies of the exchanges, for mitmweb; one file per process, because whatever
  follows a torn record in such a file cannot be read;
* `exec-<exchange id>.cast`: terminal sessions, in asciicast v3;
* `forward-<exchange id>.jsonl`: what a port-forward carried.

Requests of callers that proved no identity are in `unidentified-<connection>`. What has grown large goes on in
another folder (`session_folders`).
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson

from addons.core.session import Session
from addons.edge.audit_ledger import AuditLedger
from addons.edge.audit_log import AUDIT_FILE, AuditLog
from addons.edge.durable import Folder, try_to_write
from addons.edge.journal import Entry, Journal, RecordUnavailable
from addons.edge.session_folders import current, named

DECISIONS_FILE = "decisions.jsonl"
SESSION_FILE = "session.json"
_MAX_KNOWN_FOLDERS = 4096
_LOOK_AGAIN_BYTES = 1024 * 1024
"""Of audit events, after which a worker looks whether the folder is full by now."""
SAFE_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")

OnError = Callable[[RecordUnavailable], None]


class Recordings:
    """Writes the evidence of one worker process. For one event loop; nothing here blocks it except `close`."""

    def __init__(self, state_dir: Path, worker: str, started_at: float, ledger: AuditLedger) -> None:
        """`worker` and `started_at` (Unix seconds) together name this process; nothing is opened yet."""
        self._state_dir, self._sessions = state_dir, state_dir / "sessions"
        start = datetime.fromtimestamp(started_at, UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
        self._flow_file = _safe(f"flows-{worker}-{start}.mitm")
        self._folders: dict[str, Folder] = {}
        self._journal = Journal(chain=AuditLog(ledger, self._sessions, worker))

    def folder(self, session: Session | None, connection: str) -> Folder:
        """Where the evidence of a session goes; without one, that of unidentified callers of `connection`."""
        name = session.id if session is not None else f"unidentified-{connection or 'none'}"
        if (folder := self._folders.get(name)) is not None and folder.written < _LOOK_AGAIN_BYTES:
            return folder
        now = current(self._sessions, _safe(name))
        if folder is not None and folder.path.name == now:
            folder.written = 0
            return folder
        if len(self._folders) >= _MAX_KNOWN_FOLDERS:
            self._folders.clear()  # they are made again at no cost: what is on disk already stays as it is
        folder = self._folders[name] = Folder(self._sessions / now, _describe(now, session, connection))
        return folder

    async def commit(self, folder: Folder, line: bytes, decision: bytes = b"") -> None:
        """Returns when the audit event is on disk, and the decision written. Raises RecordUnavailable otherwise."""
        folder.written += len(line)
        before = Entry(folder, DECISIONS_FILE, decision, shared=True) if decision else None
        await self._journal.commit(Entry(folder, AUDIT_FILE, line, chained=True, before=before))

    def log(self, folder: Folder, line: bytes, on_error: OnError) -> None:
        """Queues an audit event of something that has already happened."""
        folder.written += len(line)
        self._journal.submit(Entry(folder, AUDIT_FILE, line, chained=True, on_error=on_error))

    def flow(self, folder: Folder, record: bytes, on_error: OnError) -> None:
        """Queues one encoded, scrubbed flow."""
        self._journal.submit(Entry(folder, self._flow_file, record, on_error=on_error))

    def tape(self, folder: Folder, name: str, data: bytes, on_error: OnError) -> None:
        """Queues part of the record of a session: a file of its own, `cast_name` or `forward_name`."""
        self._journal.submit(Entry(folder, name, data, on_error=on_error))

    async def check(self) -> None:
        """Returns if something can be recorded now. Raises RecordUnavailable."""
        if not self._journal.alive:
            raise RecordUnavailable(errno.EIO, "the writer of the record has stopped")
        if (fault := self._journal.fault) is not None:
            raise RecordUnavailable(fault.errno, f"the audit log cannot be sealed: {fault.strerror or fault}")
        try:
            await asyncio.to_thread(try_to_write, self._state_dir)
        except OSError as error:
            raise RecordUnavailable(error.errno, f"{self._state_dir} cannot be written: {error.strerror}") from error

    @property
    def alive(self) -> bool:
        """False once nothing will ever be recorded again by this process."""
        return self._journal.alive

    @property
    def pressed(self) -> bool:
        """True while streams should `await relieved()` before they record more."""
        return self._journal.pressed

    async def relieved(self) -> None:
        """Returns when the disk has caught up."""
        await self._journal.relieved()

    def close(self) -> None:
        """Writes what is queued. Blocks."""
        self._journal.close()


def cast_name(exchange_id: str) -> str:
    """The file of an exchange's cast."""
    return _safe(f"exec-{exchange_id}.cast")


def forward_name(exchange_id: str) -> str:
    """The file of an exchange's port-forward."""
    return _safe(f"forward-{exchange_id}.jsonl")


def _safe(name: str) -> str:
    if not SAFE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a file")
    return name


def _describe(name: str, session: Session | None, connection: str) -> bytes:
    about = named(name) | {"connection": connection}
    if session is not None:
        who = session.identity
        about["identity"] = {"iss": who.iss, "sub": who.sub, "act": who.act, "owner": who.owner, "groups": who.groups}
        about |= {"started_at": session.started_at, "intent": session.intent}
    return orjson.dumps(about, option=orjson.OPT_APPEND_NEWLINE)
