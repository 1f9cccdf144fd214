"""Every way kubectl writes: the cluster stores what an administrator's kubectl would have stored."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml

from tests.e2e.agent import Agent
from tests.support.kubernetes import Kubectl


def config_map(name: str, **data: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: main, image: "registry.test/web:{version}"}}]}}
"""


def test_apply_creates_changes_and_leaves_alone(agent: Agent, admin: Kubectl) -> None:
    """The change is a strategic merge patch."""
    first = DEPLOYMENT.format(name="applied", replicas=1, version=1)
    second = DEPLOYMENT.format(name="applied", replicas=2, version=2)
    assert agent("apply", "-f", "-", stdin=first) == "deployment.apps/applied created\n"
    assert agent("apply", "-f", "-", stdin=second) == "deployment.apps/applied configured\n"
    assert agent("apply", "-f", "-", stdin=second) == "deployment.apps/applied unchanged\n"
    spec = admin.get("deployment", "applied")["spec"]
    assert (spec["replicas"], spec["template"]["spec"]["containers"][0]["image"]) == (2, "registry.test/web:2")


def test_apply_of_a_file_with_several_objects(agent: Agent, admin: Kubectl) -> None:
    stdin = "\n---\n".join(config_map(f"several-{number}", a="b") for number in range(3))
    assert agent("apply", "-f", "-", stdin=stdin).count("created") == 3
    assert len(admin("get", "configmap", "several-0", "several-1", "several-2", "-o", "name").split()) == 3


def test_server_side_apply(agent: Agent, admin: Kubectl) -> None:
    apply = ["apply", "--server-side", "-f", "-"]
    assert agent(*apply, stdin=config_map("ssa", a="1")) == "configmap/ssa serverside-applied\n"
    assert agent(*apply, stdin=config_map("ssa", a="2")) == "configmap/ssa serverside-applied\n"
    managers = admin.get("configmap", "ssa", "--show-managed-fields")["metadata"]["managedFields"]
    assert [(each["manager"], each["operation"]) for each in managers] == [("kubectl", "Apply")]
    conflict = agent.refused(*apply, "--field-manager=other", stdin=config_map("ssa", a="3"))
    assert 'conflict with "kubectl"' in conflict
    assert admin.get("configmap", "ssa")["data"] == {"a": "2"}


def test_edit(agent: Agent, admin: Kubectl, tmp_path: Path) -> None:
    admin("create", "configmap", "edited", "--from-literal=colour=blue")
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/blue/green/ "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    assert agent.setting(KUBE_EDITOR=str(editor))("edit", "configmap", "edited") == "configmap/edited edited\n"
    assert admin.get("configmap", "edited")["data"] == {"colour": "green"}


PATCHES = [
    ("strategic", '{"data": {"b": "2"}}', {"a": "1", "b": "2"}),
    ("merge", '{"data": {"a": null, "b": "2"}}', {"b": "2"}),
    ("json", '[{"op": "replace", "path": "/data/a", "value": "2"}]', {"a": "2"}),
]


@pytest.mark.parametrize(("form", "patch", "data"), PATCHES, ids=[form for form, _, _ in PATCHES])
def test_patch(form: str, patch: str, data: dict[str, str], agent: Agent, admin: Kubectl) -> None:
    name = f"patched-{form}"
    admin("create", "configmap", name, "--from-literal=a=1")
    agent("patch", "configmap", name, f"--type={form}", "-p", patch)
    assert admin.get("configmap", name)["data"] == data


def test_label_and_annotate(agent: Agent, admin: Kubectl) -> None:
    admin("create", "configmap", "labelled")
    agent("label", "configmap", "labelled", "team=shop")
    agent("annotate", "configmap", "labelled", "ticket=INC-42")
    metadata = admin.get("configmap", "labelled")["metadata"]
    assert (metadata["labels"], metadata["annotations"]) == ({"team": "shop"}, {"ticket": "INC-42"})
    agent("label", "configmap", "labelled", "team-")
    assert "labels" not in admin.get("configmap", "labelled")["metadata"]


