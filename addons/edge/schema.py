"""The store's tables, and their rows as the types of `core/approval.py`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from addons.core.access_request import State as AccessState
from addons.core.approval import Approval, Ask, Case, State
from addons.core.approval_terms import Needed, Offer, Reuse, Scope
from addons.core.approvers import Vote
from addons.core.lock import Lock
from addons.core.notify.outbox import Stage
from addons.core.single_use import Use

SCHEMA_VERSION = 1
STORE_FILE = "approvals.sqlite"
"""In the state folder, where no PostgreSQL is configured."""
METADATA = sa.MetaData()
SCHEMA = sa.Table("chaperone_schema", METADATA, sa.Column("version", sa.Integer, primary_key=True))


class Text(sa.TypeDecorator[str]):
    """Whatever an agent or a person wrote; what PostgreSQL cannot hold (NUL, half a character) is shown as such.

    Of any length: SQLite does not heed a limit, so one would be an error of one database alone.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """The value as it is written and searched for."""
        if value is None:
            return None
        return value.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode("utf-8")


def _states(states: type[StrEnum]) -> sa.Enum:
    return sa.Enum(states, native_enum=False, length=16, values_callable=lambda each: [state.value for state in each])


_JSON = ("argv", "requester_groups", "needed", "offer", "blast")
_ADDED = {"requester_groups": "[]", "needed": "[]", "offer": "{}", "blast": "[]"} | dict.fromkeys(
    ("api_group", "container", "shape", "claimed", "run"), ""
)
"""Columns that older stores lack, and what they hold in the rows that are there."""


def _asked(name: str) -> sa.Column[Any]:
    kind = sa.Integer() if name == "risk" else Text()
    return sa.Column(name, kind, nullable=False, server_default=_ADDED.get(name))


