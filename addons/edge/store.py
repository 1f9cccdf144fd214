"""Approvals that survive restarts and are shared by all workers, replicas and front ends.

Every change of state is one conditional UPDATE, so that two processes which race for the same approval cannot both win.
Who may answer and which states follow which is decided in `core/approval.py`; the conditions here repeat it so that
nothing can change between the check and the write.

`Store` blocks and is for threads and the command line; the gateway's event loop uses `edge/store_thread.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from addons.core import approval as core
from addons.core.approval import Approval, Ask, Case, ForbiddenApprover, InvalidTransition, State
from addons.core.approval_terms import ONCE, Reuse, Scope, too_wide
from addons.core.identity import Identity
from addons.edge import deciding
from addons.edge.database import Database
from addons.edge.database import StoreUnavailable as StoreUnavailable
from addons.edge.schema import (
    APPROVALS,
    LIVE,
    STANDING,
    approval_of,
    case_of,
    row_of,
)
from addons.edge.schema import sqlite_url as sqlite_url

MAX_PENDING = 100
"""Open questions per requester: an agent cannot bury a human's inbox."""


class UnknownApproval(LookupError):
    """There is no approval of this id."""


class TooManyPending(RuntimeError):
    """The requester has MAX_PENDING unanswered questions already."""


class Store(Database):
    """Approvals in a database. Every method blocks and may raise StoreUnavailable. Times are Unix seconds."""

    def __init__(
        self, url: str, approval_seconds: float = core.APPROVAL_SECONDS, password_file: Path | None = None
    ) -> None:
        """Opens the store and makes its tables; for `url` and `password_file` see Database."""
        super().__init__(url, password_file)
        self._seconds = approval_seconds

    @property
    def seconds(self) -> float:
        """How long a question waits, and then an approval."""
        return self._seconds

    def claim(self, digest: str, ask: Ask, now: float) -> Case:
        """The standing answer for a request, in one step: `used` if it may pass, a granted approval CONSUMED by it.

        Otherwise the open question or a recent denial for the same digest, and if there is none a new question.
        Raises TooManyPending.
        """
        about = f"approvals of {ask.requester_iss} {ask.requester_sub}"
        return self.alone(about, lambda connection: _claim(connection, digest, ask, now, self._seconds))

    def consume(self, approval_id: str, now: float, ask: Ask | None = None) -> bool:
        """True if it was used by this call: a granted one is used up; False if somebody else did, or it lapsed.

        One that stands is used only for `ask`, if that is one of those which it stands for.
        """
        one = APPROVALS.update().where(APPROVALS.c.id == approval_id, APPROVALS.c.expires_at > now)
        once = one.where(APPROVALS.c.state == State.GRANTED).values(state=State.CONSUMED, uses=1)
        with self.writing() as connection:
            if connection.execute(once).rowcount == 1:
                return True
            covered = one.where(*_covers(ask)).values(uses=APPROVALS.c.uses + 1) if ask is not None else None
            return covered is not None and connection.execute(covered).rowcount == 1

    def approvals(self, ids: Iterable[str]) -> dict[str, Approval]:
        """The approvals of these ids, in one query; unknown ids are absent."""
        query = sa.select(*(APPROVALS.c[field.name] for field in fields(Approval))).where(APPROVALS.c.id.in_([*ids]))
        with self.reading() as connection:
            return {row["id"]: approval_of(row) for row in connection.execute(query).mappings()}

    def get(self, approval_id: str) -> Case:
        """One approval with what was asked; the id may be typed in any case. Raises UnknownApproval."""
        with self.reading() as connection:
            return _get(connection, approval_id)

    def pending(self, now: float) -> list[Case]:
        """Open questions, oldest first."""
        return self._list(
            sa.select(APPROVALS)
            .where(APPROVALS.c.state == State.PENDING, APPROVALS.c.expires_at > now)
            .order_by(APPROVALS.c.asked_at)
        )

    def newest(self, now: float, most: int) -> list[Case]:
        """Open questions, newest first, at most so many and without their differences, which may be long."""
        columns = [column for column in APPROVALS.c if column is not APPROVALS.c.diff]
        return self._list(
            sa.select(*columns, sa.literal("").label("diff"))
            .where(APPROVALS.c.state == State.PENDING, APPROVALS.c.expires_at > now)
            .order_by(APPROVALS.c.asked_at.desc())
            .limit(most)
        )

    def latest(self, limit: int = 200) -> list[Case]:
        """The newest approvals in any state, oldest of them first."""
        return self._list(sa.select(APPROVALS).order_by(APPROVALS.c.asked_at.desc()).limit(limit))[::-1]

    def similar(self, case: Case, limit: int = 5) -> list[Case]:
        """What people decided lately about requests of this kind, the latest first: same rule, resource and verb."""
        table, ask = APPROVALS.c, case.ask
        same = [table[name] == getattr(ask, name) for name in ("rule", "connection", "verb", "api_group", "resource")]
        query = sa.select(APPROVALS).where(*same, table.id != case.approval.id, table.answered_at.is_not(None))
        return self._list(query.order_by(table.answered_at.desc()).limit(limit))

    def standing(self, now: float) -> list[Case]:
        """Approvals that stand, oldest first."""
        return self._list(
            sa.select(APPROVALS).where(STANDING, APPROVALS.c.expires_at > now).order_by(APPROVALS.c.asked_at)
        )

    def decide(
        self, approval_id: str, to: State, approver: Identity, note: str, now: float, scope: Scope = ONCE
    ) -> Case:
        """The approval after `approver` granted (`scope`: how far) or denied it; pending while others have to agree.

        `approver` must be verified. Raises UnknownApproval, ForbiddenApprover, InvalidTransition.
        """
        case = self.get(approval_id)
        if why := core.may_decide(case.ask, approver):
            raise ForbiddenApprover(why)
        core.check_transition(case.approval, to, now)
        if to is State.GRANTED and (why := too_wide(case.ask.offer, scope)):
            raise ForbiddenApprover(why)
        with self.writing() as connection:
            if to is State.GRANTED:
                changed = deciding.agree(connection, case, approver, note, scope, now, self._seconds)
            else:
                changed = deciding.deny(connection, case, approver, note, now, self._seconds)
            return _after(connection, case, changed)

    def revoke(self, approval_id: str, who: Identity, note: str, now: float) -> Case:
        """The approval that stands no longer. Raises UnknownApproval, ForbiddenApprover, InvalidTransition."""
        case = self.get(approval_id)
        if why := core.may_revoke(who):
            raise ForbiddenApprover(why)
        core.check_transition(case.approval, State.REVOKED, now)
        with self.writing() as connection:
            return _after(connection, case, deciding.revoke(connection, case, who, note, now))

    def _list(self, query: sa.Select[Any]) -> list[Case]:
        with self.reading() as connection:
            rows = connection.execute(query).mappings().all()
            votes = deciding.votes(connection, [row["id"] for row in rows])
        return [case_of(row, votes.get(row["id"], ())) for row in rows]


