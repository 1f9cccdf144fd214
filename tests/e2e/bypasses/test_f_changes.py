"""Section F, changes: a patch is judged by what it results in, a deletion by its body, an approval by all of it."""

from __future__ import annotations

import json
import secrets

import pytest

from tests.e2e.bypasses.caller import Caller
from tests.e2e.people import Person, pending
from tests.e2e.records import approvals
from tests.support.kubernetes import Kubectl

MAPS = "/api/v1/namespaces/NS/configmaps"
PODS = "/api/v1/namespaces/NS/pods"
KEPT = "/api/v1/namespaces/NS/serviceaccounts/kept"
WEB = "/apis/apps/v1/namespaces/NS/deployments/web"
JSON = "Content-Type: application/json"
MERGE = "Content-Type: application/merge-patch+json"
STRATEGIC = "Content-Type: application/strategic-merge-patch+json"
JSON_PATCH = "Content-Type: application/json-patch+json"
APPLY = "Content-Type: application/apply-patch+yaml"
CONTAINER = {"name": "web", "image": "registry.test/web:1"}


@pytest.fixture(scope="module", autouse=True)
def objects(admin: Kubectl) -> None:
    """A harmless Deployment of two replicas, an account with a finalizer, a pod."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    admin.apply(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c1", "labels": {"a": "b"}}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "kept", "finalizers": ["shop.test/kept"]}},
    )
    admin.run_pod("p1")


def within_pod(value: object) -> dict[str, object]:
    """A patch of the Deployment's PodSpec."""
    return {"spec": {"template": {"spec": value}}}


PATCHES = {
    "merge": (MERGE, within_pod({"hostPID": True})),
    "strategic": (STRATEGIC, within_pod({"hostPID": True})),
    "strategic that replaces": (
        STRATEGIC,
        within_pod({"$patch": "replace", "hostPID": True, "containers": [CONTAINER]}),
    ),
    "strategic that retains": (STRATEGIC, within_pod({"$retainKeys": ["containers", "hostPID"], "hostPID": True})),
    "strategic with an order": (
        STRATEGIC,
        within_pod({"$setElementOrder/containers": [{"name": "web"}], "hostPID": True}),
    ),
    "JSON patch": (JSON_PATCH, [{"op": "add", "path": "/spec/template/spec/hostPID", "value": True}]),
    "JSON patch that escapes": (
        JSON_PATCH,
        [
            {"op": "add", "path": "/metadata/annotations", "value": {"a/b": "x"}},
            {"op": "remove", "path": "/metadata/annotations/a~1b"},
            {"op": "add", "path": "/spec/template/spec/hostPID", "value": True},
        ],
    ),
    "JSON patch of the whole": (
        JSON_PATCH,
        [
            {"op": "test", "path": "/spec/replicas", "value": 2},
            {"op": "replace", "path": "/spec/template/spec", "value": {"hostPID": True, "containers": [CONTAINER]}},
        ],
    ),
    "JSON patch that appends": (
        JSON_PATCH,
        [
            {
                "op": "add",
                "path": "/spec/template/spec/containers/-",
                "value": {"name": "b", "image": "x", "securityContext": {"privileged": True}},
            }
        ],
    ),
}


@pytest.mark.parametrize(("content_type", "patch"), PATCHES.values(), ids=PATCHES)
def test_b66_a_patch_is_judged_by_what_it_results_in(
    content_type: str, patch: object, caller: Caller, admin: Kubectl
) -> None:
    answer = caller.asks(WEB, content_type, method="PATCH", body=json.dumps(patch).encode())
    assert answer.status == 403, answer
    assert "rule: no-host-namespaces" in answer.message or "rule: no-privileged-containers" in answer.message
    assert caller.oracle.arrived() == []
    assert "hostPID" not in admin.get("deployment", "web")["spec"]["template"]["spec"]


def applied(name: str, more: str = "") -> bytes:
    """A Deployment for server-side apply."""
    pod = f"{{ {more}containers: [{{name: web, image: registry.test/web:1}}]}}"
    return (
        f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\n"
        f"spec:\n  selector: {{matchLabels: {{app: {name}}}}}\n"
        f"  template: {{metadata: {{labels: {{app: {name}}}}}, spec: {pod}}}\n"
    ).encode()


