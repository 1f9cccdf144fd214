"""Decisions of people, on record: who decides what is in the audit log before it counts, and so is what came of it.

The events are in the folder of the session that asked, in a chain of the process that decides, sealed when it is done.
What cannot be recorded is not decided. Every function blocks; OSError, StoreUnavailable among them, means that nothing
was decided.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import orjson
import structlog

from addons.core.approval import Case, ForbiddenApprover, InvalidTransition, State
from addons.core.approval_terms import ONCE, Reuse, Scope
from addons.core.audit import Call, Stage, event, line
from addons.core.identity import Identity
from addons.core.refusal import Refusal
from addons.edge.audit_ledger import AuditLedger
from addons.edge.audit_log import AUDIT_FILE, AuditLog
from addons.edge.durable import make_folder, sync_folder
from addons.edge.session_folders import current, named
from addons.edge.store import Store

log = structlog.get_logger()

_PATH = "/chaperone/v1/approvals"
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
_WORDS = {State.GRANTED: "approve", State.DENIED: "deny"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where decisions are made. `name` is the process, as its chains are called; `key_file` that of the audit log."""

    state: Path
    key_file: Path | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who decides, and `via` what: a channel, a page, a command."""

    identity: Identity
    via: str


def decide(
    store: Store, desk: Desk, approval_id: str, to: State, person: Person, note: str, now: float, scope: Scope = ONCE
) -> Case:
    """As `Store.decide`, on record. Raises OSError when it cannot be recorded."""
    case = store.get(approval_id)
    about = {"approval-scope": f"{scope.reuse} for {scope.seconds}s"} if scope.reuse is not Reuse.NEVER else {}

    def act() -> Case:
        return store.decide(case.approval.id, to, person.identity, note, now, scope)

    return _on_record(desk, case, person, _WORDS[to], note, now, about, act)


def revoke(store: Store, desk: Desk, approval_id: str, person: Person, note: str, now: float) -> Case:
    """As `Store.revoke`, on record. Raises OSError when it cannot be recorded."""
    case = store.get(approval_id)

    def act() -> Case:
        return store.revoke(case.approval.id, person.identity, note, now)

    return _on_record(desk, case, person, "revoke", note, now, {}, act)


def _on_record(
    desk: Desk, case: Case, person: Person, what: str, note: str, now: float, about: Mapping[str, str],
    act: Callable[[], Case],
) -> Case:  # fmt: skip
    ask = case.ask
    call = Call(
        id=str(uuid.uuid4()),
        received_at=now,
        method="POST",
        target=f"{_PATH}/{case.approval.id}/{what}",
        connection=ask.connection,
        session=ask.session,
        identity=person.identity,
    )
    said = {"decides": case.approval.id, "decided": what, "via": person.via, "approval-note": note, **about}
    said |= {"requester": f"{ask.requester_iss}#{ask.requester_sub}", "asked-by-rule": ask.rule}
    with _Record(desk, case) as record:
        record.write(line(event(call, Stage.REQUEST_RECEIVED, now, extra=said)))
        try:
            after = act()
        except (ForbiddenApprover, InvalidTransition) as error:
            code = 403 if isinstance(error, ForbiddenApprover) else 409
            call.refusal = Refusal(code=code, rule="approval-not-decided", why=str(error), hint="")
            record.write(line(event(call, Stage.RESPONSE_COMPLETE, now, code, extra=said)))
            raise
        said["approval-state"] = after.approval.state.value
        try:
            record.write(line(event(call, Stage.RESPONSE_COMPLETE, now, 200, extra=said)))
        except OSError as error:  # it counts by now, and that it was decided is on record
            log.error("outcome of a decision not recorded", approval=case.approval.id, error=str(error))
    return after


class _Record:
    """A chain of its own in the audit log of the session that asked."""

    def __init__(self, desk: Desk, case: Case) -> None:
        sessions = desk.state / "sessions"
        if _NAME.fullmatch(case.ask.session) is None:
            raise OSError(f"{case.ask.session!r} cannot be the name of a session's folder")
        self._folder, self._case = sessions / current(sessions, case.ask.session), case
        self._path = self._folder / AUDIT_FILE
        self._log = AuditLog(AuditLedger(desk.state, desk.key_file), sessions, desk.name)
        self._file = -1

    def __enter__(self) -> Self:
        make_folder(self._folder, _description(self._case, self._folder.name))
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        sync_folder(self._folder)
        return self

    def write(self, record: bytes) -> None:
        """On disk when it returns. Raises OSError."""
        self._log.append(self._file, self._path, [record])
        os.fdatasync(self._file)
        self._log.synced(self._path)

    def __exit__(self, *_: object) -> None:
        self._log.tend(last=True)
        os.close(self._file)


def _description(case: Case, folder: str) -> bytes:
    """As the gateway describes the session, for one that has not recorded anything yet."""
    ask = case.ask
    who = {"iss": ask.requester_iss, "sub": ask.requester_sub, "act": ask.requester_act, "owner": ask.requester_owner}
    about = named(folder) | {"connection": ask.connection, "identity": who | {"groups": ask.requester_groups}}
    return orjson.dumps(
        about | {"started_at": case.approval.asked_at, "intent": ask.intent}, option=orjson.OPT_APPEND_NEWLINE
    )
