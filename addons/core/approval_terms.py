"""What rules ask of an approval: how many people of which groups agree, and whether the same may then be done again.

Without a word in a rule: one person, whoever may approve, and once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Reuse(StrEnum):
    """For how long an approval counts, from the narrowest: for one request, in one session, or for the same caller."""

    NEVER = "never"
    SESSION = "session"
    MINUTES = "minutes"


_WIDTH = (Reuse.NEVER, Reuse.SESSION, Reuse.MINUTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Those of one rule. Without `groups`, anybody who may approve is one of the `count`."""

    groups: tuple[str, ...] = ()
    count: int = 1
    reuse: Reuse = Reuse.NEVER
    max_seconds: int = 0
    any_name: bool = False


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """So many different people, of one of these groups if there are any, as this rule asks."""

    rule: str
    groups: tuple[str, ...] = ()
    count: int = 1

    def has(self, groups: Iterable[str]) -> bool:
        """Whether somebody in these groups is one of them."""
        return not self.groups or not set(self.groups).isdisjoint(groups)

    def words(self) -> str:
        """For people."""
        return f"{self.count}{' of ' + ' or '.join(self.groups) if self.groups else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """How far an approval may go, at most."""

    reuse: Reuse = Reuse.NEVER
    max_seconds: int = 0
    any_name: bool = False


NO_OFFER = Offer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How far somebody's approval goes: once, or again and again for so long."""

    reuse: Reuse = Reuse.NEVER
    seconds: int = 0


ONCE = Scope()


def needed(terms: Iterable[tuple[str, Terms]]) -> tuple[Needed, ...]:
    """What these rules ask for together, each by its name. Empty: one person, whoever may approve."""
    return tuple(
        Needed(rule=rule, groups=each.groups, count=each.count) for rule, each in terms if each.groups or each.count > 1
    )


def offer(terms: Sequence[Terms]) -> Offer:
    """The narrowest of what these rules allow."""
    reuse = min((each.reuse for each in terms), key=_WIDTH.index, default=Reuse.NEVER)
    if reuse is Reuse.NEVER:
        return NO_OFFER
    return Offer(
        reuse=reuse,
        max_seconds=min(each.max_seconds for each in terms),
        any_name=all(each.any_name for each in terms),
    )


def too_wide(offered: Offer, scope: Scope) -> str:
    """Why an approval may not go so far, "" if it may."""
    if scope.reuse is Reuse.NEVER:
        return ""
    if offered.reuse is Reuse.NEVER:
        return (
            "it can be approved once only: a rule that asks does not allow more, or what it would allow cannot be told"
        )
    if _WIDTH.index(scope.reuse) > _WIDTH.index(offered.reuse):
        return "it can be approved for this session only, not beyond it"
    if not 0 < scope.seconds <= offered.max_seconds:
        return f"it can be approved for {offered.max_seconds // 60} minutes at most"
    return ""


def narrowest(scopes: Sequence[Scope]) -> Scope:
    """What all of several people have agreed to."""
    reuse = min((each.reuse for each in scopes), key=_WIDTH.index)
    return ONCE if reuse is Reuse.NEVER else Scope(reuse=reuse, seconds=min(each.seconds for each in scopes))