@pytest.mark.parametrize("force", ["", "&force=true"])
@pytest.mark.parametrize("name", ["web", "new"])
def test_b66_so_is_a_server_side_apply_which_also_creates(name: str, force: str, caller: Caller) -> None:
    """B-68: taking over fields of other managers by force changes nothing about that."""
    target = f"/apis/apps/v1/namespaces/NS/deployments/{name}?fieldManager=m{force}"
    caller.is_refused(403, "no-host-namespaces", target, APPLY, method="PATCH", body=applied(name, "hostPID: true, "))


def test_b66_a_harmless_one_creates(caller: Caller, admin: Kubectl) -> None:
    target = "/apis/apps/v1/namespaces/NS/deployments/fine?fieldManager=m"
    answer = caller.is_read("patch apps/deployments NS fine", target, APPLY, method="PATCH", body=applied("fine"))
    assert answer.status == 201
    assert admin.get("deployment", "fine")["spec"]["template"]["spec"]["containers"][0]["name"] == "web"


@pytest.mark.parametrize(
    ("rule", "target", "content_type", "patch"),
    [
        ("great-scaling-needs-approval", f"{WEB}/scale", MERGE, {"spec": {"replicas": 0}}),
        ("great-scaling-needs-approval", WEB, MERGE, {"spec": {"replicas": 0}}),
        ("removed-finalizers-need-approval", KEPT, MERGE, {"metadata": {"finalizers": None}}),
        (
            "removed-finalizers-need-approval",
            KEPT,
            JSON_PATCH,
            [{"op": "remove", "path": "/metadata/finalizers"}],
        ),
        ("removed-finalizers-need-approval", KEPT, STRATEGIC, {"metadata": {"finalizers": None}}),
    ],
)
def test_b66_what_it_takes_away_counts(
    rule: str, target: str, content_type: str, patch: object, caller: Caller
) -> None:
    caller.is_refused(429, rule, target, content_type, method="PATCH", body=json.dumps(patch).encode())


def test_b66_the_approval_of_a_certificate_is_none_of_an_agents_business(caller: Caller) -> None:
    target = "/apis/certificates.k8s.io/v1/certificatesigningrequests/any/approval"
    body = b'{"status":{"conditions":[{"type":"Approved","status":"True","reason":"a"}]}}'
    caller.is_refused(403, "no-certificate-approvals", target, MERGE, method="PATCH", body=body)


DELETE_OPTIONS = {
    "of a dry run by query alone": ("?dryRun=All", None),
    "empty, with a dry run in the query": ("?dryRun=All", b"{}"),
    "with its kind, and a dry run in the query": ("?dryRun=All", b'{"kind":"DeleteOptions","apiVersion":"v1"}'),
    "a dry run": ("", b'{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"]}'),
    "none": ("", None),
}


@pytest.mark.parametrize(("query", "body"), DELETE_OPTIONS.values(), ids=DELETE_OPTIONS)
def test_b67_no_dry_run_relaxes_the_rule_about_a_deletion(query: str, body: bytes | None, caller: Caller) -> None:
    headers = [] if body is None else [JSON]
    target = f"/api/v1/namespaces/NS{query}"
    caller.is_refused(429, "delete-namespace-needs-approval", target, *headers, method="DELETE", body=body)


@pytest.mark.parametrize(
    ("code", "rule", "target", "body"),
    [
        (429, "forced-deletion-needs-approval", f"{PODS}/p1?gracePeriodSeconds=0", None),
        (429, "forced-deletion-needs-approval", f"{PODS}/p1", b'{"gracePeriodSeconds":0}'),
        (429, "forced-deletion-needs-approval", f"{PODS}/p1?gracePeriodSeconds=30", b'{"gracePeriodSeconds":0}'),
        (429, "forced-deletion-needs-approval", f"{WEB}?propagationPolicy=Orphan", None),
        (429, "forced-deletion-needs-approval", WEB, b'{"propagationPolicy":"Orphan"}'),
        (429, "forced-deletion-needs-approval", WEB, b'{"orphanDependents":true}'),
        (403, "no-deletion-of-everything", MAPS, None),
        (403, "no-deletion-of-everything", f"{MAPS}?dryRun=All", b"{}"),
    ],
)
def test_b67_how_it_is_deleted_is_read_from_body_and_query(
    code: int, rule: str, target: str, body: bytes | None, caller: Caller
) -> None:
    headers = [] if body is None else [JSON]
    caller.is_refused(code, rule, target, *headers, method="DELETE", body=body)