def test_the_life_of_a_deployment(agent: Agent, admin: Kubectl) -> None:
    agent("create", "deployment", "life", "--image=registry.test/web:1")
    agent("scale", "deployment/life", "--replicas=3")
    assert "successfully rolled out" in agent("rollout", "status", "deployment/life", "--timeout=30s")
    assert admin.get("deployment", "life")["status"]["readyReplicas"] == 3
    agent("set", "image", "deployment/life", "web=registry.test/web:2")
    agent("rollout", "status", "deployment/life", "--timeout=30s")
    agent("rollout", "undo", "deployment/life")
    agent("rollout", "status", "deployment/life", "--timeout=30s")
    containers = admin.get("deployment", "life")["spec"]["template"]["spec"]["containers"]
    assert containers[0]["image"] == "registry.test/web:1"
    agent("expose", "deployment/life", "--port=80")
    agent("delete", "deployment,service", "life")
    assert "NotFound" in admin.run("get", "deployment", "life").stderr


def test_run_and_delete_a_pod(agent: Agent, admin: Kubectl) -> None:
    agent("run", "runner", "--image=registry.test/web:1", "--restart=Never")
    agent("wait", "--for=condition=Ready", "pod/runner", "--timeout=30s")
    assert agent("delete", "pod", "runner", "--wait=true").startswith('pod "runner" deleted')
    assert "NotFound" in admin.run("get", "pod", "runner").stderr


def test_delete_by_label_and_from_a_file(agent: Agent, admin: Kubectl) -> None:
    for name in ("old-1", "old-2"):
        admin("create", "configmap", name)
        admin("label", "configmap", name, "age=old")
    agent("delete", "-f", "-", stdin=config_map("old-1"))
    assert admin("get", "configmap", "-l", "age=old", "-o", "name") == "configmap/old-2\n"


def test_replace(agent: Agent, admin: Kubectl) -> None:
    admin("create", "configmap", "replaced", "--from-literal=a=1")
    current = yaml.safe_load(agent("get", "configmap", "replaced", "-o", "yaml"))
    agent("replace", "-f", "-", stdin=yaml.safe_dump(current | {"data": {"a": "2"}}))
    assert admin.get("configmap", "replaced")["data"] == {"a": "2"}
    stale = current | {"data": {"a": "3"}}
    assert "the object has been modified" in agent.refused("replace", "-f", "-", stdin=yaml.safe_dump(stale))


def test_diff_and_dry_run_store_nothing(agent: Agent, admin: Kubectl) -> None:
    admin("create", "configmap", "compared", "--from-literal=a=1")
    changed = config_map("compared", a="2")
    compared = agent.run("diff", "-f", "-", stdin=changed)
    assert compared.returncode == 1, compared.stderr
    assert '+  a: "2"' in compared.stdout
    agent("apply", "--dry-run=server", "-f", "-", stdin=changed)
    agent("create", "configmap", "never", "--dry-run=server")
    assert admin.get("configmap", "compared")["data"] == {"a": "1"}
    assert "NotFound" in admin.run("get", "configmap", "never").stderr


def test_what_the_cluster_refuses_is_told_in_its_own_words(agent: Agent, admin: Kubectl) -> None:
    bad = DEPLOYMENT.format(name="invalid", replicas=1, version=1).replace("main", "NOT_A_NAME")
    mine, theirs = agent.refused("apply", "-f", "-", stdin=bad), admin.run("apply", "-f", "-", stdin=bad).stderr
    assert "spec.template.spec.containers[0].name: Invalid value" in mine
    assert [line for line in mine.splitlines() if not line.startswith("Warning: ")] == theirs.splitlines()
    exists = ["create", "serviceaccount", "default"]
    assert agent.refused(*exists) == admin.run(*exists).stderr


def test_a_manifest_with_the_same_key_twice_is_refused(agent: Agent, admin: Kubectl) -> None:
    """The API server would merge what another parser reads as the last one."""
    with agent.http() as http:
        reply = http.post(
            f"/api/v1/namespaces/{agent.namespace}/configmaps",
            content=b'{"metadata": {"name": "twice"}, "data": {"a": "1"}, "data": {"b": "2"}}',
            headers={"Content-Type": "application/json"},
        )
    assert (reply.status_code, reply.json()["kind"]) == (400, "Status")
    assert "NotFound" in admin.run("get", "configmap", "twice").stderr


def test_a_large_manifest_up_to_the_limit_of_the_api_server(agent: Agent, admin: Kubectl) -> None:
    agent("create", "-f", "-", stdin=config_map("large", text="x" * 900_000))
    assert len(admin.get("configmap", "large")["data"]["text"]) == 900_000
    with agent.http() as http:
        body = config_map("too-large", text="x" * (4 << 20)).encode()
        path = f"/api/v1/namespaces/{agent.namespace}/configmaps"
        reply = http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["reason"]) == (413, "RequestEntityTooLarge")
