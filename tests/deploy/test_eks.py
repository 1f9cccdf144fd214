"""The policies and commands of deploy/eks.md: valid, no wider than needed, and what the gateway really asks for."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore import xform_name
from moto.iam.policy_validation import IAMPolicyDocumentValidator, IAMTrustPolicyDocumentValidator

from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.sts import role_request
from scripts.devenv.places import REPOSITORY
from tests.support.kubernetes import Kubectl

EKS = REPOSITORY / "deploy" / "eks"
PAGE = (REPOSITORY / "deploy" / "eks.md").read_text()
POLICIES = sorted(EKS.glob("*.json"))
ASSUMING = {"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"}


def statements(name: str) -> list[dict[str, Any]]:
    loaded: dict[str, Any] = json.loads((EKS / name).read_text())
    assert loaded["Version"] == "2012-10-17"
    return list(loaded["Statement"])


def actions(statement: dict[str, Any]) -> set[str]:
    found = statement["Action"]
    return {found} if isinstance(found, str) else set(found)


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.name)
def test_a_policy_is_valid_and_explained(file: Path) -> None:
    if file.name != "archive-bucket-policy.json":  # moto validates none of a bucket
        validator = IAMTrustPolicyDocumentValidator if "trust" in file.name else IAMPolicyDocumentValidator
        validator(file.read_text()).validate()
    assert f"eks/{file.name}" in PAGE


def test_the_gateway_may_assume_named_roles_and_nothing_else() -> None:
    [statement] = statements("gateway-permissions.json")
    assert actions(statement) == ASSUMING
    assert all(re.fullmatch(r"arn:aws:iam::\d{12}:role/[\w-]+", arn) for arn in statement["Resource"])


def test_the_archiver_may_add_and_read_and_never_delete() -> None:
    granted = set.union(*map(actions, statements("archive-permissions.json")))
    assert not [action for action in granted if re.search("Delete|Bypass|PutBucket|\\*", action)]
    assert {action.partition(":")[0] for action in granted} == {"s3", "kms"}
    assert {each["Effect"] for each in statements("archive-bucket-policy.json")} == {"Deny"}


def test_a_role_of_agents_lets_in_the_gateway_alone_with_what_it_sends() -> None:
    trust = statements("agent-role-trust.json")
    assert set.union(*map(actions, trust)) == ASSUMING
    assert {json.dumps(each["Principal"]) for each in trust} == {'{"AWS": "arn:aws:iam::123456789012:role/chaperone"}'}
    identity = Identity(iss="i", sub="s", aud=(), exp=1, owner="team", claims={"iat": 1})
    grant = Grant(id="g", identity=identity, connection="c", role="r", intent="INC-1", not_before_at=0, expires_at=9999)
    asked = role_request(grant, 0)
    allowed = trust[1]["Condition"]["ForAllValues:StringEquals"]["aws:TagKeys"]
    assert {key for key, _ in asked.tags} == set(allowed)
    assert asked.source_identity
    assert trust[0]["Condition"] == {"StringLike": {"sts:SourceIdentity": "?*"}}


@pytest.mark.parametrize("name", ["gateway-trust-irsa.json", "gateway-trust-pod-identity.json"])
def test_the_gateways_role_is_for_one_service_account(name: str) -> None:
    [statement] = statements(name)
    equals = statement["Condition"]["StringEquals"]
    assert any(value in ("system:serviceaccount:chaperone:chaperone", "chaperone") for value in equals.values())


def commands() -> list[list[str]]:
    """The `aws` commands of the page."""
    text = PAGE.replace("\\\n", " ").replace("`", "\n")
    text = re.sub(r"(--resources-vpc-config)\n\s+", r"\1 ", text)
    lines = [line.removeprefix("$ ").partition(" | ")[0] for line in text.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("aws ")]


@pytest.mark.parametrize("command", commands(), ids=lambda command: command[2])
def test_a_command_is_one_of_the_services_with_its_parameters(command: list[str]) -> None:
    _, service, operation, *arguments = command
    model = botocore.session.get_session().get_service_model({"s3api": "s3"}.get(service, service))
    found = next(name for name in model.operation_names if xform_name(name, "-") == operation)
    shape = model.operation_model(found).input_shape
    members = {xform_name(member, "-") for member in shape.members}
    given = {argument[2:] for argument in arguments if argument.startswith("--")} - {"query", "output"}
    assert given <= members
    assert {xform_name(member, "-") for member in shape.required_members} <= given


def test_there_are_commands() -> None:
    assert len(commands()) >= 8


def test_the_clusters_own_rights_are_taken_by_an_api_server(namespace: Kubectl) -> None:
    text = (EKS / "rbac.yaml").read_text().replace("namespace: web", f"namespace: {namespace.namespace}")
    namespace("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    groups = {subject["name"] for each in yaml.safe_load_all(text) for subject in each["subjects"]}
    for group in groups:
        assert f"--kubernetes-groups {group}" in PAGE
