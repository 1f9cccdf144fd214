"""The access requests in the store. Every function blocks and may raise StoreUnavailable. Times are Unix seconds.

What follows what is decided in `core/access_request.py`. A change is written only over the very revision that it was
worked out from, so that of two people who decide at once none overwrites the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from addons.core.access_request import AccessRequest, Event, State
from addons.edge.database import Database
from addons.edge.database import StoreUnavailable as StoreUnavailable
from addons.edge.schema import ACCESS_REQUESTS
from addons.edge.store import MAX_PENDING, TooManyPending

_TRIES = 5
_COLUMNS = ACCESS_REQUESTS.c


class UnknownAccessRequest(LookupError):
    """There is no access request of this id."""


def add_access_request(store: Database, request: AccessRequest) -> None:
    """Keeps a new request. Raises TooManyPending."""
    mine = (_COLUMNS.iss == request.iss, _COLUMNS.sub == request.sub, _COLUMNS.expires_at > request.asked_at)
    count = sa.select(sa.func.count()).where(_COLUMNS.state == State.PENDING, *mine)

    def add(connection: sa.Connection) -> None:
        if connection.execute(count).scalar_one() >= MAX_PENDING:
            raise TooManyPending(f"{MAX_PENDING} requests of this agent wait for an answer already")
        connection.execute(ACCESS_REQUESTS.insert().values(**_row(request), revision=0))

    store.alone(f"access requests of {request.iss} {request.sub}", add)


def granted(store: Database, now: float) -> list[AccessRequest]:
    """Those that are somebody's right, oldest first."""
    return _list(store, sa.select(ACCESS_REQUESTS).where(_COLUMNS.state == State.GRANTED, _COLUMNS.expires_at > now))


def access_requests(store: Database, since: float) -> list[AccessRequest]:
    """Those that were not over at `since`, oldest first."""
    return _list(store, sa.select(ACCESS_REQUESTS).where(_COLUMNS.expires_at > since))


def access_request(store: Database, request_id: str) -> AccessRequest:
    """One of them; the id may be typed in any case. Raises UnknownAccessRequest."""
    with store.reading() as connection:
        return _request(_found(connection, request_id))


def change(store: Database, request_id: str, to_next: Callable[[AccessRequest], AccessRequest]) -> AccessRequest:
    """The request after `to_next`, written. Raises UnknownAccessRequest, and whatever `to_next` raises."""
    for _ in range(_TRIES):
        with store.writing() as connection:
            row = _found(connection, request_id)
            after = to_next(_request(row))
            same = (_COLUMNS.id == after.id, _COLUMNS.revision == row["revision"])
            update = ACCESS_REQUESTS.update().where(*same).values(**_row(after), revision=row["revision"] + 1)
            if connection.execute(update).rowcount == 1:
                return after
    raise StoreUnavailable("somebody else kept changing the request")


def _found(connection: sa.Connection, request_id: str) -> sa.RowMapping:
    query = sa.select(ACCESS_REQUESTS).where(_COLUMNS.id == request_id.strip().lower())
    if (row := connection.execute(query).mappings().first()) is None:
        raise UnknownAccessRequest(f"there is no access request {request_id!r}; list them with: chaperone grants list")
    return row


def _list(store: Database, query: sa.Select[Any]) -> list[AccessRequest]:
    with store.reading() as connection:
        return [_request(row) for row in connection.execute(query.order_by(_COLUMNS.asked_at)).mappings()]


def _row(request: AccessRequest) -> dict[str, Any]:
    """What is searched for in columns, and all of it as JSON."""
    columns = {name: getattr(request, name) for name in ("id", "state", "iss", "sub", "asked_at", "expires_at")}
    return {**columns, "request": json.dumps(asdict(request))}


def _request(row: sa.RowMapping) -> AccessRequest:
    values = json.loads(row["request"])
    tuples = {name: tuple(values[name]) for name in ("approvers", "approved_by")}
    history = tuple(Event(*event) for event in values["history"])
    return AccessRequest(**{**values, **tuples, "state": State(values["state"]), "history": history})
