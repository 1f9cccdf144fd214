"""Which channel was told of which question, in the store: each message is taken by one process, whoever else looks.

Every function blocks and may raise StoreUnavailable. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from addons.core.approval import Case, State
from addons.core.approvers import Vote
from addons.core.notify.channel import Channel, Slack
from addons.core.notify.outbox import DONE, LEASE_SECONDS, Stage
from addons.edge import deciding
from addons.edge.database import Database
from addons.edge.schema import APPROVALS, NOTIFICATIONS, SIGNATURES, VOTES, case_of

_OPEN = APPROVALS.c.state == State.PENDING
_BOTH = sa.select(
    *APPROVALS.columns, NOTIFICATIONS.c.stage, NOTIFICATIONS.c.tries, NOTIFICATIONS.c.due_at, NOTIFICATIONS.c.message
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message that this process alone is to send now. `message` is what the channel calls the one before."""

    case: Case
    channel: str
    stage: Stage
    tries: int
    message: str


def take(store: Database, channel: Channel, most: int, now: float) -> list[Delivery]:
    """At most so many messages that are due for a channel; nobody else gets them for LEASE_SECONDS."""
    with store.reading() as connection:
        due = [dict(row) for row in connection.execute(_due(channel, now).limit(most)).mappings()]
        room = most - len(due)
        new = [dict(row) for row in connection.execute(_new(channel, now).limit(room)).mappings()] if room else []
        votes = deciding.votes(connection, [row["id"] for row in (*due, *new)])
    taken = [_again(store, channel.name, row, now) for row in due] + [
        _first(store, channel.name, row, now) for row in new
    ]
    return [_with_votes(each, votes) for each in taken if each is not None]


def _with_votes(delivery: Delivery, votes: Mapping[str, Sequence[Vote]]) -> Delivery:
    case = delivery.case
    return replace(delivery, case=replace(case, votes=tuple(votes.get(case.approval.id, ()))))


def done(store: Database, delivery: Delivery, message: str) -> None:
    """It was sent, or given up; `message` is what the channel calls it."""
    votes = len(delivery.case.votes)
    _change(store, delivery, stage=DONE[delivery.stage], tries=0, due_at=0.0, message=message, votes=votes)


def postpone(store: Database, delivery: Delivery, due_at: float) -> None:
    """It could not be sent: not before `due_at`."""
    _change(store, delivery, due_at=due_at)


def use_signature(store: Database, signature: str, now: float, until: float) -> bool:
    """True the first time; what is past is forgotten."""

    def use(connection: sa.Connection) -> bool:
        connection.execute(SIGNATURES.delete().where(SIGNATURES.c.until <= now))
        known = connection.execute(sa.select(SIGNATURES.c.signature).where(SIGNATURES.c.signature == signature)).first()
        if known is None:
            connection.execute(SIGNATURES.insert().values(signature=signature, until=until))
        return known is None

    return store.alone("used signatures", use)


def _new(channel: Channel, now: float) -> sa.Select[Any]:
    """Open questions that the channel has not been told of."""
    told = sa.select(NOTIFICATIONS.c.approval).where(
        NOTIFICATIONS.c.approval == APPROVALS.c.id, NOTIFICATIONS.c.channel == channel.name
    )
    query = sa.select(APPROVALS).where(_OPEN, APPROVALS.c.expires_at > now, sa.not_(told.exists()))
    if channel.connections is not None:
        query = query.where(APPROVALS.c.connection.in_(channel.connections))
    return query.order_by(APPROVALS.c.asked_at)


def _due(channel: Channel, now: float) -> sa.Select[Any]:
    """What was tried in vain, or left by who has died; and what was told of and has changed.

    It is open no longer, or, for a channel whose messages can be changed, somebody more has agreed.
    """
    table = NOTIFICATIONS.c
    still = sa.and_(_OPEN, APPROVALS.c.expires_at > now)
    unsent = sa.and_(table.stage.in_((Stage.ASKING, Stage.CLOSING)), table.due_at <= now)
    changed = sa.not_(still)
    if isinstance(channel.place, Slack):
        agreed = sa.select(sa.func.count()).where(VOTES.c.approval == APPROVALS.c.id)
        changed = sa.or_(changed, agreed.scalar_subquery() > table.votes)
    query = _BOTH.select_from(APPROVALS.join(NOTIFICATIONS, table.approval == APPROVALS.c.id))
    by_index = table.stage.in_((Stage.ASKING, Stage.ASKED, Stage.CLOSING))
    due = sa.or_(unsent, sa.and_(table.stage == Stage.ASKED, changed))
    return query.where(table.channel == channel.name, by_index, due).order_by(table.due_at)


def _first(store: Database, channel: str, row: dict[str, Any], now: float) -> Delivery | None:
    values = {"stage": Stage.ASKING, "tries": 1, "due_at": now + LEASE_SECONDS, "message": ""}
    if not _inserted(store, NOTIFICATIONS, {"approval": row["id"], "channel": channel, **values}):
        return None
    return Delivery(case=case_of(row), channel=channel, stage=Stage.ASKING, tries=1, message="")


def _again(store: Database, channel: str, row: dict[str, Any], now: float) -> Delivery | None:
    """A question that is over before it was told of is told of as over; one that is not is told of once more."""
    case = case_of(row)
    over = case.approval.state is not State.PENDING or now >= case.approval.expires_at
    stage = Stage.CLOSING if over else Stage.ASKING
    tries = row["tries"] + 1 if stage is row["stage"] else 1
    table = NOTIFICATIONS.c
    statement = (
        NOTIFICATIONS.update()
        .where(table.approval == case.approval.id, table.channel == channel)
        .where(table.stage == row["stage"], table.tries == row["tries"], table.due_at == row["due_at"])
        .values(stage=stage, tries=tries, due_at=now + LEASE_SECONDS)
    )
    with store.writing() as connection:
        won = connection.execute(statement).rowcount == 1
    return Delivery(case=case, channel=channel, stage=stage, tries=tries, message=row["message"]) if won else None


def _change(store: Database, delivery: Delivery, **values: Any) -> None:
    """Nothing where another process has gone on with it, because this one took too long."""
    table = NOTIFICATIONS.c
    statement = NOTIFICATIONS.update().where(
        table.approval == delivery.case.approval.id,
        table.channel == delivery.channel,
        table.stage == delivery.stage,
        table.tries == delivery.tries,
    )
    with store.writing() as connection:
        connection.execute(statement.values(**values))


def _inserted(store: Database, table: sa.Table, values: dict[str, Any]) -> bool:
    """False if another process was first."""
    with store.writing() as connection:
        nested = connection.begin_nested()
        try:
            connection.execute(table.insert().values(**values))
        except IntegrityError:
            nested.rollback()
            return False
        nested.commit()
    return True
