"""Thresholds turn risk into a verdict, and stricter is greater."""

from __future__ import annotations

import pytest

from addons.core.approval_terms import Terms
from addons.core.decision import Decision, Match, Thresholds, Verdict, strictest


@pytest.mark.parametrize(
    ("risk", "verdict"),
    [(0, Verdict.ALLOW), (29, Verdict.ALLOW), (30, Verdict.WARN), (49, Verdict.WARN), (50, Verdict.REQUIRE_APPROVAL),
     (89, Verdict.REQUIRE_APPROVAL), (90, Verdict.DENY), (100, Verdict.DENY)],
)  # fmt: skip
def test_standard_thresholds(risk: int, verdict: Verdict) -> None:
    assert Thresholds().verdict(risk) is verdict


def test_the_strictest_is_the_greatest() -> None:
    assert max(Verdict.WARN, Verdict.DENY, Verdict.ALLOW) is Verdict.DENY
    assert Thresholds(warn=101, approve=101, deny=101).verdict(100) is Verdict.ALLOW
    assert Verdict.REQUIRE_APPROVAL.word == "require_approval"


def _decision(verdict: Verdict, risk: int, rule: str, *, shadow: bool = False) -> Decision:
    match = Match(rule=rule, verdict=verdict, risk=risk, reason="r", shadow=shadow, terms=Terms(count=2))
    return Decision(verdict=verdict, risk=risk, rule=rule, reason="r", matches=(match,))


@pytest.mark.parametrize(
    ("first", "second", "rule", "asking"),
    [
        ((Verdict.ALLOW, 0), (Verdict.WARN, 30), "b", []),
        ((Verdict.WARN, 30), (Verdict.WARN, 40), "a", []),
        ((Verdict.WARN, 30), (Verdict.REQUIRE_APPROVAL, 50), "b", ["b"]),
        ((Verdict.REQUIRE_APPROVAL, 50), (Verdict.WARN, 60), "a", ["a"]),
        ((Verdict.REQUIRE_APPROVAL, 50), (Verdict.REQUIRE_APPROVAL, 50), "a", ["a", "b"]),
        ((Verdict.REQUIRE_APPROVAL, 50), (Verdict.REQUIRE_APPROVAL, 60), "b", ["b", "a"]),
        ((Verdict.REQUIRE_APPROVAL, 50), (Verdict.DENY, 90), "b", []),
    ],
)
def test_of_two_decisions_the_stricter_counts_and_all_rules_that_ask(
    first: tuple[Verdict, int], second: tuple[Verdict, int], rule: str, asking: list[str]
) -> None:
    both = strictest(_decision(*first, "a"), _decision(*second, "b"))
    assert (both.rule, both.risk) == (rule, {"a": first, "b": second}[rule][1])
    assert [match.rule for match in both.asking] == asking


def test_a_rule_on_trial_asks_nobody() -> None:
    assert _decision(Verdict.REQUIRE_APPROVAL, 50, "a", shadow=True).asking == ()


@pytest.mark.parametrize(
    ("first", "second", "rule", "matches"),
    [
        (Verdict.WARN, Verdict.ALLOW, "first", ["first"]),
        (Verdict.WARN, Verdict.WARN, "first", ["first"]),
        (Verdict.REQUIRE_APPROVAL, Verdict.REQUIRE_APPROVAL, "first", ["first", "second"]),
        (Verdict.WARN, Verdict.DENY, "second", ["second", "first"]),
    ],
)
def test_the_stricter_of_two(first: Verdict, second: Verdict, rule: str, matches: list[str]) -> None:
    def made(name: str, verdict: Verdict) -> Decision:
        matched = Match(rule=name, verdict=verdict, risk=1, reason="")
        return Decision(verdict=verdict, rule=name, matches=(matched,))

    decision = strictest(made("first", first), made("second", second))
    assert (decision.rule, [match.rule for match in decision.matches]) == (rule, matches)
