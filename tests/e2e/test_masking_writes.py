"""Secret values stay behind whatever an agent writes: replies, error messages and what was written back."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, eventually
from tests.e2e.leaks import core, found
from tests.e2e.people import Person, pending
from tests.e2e.records import ApiServer, real_writes
from tests.e2e.secret_objects import MASKED, encoded, secret
from tests.support.kubernetes import Kubectl


def test_applying_a_secret_works_and_is_answered_masked(agent: Agent, admin: Kubectl, plant: Callable[[], str]) -> None:
    first, second = plant(), plant()
    said = agent("apply", "-f", "-", "-o", "yaml", stdin=secret("mine", password=first))
    assert "last-applied-configuration" in said
    assert MASKED in said
    said += agent("apply", "-f", "-", "-o", "json", stdin=secret("mine", password=second))
    assert admin.get("secret", "mine")["data"] == {"password": encoded(second)}
    said += agent("apply", "view-last-applied", "secret", "mine")
    assert not found([core(first), core(second)], said.encode())


CREATES = [
    ["create", "secret", "generic", "generic", "--from-literal=password={value}"],
    ["create", "secret", "docker-registry", "pull", "--docker-username=u", "--docker-password={value}"],
]


@pytest.mark.parametrize("command", CREATES, ids=[command[2] for command in CREATES])
def test_creating_a_secret_works_and_is_answered_masked(
    command: list[str], agent: Agent, admin: Kubectl, plant: Callable[[], str]
) -> None:
    value = plant()
    said = agent(*(word.format(value=value) for word in command), "-o", "json")
    assert MASKED in said
    assert not found([core(value)], said.encode())
    stored = "".join(base64.b64decode(each).decode() for each in admin.get("secret", command[3])["data"].values())
    assert core(value).decode() in stored


def test_the_rest_of_a_secret_can_be_edited(agent: Agent, admin: Kubectl, password: str, tmp_path: Path) -> None:
    """kubectl sends what changed, so the masked value that the editor shows does no harm."""
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/app: shop/app: store/" "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    agent.setting(KUBE_EDITOR=str(editor))("edit", "secret", "db")
    after = admin.get("secret", "db")
    assert (after["metadata"]["labels"]["app"], after["data"]) == ("store", {"password": encoded(password)})
    admin("label", "secret", "db", "app=shop", "--overwrite")


WRITE_BACKS = [["replace", "-f", "-"], ["apply", "-f", "-"], ["apply", "--server-side", "--force-conflicts", "-f", "-"]]


@pytest.mark.parametrize("command", WRITE_BACKS, ids=[" ".join(command) for command in WRITE_BACKS])
def test_a_masked_value_is_never_written_back(
    command: list[str], agent: Agent, admin: Kubectl, password: str, api_server: ApiServer
) -> None:
    shown = yaml.safe_load(agent("get", "secret", "db", "-o", "yaml"))
    for name in ("managedFields", "uid", "creationTimestamp", "resourceVersion", "annotations"):
        shown["metadata"].pop(name, None)
    shown["metadata"]["labels"]["written"] = "back"
    mark = api_server.mark()
    said = agent.refused(*command, stdin=yaml.safe_dump(shown))
    assert "masked-value-written" in said
    assert "leave masked fields out" in said
    assert real_writes(api_server.about(mark, agent.namespace)) == []
    assert admin.get("secret", "db")["data"] == {"password": encoded(password)}


def test_a_masked_value_cannot_be_written_elsewhere(agent: Agent, admin: Kubectl, password: str) -> None:
    shown = agent("get", "secret", "db", "-o", "go-template={{.data.password|base64decode}}")
    assert "masked-value-written" in agent.refused("create", "secret", "generic", "copy", f"--from-literal=a={shown}")
    assert "NotFound" in admin.run("get", "secret", "copy").stderr


PROBES = [
    '[{{"op":"copy","from":"/data/password","path":"/metadata/labels/x"}}]',
    '[{{"op":"copy","from":"/data/password","path":"/metadata/annotations/x"}}]',
    '[{{"op":"move","from":"/data/password","path":"/metadata/labels/x"}}]',
    '[{{"op":"test","path":"/data/password","value":"{right}"}}]',
    '[{{"op":"test","path":"/data/password","value":"wrong"}}]',
    '[{{"OP":"test","PATH":"/data/password","value":"wrong"}}]',
    '[{{"op":"replace","path":"/data/password","value":7}}]',
    '[{{"op":"add","path":"/metadata/labels","value":"7"}}]',
    '[{{"op":"remove","path":"/kind"}}]',
]


@pytest.mark.parametrize("patch", PROBES)
def test_no_patch_asks_or_copies_or_provokes_the_value(patch: str, agent: Agent, admin: Kubectl, password: str) -> None:
    right = encoded(password)
    agent.run("patch", "secret", "db", "--type=json", "-p", patch.format(right=right), "-o", "json")
    printed = "".join(agent.transcript.printed[-2:])
    if right in patch:
        printed = printed.replace(right, "")
    assert not found([core(password)], printed.encode())
    assert admin.get("secret", "db")["data"] == {"password": right}
    assert core(password).decode() not in str(agent.get("secret", "db")["metadata"])


def test_a_guess_is_answered_alike_right_or_wrong(agent: Agent, password: str) -> None:
    said = []
    for guess in (encoded(password), encoded("wrong")):
        patch = json.dumps([{"op": "test", "path": "/data/password", "value": guess}])
        text = agent.refused("patch", "secret", "db", "--type=json", "-p", patch)
        said.append(text.partition("reference:")[0])
    assert said[0] == said[1]
    assert "masked-value-probed" in said[0]


ERRORS = [
    ["patch", "secret", "db", "--type=merge", "-p", '{"data": 7}'],
    ["patch", "secret", "db", "--type=merge", "-p", '{"data": {"password": 7}}'],
    ["patch", "secret", "db", "--type=strategic", "-p", '{"metadata": {"labels": 7}}'],
    ["patch", "secret", "db", "--type=merge", "-p", '{"immutable": "yes"}'],
    ["patch", "secret", "db", "--type=merge", "-p", '{"type": "kubernetes.io/tls"}'],
]


@pytest.mark.parametrize("command", ERRORS, ids=[command[-1] for command in ERRORS])
def test_error_messages_do_not_hold_the_value(command: list[str], agent: Agent, password: str) -> None:
    assert not found([core(password)], agent.refused(*command).encode())


def test_a_value_of_the_callers_own_is_not_echoed_in_errors(agent: Agent, plant: Callable[[], str]) -> None:
    """A Secret that the API server refuses is quoted in its message."""
    value = plant()
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "Not A Name"}, "data": {"password": value}}
    said = agent.refused("create", "-f", "-", stdin=json.dumps(body))
    assert not found([core(value)], said.encode())


def test_deleting_secrets_is_answered_masked(agent: Agent, admin: Kubectl, plant: Callable[[], str]) -> None:
    value = plant()
    admin("apply", "-f", "-", stdin=secret("gone", password=value))
    said = agent("delete", "secret", "gone", "-o", "name") + agent("get", "secrets", "-o", "yaml")
    assert not found([core(value)], said.encode())


def test_the_reply_to_deleting_a_collection_is_masked(
    hasty: Agent, impatient: GatewayEnv, oncall: Person, admin: Kubectl, plant: Callable[[], str]
) -> None:
    """The API server answers with what it deleted, whole."""
    value = plant()
    admin("apply", "-f", "-", stdin=secret("doomed", password=value))
    admin("label", "secret", "doomed", "doomed=yes")
    path = f"/api/v1/namespaces/{hasty.namespace}/secrets?labelSelector=doomed%3Dyes"
    with hasty.http() as http:
        assert http.delete(path).status_code == 429
        oncall.approves(impatient, pending(impatient, requester_sub=hasty.user)["id"])
        reply = http.delete(path)
    assert (reply.status_code, reply.json()["kind"]) == (200, "SecretList")
    assert MASKED in reply.text
    assert not found([core(value)], reply.content)
    assert "NotFound" in admin.run("get", "secret", "doomed").stderr


POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: warns-{namespace}}}
spec:
  matchConstraints:
    resourceRules: [{{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [secrets, configmaps]}}]
  validations:
    - expression: "false"
      messageExpression: |
        object.kind == "Secret" ? "weak value \\"" + string(object.data.password) + "\\""
          : "bad url " + object.data.url + " in use"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: warns-{namespace}}}
spec:
  policyName: warns-{namespace}
  validationActions: [Warn]
  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}}}
"""


