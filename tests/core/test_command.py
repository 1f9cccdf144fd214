"""What people are told a request looks like."""

from __future__ import annotations

import pytest

from addons.core.command import Command, command_of, inferred_command, printable
from addons.core.request_info import request_info
from addons.core.request_line import parse_target

NS = "/api/v1/namespaces/team-a"


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", f"{NS}/pods/web", "kubectl get"),
        ("GET", f"{NS}/pods", "kubectl get"),
        ("GET", f"{NS}/pods?watch=1", "kubectl get --watch"),
        ("POST", f"{NS}/pods", "kubectl create"),
        ("PUT", f"{NS}/pods/web", "kubectl replace"),
        ("PATCH", f"{NS}/pods/web", "kubectl patch"),
        ("PATCH", f"{NS}/pods/web?fieldManager=kubectl-client-side-apply", "kubectl apply"),
        ("PATCH", f"{NS}/pods/web?fieldManager=kubectl&force=true", "kubectl apply"),
        ("POST", f"{NS}/pods?fieldManager=kubectl-client-side-apply", "kubectl apply"),
        ("PATCH", f"{NS}/pods/web?fieldManager=kubectl-edit", "kubectl edit"),
        ("POST", f"{NS}/pods?fieldManager=kubectl-run", "kubectl run"),
        ("PATCH", f"{NS}/pods/web?fieldManager=kubectl-anything", "kubectl patch"),
        ("PUT", f"{NS}/pods/web?fieldManager=kubectl", "kubectl replace"),
        ("DELETE", f"{NS}/pods/web", "kubectl delete"),
        ("DELETE", f"{NS}/pods", "kubectl delete --all"),
        ("LIST", f"{NS}/pods", ""),
        ("GET", f"{NS}/pods/web/exec?command=ls", "kubectl exec"),
        ("GET", f"{NS}/pods/web/exec?command=tar&command=cf&command=-&command=/etc", "kubectl cp (out)"),
        ("POST", f"{NS}/pods/web/exec?command=tar&command=-xmf&command=-", "kubectl cp (in)"),
        ("GET", f"{NS}/pods/web/exec?command=cat&command=/etc/passwd", "kubectl exec"),
        ("GET", f"{NS}/pods/web/attach", "kubectl attach"),
        ("GET", f"{NS}/pods/web/portforward?ports=80", "kubectl port-forward"),
        ("GET", f"{NS}/pods/web/log", "kubectl logs"),
        ("PATCH", f"{NS}/pods/web/ephemeralcontainers", "kubectl debug"),
        ("POST", f"{NS}/pods/web/eviction", "kubectl drain"),
        ("POST", f"{NS}/serviceaccounts/a/token", "kubectl create token"),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/web/scale", "kubectl scale"),
        ("GET", "/apis/apps/v1/namespaces/a/deployments/web/scale", "kubectl get --subresource=scale"),
        ("PUT", f"{NS}/pods/web/status", "kubectl replace --subresource=status"),
        ("LIST", f"{NS}/pods/web/status", ""),
        ("PUT", "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval", "kubectl certificate"),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "kubectl auth can-i"),
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "kubectl auth whoami"),
        ("GET", "/apis/apps/v1", "discovery"),
        ("GET", "/openapi/v3", "discovery"),
        ("GET", "/healthz", ""),
    ],
)
def test_inferred(method: str, target: str, expected: str) -> None:
    assert inferred_command(request_info(method, *parse_target(target))) == expected


def test_hints_are_the_callers_first_ones() -> None:
    headers = [
        ("KUBECTL-command", "kubectl get"),
        ("kubectl-command", "kubectl delete"),
        ("Kubectl-Session", "4c6e"),
        ("User-Agent", "kubectl/v1.37.1"),
        ("Accept-Things", "same length as another name"),
    ]
    request = request_info("GET", f"{NS}/pods")
    assert command_of(headers, request) == Command(
        claimed="kubectl get", session="4c6e", user_agent="kubectl/v1.37.1", inferred="kubectl get"
    )


def test_an_unreadable_request_has_only_hints() -> None:
    assert command_of([("user-agent", "curl")], None) == Command(user_agent="curl")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("kubectl get", "kubectl get", id="plain"),
        pytest.param("a\nb\x1b[31m", "a�b�[31m", id="B-88 line feeds and escapes"),
        pytest.param("a\u202eb", "a�b", id="B-81 direction override"),
        pytest.param("é", "é", id="letters of any alphabet"),
        pytest.param("x" * 300, "x" * 200, id="long"),
        pytest.param("\x00" * 300, "�" * 200, id="long and unprintable"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
