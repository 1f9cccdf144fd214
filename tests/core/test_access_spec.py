from __future__ import annotations

import pytest

from addons.core.access_rule import compile_access
from tests.core.access_documents import FULL, documents

ROLE = "role: arn:aws:iam::123456789012:role/web"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        pytest.param("groups: [web-agents]\n  subjects: [alice]", "groups: []", 5, "name somebody", id="nobody"),
        pytest.param("subjects: [alice]", "condition: claims.a +", 9, "condition", id="no CEL"),
        pytest.param("subjects: [alice]", "condition: size(groups)", 9, "true or false", id="no condition"),
        pytest.param("subjects: [alice]", "condition: identity.sub == 'a'", 9, "identity", id="unknown variable"),
        pytest.param("connections: [prod]", "connections: []", 10, "connections", id="nowhere"),
        pytest.param("role: arn:aws:iam::123456789012:role/web", "role: web", 11, "role", id="no ARN"),
        pytest.param(ROLE, "role: user:a group:system:masters", 11, "begin with system:", id="a group of Kubernetes"),
        pytest.param(ROLE, "role: user:system:admin", 11, "begin with system:", id="a user of Kubernetes"),
        pytest.param(ROLE, "role: 'user:a  group:b'", 11, "role", id="a group without a word"),
        pytest.param("durationSeconds: 1800", "durationSeconds: 899", 12, "durationSeconds", id="too short for STS"),
        pytest.param("durationSeconds: 1800", "durationSeconds: 43201", 12, "durationSeconds", id="too long for STS"),
        pytest.param("namespaces: [web]", "namespaces: [we*b]", 13, "namespaces", id="namespace pattern"),
        pytest.param("resources: [pods, pods/log]", "resources: ['*']", 13, "resources", id="bare wildcard"),
        pytest.param("verbs: [get, list]", "verbs: [exec]", 13, "verbs", id="no such verb"),
        pytest.param('pattern: "INC-[0-9]+ .+"', 'pattern: "("', 14, "not a pattern", id="bad pattern"),
        pytest.param("example: INC-42 restart web", "example: restart", 14, "does not match", id="bad example"),
        pytest.param("priority: 5", "onRequest: {}", 15, "name approvers, or", id="nobody decides"),
        pytest.param("priority: 5", "onRequest: {automatic: true, approvers: [a]}", 15, "name approvers", id="both"),
        pytest.param("priority: 5", "priority: high", 15, "priority", id="priority"),
        pytest.param("priority: 5", "prioritty: 5", 15, "prioritty", id="unknown key"),
    ],
)
def test_mistakes_have_their_line(old: str, new: str, line: int, message: str) -> None:
    assert old in FULL
    _, problems = compile_access(documents(FULL.replace(old, new)))
    assert {problem.line for problem in problems} == {line}
    assert message in problems[0].message
