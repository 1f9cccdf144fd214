"""Section C, escalation: a role that may do everything cannot make itself, or anybody, more than this gateway sees."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.bypasses.caller import Caller

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
CERTIFICATES = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SIGNING = {"request": "eA==", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}


def kind(version: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": name, "metadata": {"name": "more"}, **fields}


def role(group: str, resource: str, verb: str) -> dict[str, Any]:
    rules = [{"apiGroups": [group], "resources": [resource], "verbs": [verb]}]
    return kind("rbac.authorization.k8s.io/v1", "ClusterRole", rules=rules)


CSR = kind("certificates.k8s.io/v1", "CertificateSigningRequest", spec=SIGNING)
APPROVED = {**CSR, "status": {"conditions": [{"type": "Approved", "status": "True", "reason": "a", "message": "b"}]}}
WEBHOOKS = {name: kind("admissionregistration.k8s.io/v1", name, webhooks=[]) for name in (
    "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
)}  # fmt: skip
AGGREGATED = kind(
    "apiregistration.k8s.io/v1", "APIService",
    spec={"group": "more.test", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
          "service": {"name": "a", "namespace": "b"}},
)  # fmt: skip
MYSELF = kind(
    "rbac.authorization.k8s.io/v1", "RoleBinding",
    roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
    subjects=[{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "mallory"}],
)  # fmt: skip
ACCESS_ENTRY = kind("eks.services.k8s.aws/v1alpha1", "AccessEntry", spec={"clusterName": "c", "principalARN": "arn"})

REFUSED = {
    "a certificate": ("POST", CERTIFICATES, CSR, "no-client-certificates"),
    "a certificate, dry": ("POST", f"{CERTIFICATES}?dryRun=All", CSR, "no-client-certificates"),
    "an approved certificate": ("PUT", f"{CERTIFICATES}/more/approval", APPROVED, "no-certificate-approvals"),
    "a mutating webhook": (
        "POST", f"{ADMISSION}/mutatingwebhookconfigurations", WEBHOOKS["MutatingWebhookConfiguration"],
        "no-admission-changes",
    ),
    "a validating webhook": (
        "POST", f"{ADMISSION}/validatingwebhookconfigurations", WEBHOOKS["ValidatingWebhookConfiguration"],
        "no-admission-changes",
    ),
    "no more policy": (
        "DELETE", f"{ADMISSION}/validatingadmissionpolicybindings/more", None, "no-admission-changes",
    ),
    "an aggregated API": ("POST", "/apis/apiregistration.k8s.io/v1/apiservices", AGGREGATED, "no-aggregated-apis"),
    "aws-auth": (
        "POST", "/api/v1/namespaces/kube-system/configmaps",
        {**kind("v1", "ConfigMap", data={"mapRoles": "- rolearn: x"}), "metadata": {"name": "aws-auth"}},
        "no-aws-auth-changes",
    ),
    "escalate": (
        "POST", f"{RBAC}/clusterroles", role("rbac.authorization.k8s.io", "clusterroles", "escalate"),
        "no-privileged-roles",
    ),
    "bind": (
        "POST", f"{RBAC}/clusterroles", role("rbac.authorization.k8s.io", "clusterroles", "bind"),
        "no-privileged-roles",
    ),
    "impersonate": ("POST", f"{RBAC}/clusterroles", role("", "users", "impersonate"), "no-privileged-roles"),
    "a role for myself": ("POST", f"{RBAC}/namespaces/NS/rolebindings", MYSELF, "no-bindings-to-everyone-or-self"),
    "an access entry of EKS": (
        "POST", "/apis/eks.services.k8s.aws/v1alpha1/namespaces/NS/accessentries", ACCESS_ENTRY, "unknown-resource",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("method", "target", "body", "rule"), REFUSED.values(), ids=REFUSED)
def test_b29_more_than_one_has(
    method: str, target: str, body: dict[str, Any] | None, rule: str, caller: Caller
) -> None:
    content = None if body is None else json.dumps(body).encode()
    caller.is_refused(403, rule, target, "Content-Type: application/json", method=method, body=content)


def test_b29_what_one_may_do_can_be_asked(caller: Caller) -> None:
    """It says nothing that trying would not."""
    review = kind("authorization.k8s.io/v1", "SelfSubjectRulesReview", spec={"namespace": "default"})
    target = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    body = json.dumps({**review, "metadata": {}}).encode()
    assert caller.asks(target, "Content-Type: application/json", method="POST", body=body).status == 201


PORTS = {
    "a database": "ports=5432",
    "one of several": "ports=8080&ports=6379",
    "the kubelet": "ports=10250",
    "the API server": "ports=8080,6443",
}


@pytest.mark.parametrize("query", PORTS.values(), ids=PORTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_b37_no_tunnel_to_what_holds_the_data(method: str, query: str, caller: Caller) -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol: v4.channel.k8s.io")  # fmt: skip
    spdy = ("Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: portforward.k8s.io")
    target = f"/api/v1/namespaces/NS/pods/web/portforward?{query}"
    headers = upgrade if method == "GET" else spdy
    caller.is_refused(403, "no-port-forward-to-data", target, *headers, method=method, seconds=1)
