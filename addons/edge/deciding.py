"""What people have decided about an approval, written: one transaction each, so that of several one is the last.

Whoever writes holds the approval's row first (SQLite: the store), and reads what others have agreed to only then. Who
may decide, and what follows, is for `core/approval.py` and `core/approvers.py` to say; the conditions here repeat it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from addons.core import approval as core
from addons.core.approval import Case, ForbiddenApprover, State
from addons.core.approval_terms import Reuse, Scope, narrowest
from addons.core.approvers import Vote, has_agreed, missing, vote
from addons.core.identity import Identity
from addons.edge.schema import APPROVALS, VOTES, vote_of, vote_row

_TABLE = APPROVALS.c


def agree(
    connection: sa.Connection, case: Case, approver: Identity, note: str, scope: Scope, now: float, seconds: float
) -> bool:
    """One more person approves; granted with the last one. False if it is open no longer. Raises ForbiddenApprover."""
    mine = APPROVALS.update().where(*_still(case, approver, now))
    if connection.execute(mine.values(answered_at=None)).rowcount != 1:  # nothing changes but whose turn it is
        return False
    given = votes(connection, [case.approval.id]).get(case.approval.id, [])
    if has_agreed(given, approver):
        raise ForbiddenApprover("you have approved it already: somebody else has to, too")
    given.append(vote(case.ask.needed, approver, note, scope, now))
    connection.execute(VOTES.insert().values(**vote_row(case.approval.id, len(given), given[-1])))
    if not missing(case.ask.needed, given):
        connection.execute(mine.values(**_granted(given, now, seconds)))
    return True


def deny(connection: sa.Connection, case: Case, approver: Identity, note: str, now: float, seconds: float) -> bool:
    """Nobody may do it. False if it is another's to decide by now."""
    values = {"state": State.DENIED, "approver": approver.username, "note": note, "answered_at": now}
    values["expires_at"] = core.expires_at(State.DENIED, now, seconds)
    return connection.execute(APPROVALS.update().where(*_still(case, approver, now)).values(**values)).rowcount == 1


def revoke(connection: sa.Connection, case: Case, who: Identity, note: str, now: float) -> bool:
    """What stands, stands no longer. False if it did not."""
    still = (_TABLE.id == case.approval.id, _TABLE.state == State.STANDING, _TABLE.expires_at > now)
    values = {"state": State.REVOKED, "note": f"revoked by {who.username}: {note}", "expires_at": now}
    return connection.execute(APPROVALS.update().where(*still).values(**values)).rowcount == 1


def votes(connection: sa.Connection, approvals: Iterable[str]) -> dict[str, list[Vote]]:
    """Who has agreed to these approvals so far, in the order in which they did."""
    query = sa.select(VOTES).where(VOTES.c.approval.in_([*approvals])).order_by(VOTES.c.approval, VOTES.c.number)
    found: dict[str, list[Vote]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["approval"], []).append(vote_of(row))
    return found


def _granted(given: list[Vote], now: float, seconds: float) -> Mapping[str, Any]:
    scope = narrowest([each.scope for each in given])
    stands = scope.reuse is not Reuse.NEVER
    return {
        "state": core.granted_as(scope),
        "approver": ", ".join(each.approver for each in given),
        "note": "; ".join(each.note for each in given if each.note),
        "answered_at": now,
        "reuse": scope.reuse,
        "expires_at": now + scope.seconds if stands else core.expires_at(State.GRANTED, now, seconds),
    }


def _still(case: Case, approver: Identity, now: float) -> tuple[sa.ColumnElement[bool], ...]:
    """As it was when it was looked at, and `core.may_decide` as a condition on the row itself."""
    requester = sa.or_(_TABLE.requester_sub.in_(approver.subjects), _TABLE.requester_act.in_(approver.subjects))
    return (
        _TABLE.id == case.approval.id,
        _TABLE.state == case.approval.state,
        _TABLE.expires_at > now,
        sa.not_(sa.and_(_TABLE.requester_iss == approver.iss, requester)),
        sa.or_(_TABLE.owner_key == "", _TABLE.owner_key.not_in([*core.names(approver)])),
    )
