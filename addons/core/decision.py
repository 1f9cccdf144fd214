"""What the guardrails make of a request. Values, not exceptions: a verdict is an outcome, not a fault."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal

from addons.core.approval_terms import NO_TERMS, Terms


class Verdict(IntEnum):
    """Ordered by strictness: the strictest of several wins, so the order of rule files cannot open a hole."""

    ALLOW = 0
    WARN = 1
    REQUIRE_APPROVAL = 2
    DENY = 3

    @property
    def word(self) -> str:
        """The lower-case name used in rule files, records and JSON output."""
        return _WORDS[self]


_WORDS = tuple(verdict.name.lower() for verdict in Verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Risk (0-100) from which a connection warns, asks a human, or denies. `deny` above 100 means: only by verdict."""

    warn: int = 30
    approve: int = 50
    deny: int = 90

    def verdict(self, risk: int) -> Verdict:
        """The verdict these thresholds give a risk."""
        if risk >= self.deny:
            return Verdict.DENY
        if risk >= self.approve:
            return Verdict.REQUIRE_APPROVAL
        return Verdict.WARN if risk >= self.warn else Verdict.ALLOW


Severity = Literal["low", "medium", "high", "critical"]
"""Of an alert, least first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """That somebody should be told of a match: once per session, and in it once for each of `per`."""

    severity: Severity
    per: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One rule that matched. `shadow` matches are reported and never decide."""

    rule: str
    verdict: Verdict
    risk: int
    reason: str
    hint: str = ""
    covers: tuple[str, ...] = ()
    shadow: bool = False
    retry_after_seconds: int | None = None
    """For a denial that passes by itself: when to try again."""
    fixed: bool = False
    """The rule names its verdict, whatever the thresholds."""
    unevaluable: bool = False
    """Nobody knows whether the rule matches; its verdict is a denial."""
    alert: Alert | None = None
    terms: Terms = NO_TERMS
    """What it asks of an approval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The guardrails' answer; `rule`, `reason` and `hint` are the deciding match's, empty when nothing matched.

    `observed` is set where the profile only observes: the verdict it would have been.
    """

    verdict: Verdict
    risk: int = 0
    rule: str = ""
    reason: str = ""
    hint: str = ""
    retry_after_seconds: int | None = None
    observed: Verdict | None = None
    matches: tuple[Match, ...] = ()

    @property
    def asking(self) -> tuple[Match, ...]:
        """The rules because of which a human is asked."""
        if self.verdict is not Verdict.REQUIRE_APPROVAL:
            return ()
        return tuple(each for each in self.matches if not each.shadow and each.verdict is Verdict.REQUIRE_APPROVAL)


def strictest(decision: Decision, other: Decision) -> Decision:
    """The stricter of two about one request, the first if they are equal. Where both ask a human, the rules of both do.

    The matches of the other are told of with a stricter one.
    """
    if decision.verdict is other.verdict is Verdict.REQUIRE_APPROVAL:
        first, second = (decision, other) if decision.risk >= other.risk else (other, decision)
        return _told(first, second)
    return decision if other.verdict <= decision.verdict else _told(other, decision)


def _told(decision: Decision, other: Decision) -> Decision:
    return replace(decision, matches=(*decision.matches, *other.matches))
