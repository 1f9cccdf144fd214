"""Several people who have to agree: who counts, who has agreed already, and how many are missing.

Nobody counts twice: two approvals are by one person if they share a name by which an issuer knows them, or an e-mail
address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from addons.core.approval_terms import ONCE, Needed, Scope
from addons.core.identity import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's approval. `person` are the names by which they are known; `groups`, those of theirs that count."""

    approver: str
    person: tuple[str, ...]
    groups: tuple[str, ...] = ()
    at: float
    note: str = ""
    scope: Scope = ONCE


def vote(needed: Sequence[Needed], approver: Identity, note: str, scope: Scope, now: float) -> Vote:
    """The approval of somebody, at `now` (Unix seconds)."""
    wanted = {group for each in needed for group in each.groups}
    return Vote(
        approver=approver.username,
        person=person_of(approver),
        groups=tuple(group for group in approver.groups if group in wanted),
        at=now,
        note=note,
        scope=scope,
    )


def person_of(identity: Identity) -> tuple[str, ...]:
    """Every name by which this person is known, wherever they sign in."""
    email = identity.claims.get("email")
    mail = [f"email {email.casefold()}"] if isinstance(email, str) and email else []
    return (*sorted(f"{identity.iss}#{subject}" for subject in identity.subjects), *mail)


def stranger(needed: Sequence[Needed], approver: Identity) -> str:
    """Why somebody in these groups does not count at all, "" if they do."""
    if not needed or any(each.has(approver.groups) for each in needed):
        return ""
    groups = sorted({group for each in needed for group in each.groups})
    return f"only members of these groups decide: {', '.join(groups)}"


def has_agreed(votes: Sequence[Vote], approver: Identity) -> bool:
    """Whether this person is among those who have."""
    person = set(person_of(approver))
    return any(not person.isdisjoint(each.person) for each in votes)


def missing(needed: Sequence[Needed], votes: Sequence[Vote]) -> list[Needed]:
    """What is not met yet, with how many people are still to agree."""
    counted = needed or (Needed(rule=""),)
    left = [(each, each.count - _given(each, votes)) for each in counted]
    return [Needed(rule=each.rule, groups=each.groups, count=count) for each, count in left if count > 0]


def progress(needed: Sequence[Needed], votes: Sequence[Vote]) -> str:
    """How far it has got, in words: "1 of 2, by NAME"; "" where one person decides."""
    if not needed:
        return ""
    parts = [f"{min(_given(each, votes), each.count)} of {each.words()}" for each in needed]
    by = ", ".join(each.approver for each in votes)
    return "; ".join(parts) + (f", by {by}" if by else "")


def _given(each: Needed, votes: Sequence[Vote]) -> int:
    return sum(each.has(one.groups) for one in votes)
