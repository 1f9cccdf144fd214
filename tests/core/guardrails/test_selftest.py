from __future__ import annotations

import pytest

from tests.core.guardrails.support import compiled, rule

NO = "    - {expect: no-match, request: GET /version}\n"
YES = "    - {expect: match, request: POST /api/v1/namespaces/a/pods, object: {bad: true}}\n"


@pytest.mark.parametrize(
    ("body", "test", "message"),
    [
        pytest.param(
            "when: object.bad\n  risk: 1",
            "{expect: match, request: POST /api/v1/namespaces/a/pods, object: {bad: false}}",
            "expected match for POST /api/v1/namespaces/a/pods",
            id="does not match",
        ),
        pytest.param(
            "risk: 1",
            "{expect: no-match, request: GET /api/v1/namespaces/a/pods}",
            "expected no-match for GET /api/v1/namespaces/a/pods",
            id="matches",
        ),
        pytest.param(
            "when: object.bad\n  risk: 1",
            "{expect: no-match, request: POST /api/v1/namespaces/a/pods, object: {}}",
            'the expression could not be evaluated: NOT_FOUND: Key not found in map : "bad"',
            id="an error is neither",
        ),
        pytest.param(
            "risk: 1",
            "{expect: no-match, request: GET /api/v1/namespaces/a%2Fb/pods}",
            "the request cannot be read: ",
            id="unreadable request",
        ),
    ],
)
def test_a_failing_test_is_a_problem_at_its_line(body: str, test: str, message: str) -> None:
    _, problems = compiled(rule(body=body, tests=f"  tests:\n{YES}{NO}    - {test}\n"))
    lines = 10 + body.count("\n")
    assert [(problem.line, problem.message.startswith(f"test 3 failed: {message}")) for problem in problems] == [
        (lines + 3, True)
    ], problems


@pytest.mark.parametrize(
    ("when", "match"),
    [
        ("identity.sub == 'agent' && identity.groups == []", "identity: {}"),
        ("identity.owner == 'ann' && identity.act == 'bot'", "identity: {owner: ann, act: bot}"),
        ("identity.claims.team == 'a'", "identity: {claims: {team: a}}"),
        ("'x' in identity.groups", "identity: {groups: [x]}"),
        ("grant.intent.startsWith('INC-') && grant.role == 'r'", "grant: {intent: INC-1, role: r}"),
        ("connection == 'prod'", "connection: prod"),
        ("now.getFullYear() == 2027", "now: 2027-01-01T00:00:00Z"),
        ("now.getHours() == 7", "now: 2027-01-01 07:00:00"),
        ("now < timestamp(grant.expires) && now >= timestamp(grant.notBefore)", "now: 2027-01-01T00:00:00Z"),
        ("oldObject.a == 1", "oldObject: {a: 1}"),
        ("frozen == ['w']", "frozen: [w]"),
        ("frozen == []", "connection: a"),
        ("rate.requests == 7 && rate.writes == 1 && rate.lists == 0", "rate: {requests: 7}"),
        ("affected == 1", "connection: a"),
    ],
)
def test_tests_may_set_every_fact(when: str, match: str) -> None:
    example = f"    - {{expect: match, request: PUT /api/v1/namespaces/a/pods/p, {match}}}\n"
    assert compiled(rule(body=f'when: "{when}"\n  risk: 1', tests=f"  tests:\n{example}{NO}"))[1] == []


def test_a_test_says_how_much_a_deletecollection_affects() -> None:
    example = "{expect: match, request: DELETE /api/v1/namespaces/a/pods"
    body = "when: affected > 5\n  risk: 1"
    assert compiled(rule(body=body, tests=f"  tests:\n    - {example}, affected: 6}}\n{NO}"))[1] == []
    _, problems = compiled(rule(body=body, tests=f"  tests:\n    - {example}}}\n{NO}"))
    assert [problem.message for problem in problems if "affected" in problem.message] != []


def test_the_connection_of_a_test_is_matched() -> None:
    match = "apiGroups: [''], resources: [pods], verbs: ['*'], connections: [prod]"
    tests = """  tests:
    - {expect: match, request: GET /api/v1/pods, connection: prod}
    - {expect: no-match, request: GET /api/v1/pods}
"""
    assert compiled(rule(match=match, tests=tests))[1] == []
