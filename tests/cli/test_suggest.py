"""`rules suggest`, run as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from addons.core.documents import parse_documents, validate
from addons.core.kinds import KINDS
from tests.cli.test_tools import chaperone
from tests.core.test_calls import event
from tests.support.decisions import decision, stored

NOTES = {"connection": "prod", "role": "arn:aws:iam::123456789012:role/agent-edit", "intent": "INC-1"}
EVENTS = [
    event("1", verb="list", resource="pods", namespace="a", notes=NOTES),
    event("2", verb="get", resource="secrets", namespace="a", name="s", notes=NOTES),
    event("3", verb="list", resource="nodes", notes=NOTES),
    event("4", 403, verb="delete", resource="pods", namespace="a", name="p", notes={**NOTES, "decision": "deny"}),
    event("5", verb="get", resource="secrets", namespace="b", name="s", notes=NOTES),
]


@pytest.fixture
def suggest(tmp_path: Path) -> Any:
    (tmp_path / "mitm.conf").write_text("state: state\n")
    stored(tmp_path / "state", "s1", [decision("1", "GET /api/v1/namespaces/a/pods", "allow")], EVENTS)
    stored(tmp_path / "state", "t1", [], [EVENTS[3]])

    def run(*arguments: str) -> Any:
        return chaperone("rules", "suggest", *arguments, "--conf", str(tmp_path / "mitm.conf"))

    return run


def test_roles_and_access(suggest: Any) -> None:
    text = suggest("s1", "--group", "agent-narrow").stdout
    assert text.startswith("# Session s1: 5 calls, of which 1 were refused and left out.\n# By https://idp#agent\n")
    documents = [document for document in yaml.safe_load_all(text) if document]
    assert [(each["kind"], each["metadata"].get("namespace")) for each in documents] == [
        ("ClusterRole", None), ("ClusterRoleBinding", None), ("Role", "a"), ("RoleBinding", "a"), ("Access", None),
    ]  # fmt: skip
    assert documents[2]["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    assert "# Not granted: Secrets hold the credentials of others.\n# - apiGroups: ['']\n" in text
    assert "# b: nothing but what a person should decide about.\n" in text
    assert "# It said: INC-1\n" in text


def test_only_one_half(suggest: Any) -> None:
    assert "Access" not in suggest("s1", "--only", "roles").stdout
    (access,) = parse_documents(suggest("s1", "--only", "access").stdout, "access.yaml")[0]
    assert validate(access, KINDS["Access"])[1] == []


def test_for_programs(suggest: Any) -> None:
    found = json.loads(suggest("s1", "-o", "json").stdout)
    assert [role["kind"] for role in found["roles"]] == ["ClusterRole", "Role"]
    assert [(flag["namespace"], flag["rule"]["resources"]) for flag in found["flagged"]] == [
        ("a", ["secrets"]), ("b", ["secrets"]),
    ]  # fmt: skip
    assert found["access"]["spec"]["scope"]["verbs"] == ["list"]


def test_a_session_that_did_nothing(suggest: Any) -> None:
    done = suggest("t1")
    assert (done.returncode, "nothing to suggest" in done.stderr) == (1, True)
