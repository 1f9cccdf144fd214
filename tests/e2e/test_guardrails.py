"""What is dangerous is refused however it is written, with a message that says what to do, and none of it happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent
from tests.e2e.records import ApiServer, gateway_events, real_writes
from tests.support.kubernetes import Kubectl

PARTS = ("chaperone refused", "rule: ", "why: ", "do instead: ", "retry: ", "reference: ")


def check_refused(said: str, rule: str) -> None:
    """kubectl printed everything an agent needs."""
    assert [part for part in PARTS if part not in said] == [], said
    assert f"rule: {rule}\n" in said, said


def binding(kind: str, name: str, role: str = "cluster-admin") -> str:
    return json.dumps(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"}],
        }
    )


BINDINGS: dict[str, tuple[list[str], bool]] = {
    "create (protobuf)": (["create", "clusterrolebinding", "NAME", "--clusterrole=cluster-admin", "--user=bob"], False),
    "create -f": (["create", "-f", "-"], True),
    "create -f without validation": (["create", "-f", "-", "--validate=false"], True),
    "apply": (["apply", "-f", "-"], True),
    "apply --server-side": (["apply", "--server-side", "-f", "-"], True),
    "create --raw": (
        ["create", "--raw", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "-f", "-"],
        True,
    ),
}


@pytest.mark.parametrize("way", BINDINGS)
def test_b29_a_binding_to_cluster_admin_is_refused(
    way: str, agent: Agent, admin: Kubectl, api_server: ApiServer
) -> None:
    arguments, takes_file = BINDINGS[way]
    name = f"{admin.namespace}-evil"
    mark = api_server.mark()
    said = agent.refused(
        *[word.replace("NAME", name) for word in arguments],
        stdin=binding("ClusterRoleBinding", name) if takes_file else None,
    )
    check_refused(said, "no-cluster-admin-bindings")
    assert "binding cluster-admin is not allowed from an agent" in said
    assert "bind a role that names the verbs you need" in said
    assert "NotFound" in admin.run("get", "clusterrolebinding", name).stderr
    assert real_writes(api_server.about(mark, "clusterrolebindings")) == []


def test_a_binding_in_a_namespace_is_refused_too(agent: Agent, admin: Kubectl) -> None:
    said = agent.refused("create", "rolebinding", "evil", "--clusterrole=cluster-admin", "--user=bob")
    check_refused(said, "no-cluster-admin-bindings")
    assert "NotFound" in admin.run("get", "rolebinding", "evil").stderr


PATCHES = [
    ("strategic", '{"subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"}]}'),
    ("merge", '{"subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"}]}'),
    ("json", '[{"op": "replace", "path": "/subjects/0/name", "value": "bob"}]'),
]


@pytest.mark.parametrize(("form", "patch"), PATCHES, ids=[form for form, _ in PATCHES])
def test_an_existing_binding_cannot_be_extended(
    form: str, patch: str, agent: Agent, admin: Kubectl, api_server: ApiServer
) -> None:
    """The patch itself does not say cluster-admin: what it results in does."""
    name = f"existing-{form}"
    admin("create", "rolebinding", name, "--clusterrole=cluster-admin", "--user=alice")
    mark = api_server.mark()
    check_refused(
        agent.refused("patch", "rolebinding", name, f"--type={form}", "-p", patch), "no-cluster-admin-bindings"
    )
    assert admin.get("rolebinding", name)["subjects"][0]["name"] == "alice"
    assert real_writes(api_server.about(mark, admin.namespace)) == []


Spec = dict[str, Any]
DANGERS: dict[str, tuple[str, Spec]] = {
    "privileged": ("no-privileged-containers", {"containers": [{"securityContext": {"privileged": True}}]}),
    "hostPID": ("no-host-namespaces", {"hostPID": True}),
    "hostNetwork": ("no-host-namespaces", {"hostNetwork": True}),
    "hostPort": ("no-host-ports", {"containers": [{"ports": [{"containerPort": 80, "hostPort": 8080}]}]}),
}


def pod_spec(danger: Spec) -> Spec:
    container = {"name": "main", "image": "registry.test/web:1", **danger.get("containers", [{}])[0]}
    return {**danger, "containers": [container]}


def pod(name: str, danger: Spec) -> Spec:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec(danger)}


def deployment(name: str, danger: Spec) -> Spec:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(danger)}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


KINDS: dict[str, Callable[[str, Spec], Spec]] = {"pod": pod, "deployment": deployment}
WAYS = {
    "create": ["create", "-f", "-"],
    "apply": ["apply", "-f", "-"],
    "server-side apply": ["apply", "--server-side", "-f", "-"],
}


@pytest.mark.parametrize("danger", DANGERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_dangerous_pod_is_refused(
    way: str, kind: str, danger: str, agent: Agent, admin: Kubectl, api_server: ApiServer
) -> None:
    rule, spec = DANGERS[danger]
    name = f"{way.split()[0]}-{danger.lower()}"
    mark = api_server.mark()
    check_refused(agent.refused(*WAYS[way], stdin=yaml.safe_dump(KINDS[kind](name, spec))), rule)
    assert "NotFound" in admin.run("get", kind, name).stderr
    assert real_writes(api_server.about(mark, admin.namespace)) == []


@pytest.fixture(scope="module")
def good(admin: Kubectl) -> str:
    """The name of a Deployment that changes for the worse."""
    admin.apply(deployment("good", {}))
    return "good"


@pytest.mark.parametrize("danger", DANGERS)
@pytest.mark.parametrize("form", ["strategic", "merge", "json", "apply", "server-side apply", "replace"])
def test_a_good_deployment_cannot_be_made_dangerous(
    form: str, danger: str, good: str, agent: Agent, admin: Kubectl, api_server: ApiServer
) -> None:
    rule, spec = DANGERS[danger]
    bad = deployment(good, spec)
    before = admin.get("deployment", good)["metadata"]["generation"]
    mark = api_server.mark()
    if form in WAYS or form == "replace":
        arguments, stdin = WAYS.get(form, ["replace", "-f", "-"]), yaml.safe_dump(bad)
        if "--server-side" in arguments:
            arguments = [*arguments, "--force-conflicts"]
    else:
        template = bad["spec"]["template"]["spec"]
        patch: Any = {"spec": {"template": {"spec": template}}}
        if form == "json":
            patch = [{"op": "replace", "path": "/spec/template/spec", "value": template}]
        arguments, stdin = ["patch", "deployment", good, f"--type={form}", "-p", json.dumps(patch)], None
    check_refused(agent.refused(*arguments, stdin=stdin), rule)
    assert admin.get("deployment", good)["metadata"]["generation"] == before
    assert real_writes(api_server.about(mark, admin.namespace)) == []


def test_run_with_privileges_is_refused(agent: Agent, admin: Kubectl) -> None:
    check_refused(
        agent.refused("run", "root", "--image=registry.test/web:1", "--privileged"), "no-privileged-containers"
    )
    overrides = json.dumps({"spec": {"hostPID": True}})
    said = agent.refused("run", "spy", "--image=registry.test/web:1", f"--overrides={overrides}")
    check_refused(said, "no-host-namespaces")
    assert admin("get", "pods", "-o", "name", "--field-selector=metadata.name=root") == ""


DENIED = {
    "token": (["create", "token", "default"], "no-service-account-tokens"),
    "token by dry run": (
        ["create", "--raw", "/api/v1/namespaces/NAMESPACE/serviceaccounts/default/token?dryRun=All", "-f", "-"],
        "no-service-account-tokens",
    ),
    "node proxy": (["get", "--raw", "/api/v1/nodes/node-1/proxy/run/a/p/c"], "no-node-proxy"),
    "service proxy": (["get", "--raw", "/api/v1/namespaces/NAMESPACE/services/web/proxy/"], "no-workload-proxy"),
    "token Secret": (["create", "-f", "-"], "no-credential-secrets"),
}
TOKEN_SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "type": "kubernetes.io/service-account-token",
    "metadata": {"name": "minted", "annotations": {"kubernetes.io/service-account.name": "default"}},
}
TOKEN_REQUEST = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}


@pytest.mark.parametrize("what", DENIED)
def test_b29_ways_to_other_credentials_are_refused(what: str, agent: Agent, api_server: ApiServer) -> None:
    """Nothing of them reaches the API server: a dry run would do what is refused."""
    arguments, rule = DENIED[what]
    stdin = json.dumps(TOKEN_REQUEST if "--raw" in arguments else TOKEN_SECRET)
    mark = api_server.mark()
    said = agent.refused(*[word.replace("NAMESPACE", agent.namespace) for word in arguments], stdin=stdin)
    check_refused(said, rule)
    for part in ("/token", "/proxy"):
        assert api_server.about(mark, part) == []
    assert real_writes(api_server.about(mark, agent.namespace)) == []


def test_a_warning_is_printed_and_the_request_goes_through(agent: Agent, admin: Kubectl) -> None:
    done = agent.run("create", "configmap", "warned-about")
    assert "Warning: " in done.stderr
    assert "e2e-warns: this name is warned about; choose another name" in done.stderr
    assert admin("get", "configmap", "warned-about", "-o", "name")


def test_a_rule_on_trial_only_tells(agent: Agent, admin: Kubectl) -> None:
    done = agent.run("create", "configmap", "shadowed")
    assert "shadow: e2e-shadow, on trial, would deny this: this name is on trial" in done.stderr
    assert admin("get", "configmap", "shadowed", "-o", "name")


def test_the_reference_of_a_refusal_is_that_of_the_audit_event(agent: Agent, gateway: GatewayEnv) -> None:
    said = agent.refused("create", "rolebinding", "again", "--clusterrole=cluster-admin", "--user=bob")
    reference = said.partition("reference: ")[2].strip()
    (event,) = [event for event in gateway_events(gateway) if event["auditID"] == reference]
    assert event["responseStatus"]["code"] == 403
    assert event["annotations"]["chaperone.dev/rule"] == "no-cluster-admin-bindings"
    assert event["objectRef"]["resource"] == "rolebindings"


def test_a_mixed_manifest_does_what_is_harmless_and_refuses_the_rest(agent: Agent, admin: Kubectl) -> None:
    """One request per object, as kubectl sends them: the agent is told which one."""
    harmless = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "harmless"}}
    stdin = yaml.safe_dump_all([harmless, pod("dangerous", {"hostPID": True})])
    done = agent.run("apply", "-f", "-", stdin=stdin)
    assert done.returncode != 0
    assert done.stdout == "configmap/harmless created\n"
    check_refused(done.stderr, "no-host-namespaces")
    assert "create pods" in done.stderr
    assert "NotFound" in admin.run("get", "pod", "dangerous").stderr