def _get(connection: sa.Connection, approval_id: str) -> Case:
    row = (
        connection.execute(sa.select(APPROVALS).where(APPROVALS.c.id == approval_id.strip().lower())).mappings().first()
    )
    if row is None:
        raise UnknownApproval(f"there is no approval {approval_id!r}; list them with: chaperone approvals list")
    return case_of(row, deciding.votes(connection, [row["id"]]).get(row["id"], ()))


def _after(connection: sa.Connection, case: Case, changed: bool) -> Case:
    """What this decision has made of it, whatever others do next."""
    after = _get(connection, case.approval.id)
    if not changed:
        raise InvalidTransition(f"approval {case.approval.id} was answered by someone else: {after.approval.state}")
    return after


def _claim(connection: sa.Connection, digest: str, ask: Ask, now: float, seconds: float) -> Case:
    table = APPROVALS.c
    connection.execute(
        APPROVALS.update().where(table.digest == digest, LIVE, table.expires_at <= now).values(state=State.EXPIRED)
    )
    known = _known(connection, digest, now)
    if known is not None and known["state"] == State.GRANTED:
        used = {"state": State.CONSUMED, "uses": 1}
        connection.execute(APPROVALS.update().where(table.id == known["id"]).values(**used))
        return case_of({**known, **used}, used=True)
    if (
        (known is None or known["state"] == State.PENDING)
        and ask.shape
        and (covering := _covering(connection, ask, now)) is not None
    ):
        used = {"uses": covering["uses"] + 1}
        connection.execute(APPROVALS.update().where(table.id == covering["id"]).values(**used))
        return case_of({**covering, **used}, used=True)
    return _ask(connection, digest, ask, now, seconds) if known is None else case_of(known)


def _covering(connection: sa.Connection, ask: Ask, now: float) -> sa.RowMapping | None:
    """The approval that stands for such a request."""
    query = sa.select(APPROVALS).where(*_covers(ask), APPROVALS.c.expires_at > now)
    return connection.execute(query.order_by(APPROVALS.c.expires_at.desc()).with_for_update()).mappings().first()


def _covers(ask: Ask) -> tuple[sa.ColumnElement[bool], ...]:
    """It stands for requests of this shape, and was given for a risk as high. Without a shape, nothing covers it."""
    table = APPROVALS.c
    here = sa.or_(table.reuse == Reuse.MINUTES, sa.and_(table.reuse == Reuse.SESSION, table.session == ask.session))
    return STANDING, table.shape == ask.shape, table.shape != "", table.risk >= ask.risk, here


def _known(connection: sa.Connection, digest: str, now: float) -> sa.RowMapping | None:
    """The open question or unused grant for a request, else a recent denial."""
    table = APPROVALS.c
    query = sa.select(APPROVALS).where(table.digest == digest, table.expires_at > now).with_for_update()
    live = connection.execute(query.where(LIVE)).mappings().first()
    denied = query.where(table.state == State.DENIED).order_by(table.answered_at.desc())
    return live if live is not None else connection.execute(denied).mappings().first()


def new_id() -> str:
    """An id that people can read aloud and type."""
    return "".join(secrets.choice(core.ID_ALPHABET) for _ in range(core.ID_LENGTH))


def _ask(connection: sa.Connection, digest: str, ask: Ask, now: float, seconds: float) -> Case:
    table = APPROVALS.c
    mine = (table.requester_iss == ask.requester_iss, table.requester_sub == ask.requester_sub)
    count = sa.select(sa.func.count()).where(table.state == State.PENDING, table.expires_at > now, *mine)
    if connection.execute(count).scalar_one() >= MAX_PENDING:
        raise TooManyPending(f"{MAX_PENDING} requests of this agent wait for an answer already")
    approval = Approval(
        id=new_id(),
        digest=digest,
        state=State.PENDING,
        asked_at=now,
        expires_at=core.expires_at(State.PENDING, now, seconds),
    )
    connection.execute(APPROVALS.insert().values(**row_of(approval, ask)))
    return Case(approval=approval, ask=ask)
