from __future__ import annotations

import pytest

from addons.core.decision import Decision, Match, Verdict
from addons.core.guardrails.announce import refusal_of, server_refusal, tells_of_the_cluster, unanswered, warnings_of
from addons.core.guardrails.effective import ServerRefusal, Unanswered
from addons.core.guardrails.selftest import request_of


def match(name: str, verdict: Verdict, shadow: bool = False) -> Match:
    return Match(rule=name, verdict=verdict, risk=1, reason=f"because {name}", hint=f"do {name}", shadow=shadow)


def test_a_denial_says_why_and_what_instead() -> None:
    decision = Decision(verdict=Verdict.DENY, rule="r", reason="w", hint="h")
    refusal = refusal_of(decision, request_of("DELETE /api/v1/namespaces/a/pods/p"))
    assert refusal is not None
    assert (refusal.code, refusal.rule, refusal.why, refusal.hint) == (403, "r", "w", "h")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("GET /api/v1/pods", 429),
        ("POST /api/v1/namespaces/a/pods/p/exec", 403),
        ("GET /api/v1/namespaces/a/services/s/proxy/x", 429),
    ],
)
def test_a_denial_that_passes_says_when_to_come_back(text: str, code: int) -> None:
    decision = Decision(verdict=Verdict.DENY, rule="r", reason="w", hint="h", retry_after_seconds=30)
    refusal = refusal_of(decision, request_of(text))
    assert refusal is not None
    assert (refusal.code, refusal.retry_after_seconds) == (code, 30)


@pytest.mark.parametrize("verdict", [Verdict.ALLOW, Verdict.WARN, Verdict.REQUIRE_APPROVAL])
def test_nothing_else_is_refused(verdict: Verdict) -> None:
    assert refusal_of(Decision(verdict=verdict), request_of("GET /api/v1/pods")) is None


def test_warnings() -> None:
    matches = (
        match("asks", Verdict.REQUIRE_APPROVAL),
        match("warns", Verdict.WARN),
        match("tells", Verdict.ALLOW),
        match("tries", Verdict.DENY, shadow=True),
    )
    assert warnings_of(Decision(verdict=Verdict.REQUIRE_APPROVAL, matches=matches)) == [
        "warns: because warns; do warns",
        "shadow: tries, on trial, would deny this: because tries",
    ]


def test_a_refused_dry_run_is_on_record_with_the_servers_code() -> None:
    refusal = server_refusal(ServerRefusal(status=422, body=b"{}"))
    assert (refusal.code, refusal.rule) == (422, "server-dry-run")
    other = server_refusal(ServerRefusal(status=403, body=b"{}", asked="a list of what this request would delete"))
    assert other.why == "the API server refused a list of what this request would delete with status 403"
    with pytest.raises(ValueError, match="answered 302"):
        server_refusal(ServerRefusal(status=302, body=b""))


def test_only_the_clusters_own_answer_tells_of_the_cluster() -> None:
    assert tells_of_the_cluster(server_refusal(ServerRefusal(status=404, body=b"{}")))
    assert not tells_of_the_cluster(unanswered(Unanswered("it is down")))
    assert not tells_of_the_cluster(None)