def test_b67_an_eviction_is_a_deletion(caller: Caller) -> None:
    body = b'{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p1","namespace":"NS"}}'
    caller.is_refused(429, "evictions-need-approval", f"{PODS}/p1/eviction", JSON, method="POST", body=body)


@pytest.mark.parametrize("query", ["", "?dryRun=All", "?dryRun=All&dryRun=All", "?fieldManager=m&dryRun=All"])
def test_b67a_a_dry_run_of_a_token_is_a_token(query: str, caller: Caller) -> None:
    """The oracle counts the gateway's own dry runs too: not one byte of it has been sent."""
    body = b'{"spec":{"expirationSeconds":600}}'
    target = f"/api/v1/namespaces/NS/serviceaccounts/default/token{query}"
    caller.is_refused(403, "no-service-account-tokens", target, JSON, method="POST", body=body)
    assert b"/token" not in caller.oracle.sent()


@pytest.mark.parametrize(
    ("metadata", "rule"),
    [
        ('{"generateName":"p-"}', "no-host-namespaces"),
        (
            '{"name":"p","ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p1","uid":"x"}]}',
            "no-host-namespaces",
        ),
    ],
)
def test_b68_a_name_that_the_server_makes_hides_nothing(metadata: str, rule: str, caller: Caller) -> None:
    body = f'{{"metadata":{metadata},"spec":{{"hostPID":true,"containers":[{json.dumps(CONTAINER)}]}}}}'
    caller.is_refused(403, rule, PODS, JSON, method="POST", body=body.encode())


def test_b68_an_object_of_another_namespace_is_refused_by_the_server(caller: Caller) -> None:
    body = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"elsewhere","namespace":"default"}}'
    assert caller.asks(MAPS, JSON, method="POST", body=body).status == 400


CHANGES = {
    "another selector": ("?labelSelector=a%3Dnothing", JSON, b"{}"),
    "the selector in other words": ("?labelSelector=a%3D%3Db", JSON, b"{}"),
    "one more option": ("?labelSelector=a%3Db&gracePeriodSeconds=5", JSON, b"{}"),
    "another body": ("?labelSelector=a%3Db", JSON, b'{"kind":"DeleteOptions"}'),
    "white space": ("?labelSelector=a%3Db", JSON, b"{ }"),
    "another type": ("?labelSelector=a%3Db", "Content-Type: application/yaml", b"{}"),
}


def test_b69_an_approval_is_for_one_request_once(caller: Caller, oncall: Person, admin: Kubectl) -> None:
    """Everything that makes another request of it asks anew; the same one passes, and asks again afterwards."""
    name = f"approved-{secrets.token_hex(3)}"
    admin("create", "configmap", name)
    admin("label", "configmap", name, "a=b", "--overwrite")
    original = ("?labelSelector=a%3Db", JSON, b"{}")

    def answer(query: str, content_type: str, body: bytes) -> int:
        return caller.asks(f"{MAPS}{query}", content_type, method="DELETE", body=body).status

    assert answer(*original) == 429
    oncall.approves(caller.gateway, pending(caller.gateway, resource="configmaps", namespace=admin.namespace)["id"])
    for what, changed in CHANGES.items():
        assert answer(*changed) == 429, what
    assert name in admin("get", "configmaps", "-o", "name")
    assert answer(*original) == 200
    assert name not in admin("get", "configmaps", "-o", "name")
    admin("create", "configmap", name)
    admin("label", "configmap", name, "a=b")
    assert answer(*original) == 429
    asked = approvals(caller.gateway, resource="configmaps", namespace=admin.namespace)
    assert len({row["digest"] for row in asked}) == len(CHANGES) + 1
