"""Thresholds turn risk into a verdict, and stricter is greater."""

from __future__ import annotations

import pytest

from addons.core.decision import Thresholds, Verdict


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
