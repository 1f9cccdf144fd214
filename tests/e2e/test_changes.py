"""What else kubectl writes: it is stored as without a gateway, or a rule by this name stands in the way."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent
from tests.e2e.people import Person, pending
from tests.e2e.records import ApiServer, real_writes
from tests.e2e.stored import stored
from tests.e2e.test_guardrails import check_refused, deployment
from tests.support.kubernetes import Kubectl

CONFIG_MAPS = ("by-name", "by-label", "by-hand")


def signing_request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


@pytest.fixture(scope="module", autouse=True)
def objects(admin: Kubectl, elsewhere: Kubectl) -> None:
    """The same in both namespaces, and in the cluster a certificate that is asked for."""
    for who in (admin, elsewhere):
        labels = {"app": "old"}
        maps = [{"kind": "ConfigMap", "metadata": {"name": name, "labels": labels}} for name in CONFIG_MAPS]
        who.apply(deployment("web", {}), *({"apiVersion": "v1", **each} for each in maps))
        who.run_pod("p1")
    spec = {"request": signing_request(), "signerName": "e2e.test/any", "usages": ["client auth"]}
    admin.apply(
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": "e2e-changes"},
            "spec": spec,
        },
    )


SCALE = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web", "namespace": "NS"}}
RAW_SCALE = "replace --raw /apis/apps/v1/namespaces/NS/deployments/web/scale -f -"
LISTED = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "listed"}, "spec": {"ports": [{"port": 80}]}}
LIST = {"apiVersion": "v1", "kind": "List", "items": [LISTED]}

SAME: list[tuple[str, str, object]] = [
    # the command, what it is about, and its standard input
    ("annotate deployment/web ticket=INC-42", "deployment/web", None),
    ("label deployment/web team=shop", "deployment/web", None),
    ("set image deployment/web main=registry.test/web:2", "deployment/web", None),
    ("set env deployment/web MODE=fast", "deployment/web", None),
    ("set resources deployment/web --limits=cpu=200m", "deployment/web", None),
    ("scale deployment/web --replicas=2", "deployment/web", None),
    (RAW_SCALE, "deployment/web", {**SCALE, "spec": {"replicas": 3}}),
    ("rollout restart deployment/web", "deployment/web", None),
    ("rollout pause deployment/web", "deployment/web", None),
    ("rollout resume deployment/web", "deployment/web", None),
    ('patch deployment/web --type=strategic -p {"spec":{"minReadySeconds":1}}', "deployment/web", None),
    ('patch deployment/web --type=merge -p {"spec":{"revisionHistoryLimit":3}}', "deployment/web", None),
    ('patch deployment/web --type=json -p [{"op":"remove","path":"/spec/minReadySeconds"}]', "deployment/web", None),
    ("autoscale deployment/web --min=1 --max=3", "horizontalpodautoscaler/web", None),
    ("expose deployment/web --port=80", "service/web", None),
    ("create -f -", "service/listed", LIST),
    ("run runner --image=registry.test/web:1 --restart=Never", "pod/runner", None),
]


@pytest.mark.parametrize(("command", "about", "stdin"), SAME, ids=[command for command, _, _ in SAME])
def test_it_is_stored_as_without_a_gateway(
    command: str, about: str, stdin: object, hasty: Agent, admin: Kubectl, elsewhere: Kubectl
) -> None:
    kind, _, name = about.partition("/")
    for who in (hasty, elsewhere):
        body = None if stdin is None else json.dumps(stdin).replace("NS", who.namespace)
        who(*command.replace("NS", who.namespace).split(), stdin=body)
    assert stored(admin, kind, name) == stored(elsewhere, kind, name)


BINDING = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p1"}, "target": {"kind": "Node", "name": "n"}}
TOKEN_REQUEST = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}

REFUSED: list[tuple[str, str, object]] = [
    ("certificate approve e2e-changes", "no-certificate-approvals", None),
    ("certificate deny e2e-changes", "no-certificate-approvals", None),
    ("delete --raw /api/v1/namespaces/NS/configmaps", "no-deletion-of-everything", None),
    ("create --raw /api/v1/namespaces/NS/pods/p1/binding -f -", "no-bindings-to-nodes", BINDING),
    (
        "create --raw /api/v1/namespaces/NS/serviceaccounts/default/token -f -",
        "no-service-account-tokens",
        TOKEN_REQUEST,
    ),
]


@pytest.mark.parametrize(("command", "rule", "stdin"), REFUSED, ids=[command for command, _, _ in REFUSED])
def test_a_rule_stands_in_the_way(command: str, rule: str, stdin: object, hasty: Agent, api_server: ApiServer) -> None:
    mark = api_server.mark()
    words = command.replace("NS", hasty.namespace).split()
    body = None if stdin is None else json.dumps(stdin)
    check_refused(hasty.refused(*words, stdin=body), rule)
    assert real_writes(api_server.since(mark)) == []


def test_run_makes_a_pod_and_waits_for_somebody_to_agree_to_the_attach(
    agent: Agent, gateway: GatewayEnv, oncall: Person, admin: Kubectl
) -> None:
    with agent.stream("run", "once", "--rm", "-i", "--image=registry.test/web:1", "--restart=Never") as running:
        question = pending(gateway, 30, name="once")
        assert question["rule"] == "attach-needs-approval"
        oncall.answers(gateway, "deny", question["id"], "--note", "read its logs")
        running.until("read its logs", 30)
    admin("delete", "pod", "once", "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize("how", ["by-name", "-l app=old", "--all"])
def test_kubectl_deletes_one_by_one(how: str, hasty: Agent, admin: Kubectl, api_server: ApiServer) -> None:
    """Of however many it is told: each is a deletion by name."""
    mark = api_server.mark()
    hasty("delete", "configmap", *how.split(), "--wait=false")
    assert {event["verb"] for event in api_server.about(mark, "/configmaps/")} >= {"delete"}
    assert "by-name" not in admin("get", "configmaps", "-o", "name")


def test_what_an_agent_may_do_is_answered(hasty: Agent) -> None:
    assert hasty("auth", "can-i", "create", "pods") == "yes\n"
    assert "*.*" in hasty("auth", "can-i", "--list")
    assert hasty.user in hasty("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