@pytest.fixture
def warned(admin: Kubectl) -> Iterator[Kubectl]:
    """The administrator, once the API server warns of what is created, and quotes it."""
    policy = POLICY.format(namespace=admin.namespace)
    admin("apply", "-f", "-", stdin=policy)
    dry = ["create", "configmap", "x", "--from-literal=url=https://x", "--dry-run=server"]
    eventually("the policy", lambda: "bad url https://x" in admin.run(*dry).stderr, 20)
    yield admin
    admin("delete", "-f", "-", stdin=policy)


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("secret generic", "password={}", 'weak value "(masked)"'),
        ("configmap", "url=https://a:{}@b/", "https://a:masked:v1:"),
    ],
)
def test_b72_warnings_do_not_hold_the_value(
    kind: str, value: str, shown: str, warned: Kubectl, agent: Agent, planted: list[str]
) -> None:
    planted.append("warning-" + os.urandom(12).hex())
    literal = f"--from-literal={value.format(planted[-1])}"
    name = kind.split()[0]
    assert found([core(planted[-1])], warned.run("create", *kind.split(), f"{name}-a", literal).stderr.encode())
    said = agent.run("create", *kind.split(), f"{name}-b", literal)
    assert said.returncode == 0
    assert "Warning: Validation failed for ValidatingAdmissionPolicy" in said.stderr
    assert shown in said.stderr
    assert not found([core(planted[-1])], (said.stdout + said.stderr).encode())