APPROVALS = sa.Table(
    "approvals",
    METADATA,
    sa.Column("id", Text(), primary_key=True),
    sa.Column("digest", Text(), nullable=False),
    sa.Column("state", _states(State), nullable=False),
    sa.Column("asked_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("answered_at", sa.Double),
    sa.Column("approver", Text(), nullable=False),
    sa.Column("note", Text(), nullable=False),
    sa.Column("reuse", _states(Reuse), nullable=False, server_default=Reuse.NEVER.value),
    sa.Column("uses", sa.Integer, nullable=False, server_default="0"),
    *(_asked(field.name) for field in fields(Ask)),
    sa.Column("owner_key", Text(), nullable=False),  # requester_owner, case-folded as core.approval.names() is
)
VOTES = sa.Table(
    "approval_votes",
    METADATA,
    sa.Column("approval", sa.String(16), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("vote", Text(), nullable=False),
    sa.PrimaryKeyConstraint("approval", "number"),
)
LOCKS = sa.Table(
    "locks",
    METADATA,
    *(
        sa.Column(field.name, sa.Double if field.name == "made_at" else Text(), nullable=False)
        for field in fields(Lock)
    ),
    sa.Column("lifted_by", Text()),
    sa.Column("lifted_at", sa.Double),
    sa.PrimaryKeyConstraint("id"),
)
ACCESS_REQUESTS = sa.Table(
    "access_requests",
    METADATA,
    sa.Column("id", Text(), primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("state", _states(AccessState), nullable=False),
    sa.Column("iss", Text(), nullable=False),
    sa.Column("sub", Text(), nullable=False),
    sa.Column("asked_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("request", Text(), nullable=False),
)
REVOCATIONS = sa.Table(
    "revocations",
    METADATA,
    sa.Column("session", Text(), primary_key=True),
    sa.Column("revoked_by", Text(), nullable=False),
    sa.Column("revoked_at", sa.Double, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
)
NOTIFICATIONS = sa.Table(
    "notifications",
    METADATA,
    sa.Column("approval", Text(), nullable=False),
    sa.Column("channel", Text(), nullable=False),
    sa.Column("stage", _states(Stage), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("due_at", sa.Double, nullable=False),
    sa.Column("message", Text(), nullable=False),  # what the channel calls the message it was sent
    sa.Column("votes", sa.Integer, nullable=False, server_default="0"),  # so many had agreed when it was sent
    sa.PrimaryKeyConstraint("approval", "channel"),
)
SIGNATURES = sa.Table(
    "used_signatures",
    METADATA,
    sa.Column("signature", Text(), primary_key=True),
    sa.Column("until", sa.Double, nullable=False),
)
sa.Index("notifications_by_stage", NOTIFICATIONS.c.channel, NOTIFICATIONS.c.stage)
sa.Index("access_requests_by_state", ACCESS_REQUESTS.c.state, ACCESS_REQUESTS.c.expires_at)
TOKEN_USES = sa.Table(
    "token_uses",
    METADATA,
    *(
        sa.Column(field.name, sa.Double if field.name == "expires_at" else Text(), nullable=False)
        for field in fields(Use)
    ),
    sa.PrimaryKeyConstraint("iss", "jti"),
)
sa.Index("token_uses_by_end", TOKEN_USES.c.expires_at)
LIVE = APPROVALS.c.state.in_((State.PENDING, State.GRANTED))
sa.Index("one_live_per_digest", APPROVALS.c.digest, unique=True, sqlite_where=LIVE, postgresql_where=LIVE)
sa.Index("approvals_by_digest", APPROVALS.c.digest)
sa.Index("approvals_by_state", APPROVALS.c.state, APPROVALS.c.asked_at)
sa.Index("approvals_by_rule", APPROVALS.c.rule, APPROVALS.c.answered_at)
STANDING = APPROVALS.c.state == State.STANDING
sa.Index("standing_by_shape", APPROVALS.c.shape, sqlite_where=STANDING, postgresql_where=STANDING)


def row_of(approval: Approval, ask: Ask) -> dict[str, Any]:
    """The row of a new approval."""
    asked = asdict(ask)
    written = {name: json.dumps(asked[name]) for name in _JSON}
    return asdict(approval) | asked | written | {"owner_key": ask.requester_owner.casefold()}


def approval_of(row: Mapping[Any, Any]) -> Approval:
    """The approval in a row."""
    return Approval(**{field.name: row[field.name] for field in fields(Approval)})


def case_of(row: Mapping[Any, Any], votes: Sequence[Vote] = (), *, used: bool = False) -> Case:
    """The approval in a row, with what was asked."""
    values = {field.name: row[field.name] for field in fields(Ask)}
    read = {name: json.loads(values[name]) for name in _JSON}
    written = {
        "argv": tuple(read["argv"]),
        "requester_groups": tuple(read["requester_groups"]),
        "needed": tuple(Needed(**{**each, "groups": tuple(each["groups"])}) for each in read["needed"]),
        "offer": Offer(**{**read["offer"], "reuse": Reuse(read["offer"].get("reuse", Reuse.NEVER))}),
        "blast": tuple((name, value) for name, value in read["blast"]),
    }
    return Case(approval=approval_of(row), ask=Ask(**values | written), votes=tuple(votes), used=used)


def vote_row(approval_id: str, number: int, vote: Vote) -> dict[str, Any]:
    """The row of somebody's approval, the `number`th."""
    return {"approval": approval_id, "number": number, "at": vote.at, "vote": json.dumps(asdict(vote))}


def vote_of(row: Mapping[Any, Any]) -> Vote:
    """The approval of somebody in a row."""
    values = json.loads(row["vote"])
    scope = Scope(reuse=Reuse(values["scope"]["reuse"]), seconds=values["scope"]["seconds"])
    return Vote(**values | {"person": tuple(values["person"]), "groups": tuple(values["groups"]), "scope": scope})


def lock_of(row: Mapping[Any, Any]) -> Lock:
    """The lock in a row."""
    return Lock(**{field.name: row[field.name] for field in fields(Lock)})


def private_file(file: Path) -> None:
    """SQLite gives its journal files the mode of the database, so the file has to be there before it."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def prepare_sqlite(connection: Any, _: object) -> None:
    """Readers and one writer at a time, a consumed approval stays consumed after power loss, and writers wait."""
    for pragma in ("busy_timeout=4000", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}").close()


def approvals_url(state: Path) -> str:
    """The URL of the store in a state folder."""
    return sqlite_url(state / STORE_FILE)


def sqlite_url(file: Path) -> str:
    """The URL of a SQLite file."""
    return sa.URL.create("sqlite", database=str(file.absolute())).render_as_string()
