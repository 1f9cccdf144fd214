"""An agent's ordinary work passes under the standard thresholds: no refusal, no question to a person, few warnings.

What these commands send is also the corpus that tests without a cluster judge: here it is checked to be complete, and
written anew for whoever changes the commands.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from addons.core.request_info import request_info
from addons.core.request_line import parse_target
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.records import approvals, gateway_events
from tests.support.corpus import CORPUS, Question, read_corpus
from tests.support.kubernetes import Kubectl

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {mode: fast}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers:
        - name: web
          image: registry.test/web:VERSION
          ports: [{containerPort: 8080}]
          envFrom: [{configMapRef: {name: settings}}]
          readinessProbe: {httpGet: {path: /healthz, port: 8080}}
          resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 128Mi}}
      volumes: [{name: tmp, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules:
    - host: web.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 8080}]}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "@daily"
  jobTemplate:
    spec: {template: {spec: {restartPolicy: Never, containers: [{name: job, image: "registry.test/job:1"}]}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, minReplicas: 2, maxReplicas: 4}
"""
"""What a team applies for a plain web application."""

KUBECTL = """
version
api-resources
auth can-i create deployments
auth whoami
get namespaces
get nodes -o wide
apply -f - < 1
apply -f - < 1
apply -f - < 2
apply --server-side --force-conflicts -f - < 2
diff -f - < 2
rollout status deployment/web --timeout=60s
get all
get pods -o wide
get pods -o yaml
get pods,services,ingresses,configmaps,cronjobs -o name
get pods --watch --request-timeout=1s
get events
get deployment web -o json
get secrets
describe deployment web
describe pods
describe service web
logs deployment/web
events --for deployment/web
wait --for=condition=Available deployment/web --timeout=60s
rollout history deployment/web
rollout restart deployment/web
rollout pause deployment/web
rollout resume deployment/web
set image deployment/web web=registry.test/web:3
set env deployment/web MODE=slow
set resources deployment/web --limits=memory=256Mi
rollout undo deployment/web
rollout status deployment/web --timeout=60s
scale deployment/web --replicas=4
scale deployment/web --replicas=1
label deployment web tier=front
annotate deployment web note=checked
patch deployment web --type=merge -p {"spec":{"minReadySeconds":1}}
patch configmap settings --type=json -p [{"op":"add","path":"/data/more","value":"x"}]
expose deployment web --name=web-2 --port=81
create job now --from=cronjob/nightly
create configmap more --from-literal=a=b
create secret generic mine --from-literal=token=abc
create deployment plain --image=registry.test/web:1
create serviceaccount plain
create role reader --verb=get,list --resource=pods
create rolebinding reader --role=reader --serviceaccount=default:plain
run once --image=registry.test/web:1 --restart=Never
get pod once
delete pod once
delete deployment plain
delete job now
delete configmap more
delete ingress,service,cronjob --all
delete deployment web
"""
"""One command a line; `< N` gives it the manifest with version N."""
HELM = """
list
install shop CHART
status shop
get all shop
get values shop
history shop
upgrade shop CHART --set replicaCount=2
rollback shop 1
uninstall shop
"""
"""Once with releases in Secrets, which are masked, and once in ConfigMaps."""
UNREADY = frozenset({"logs"})
"""Commands whose outcome is that of the played nodes, which have no logs; what is asked is what counts."""


@pytest.fixture(scope="module")
def gateway(gateways: Gateways) -> GatewayEnv:
    """A gateway of its own: everything in its records is ordinary work."""
    return gateways.start("ordinary", settings={"hold_seconds": 0})


@pytest.fixture(scope="module")
def worked(
    gateway: GatewayEnv, as_user: Any, admin: Kubectl, helm: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The namespace in which it was all done; fails if a command does not succeed."""
    agent: Agent = as_user(gateway, "ordinary", "agents").within(admin.namespace)
    for line in KUBECTL.strip().splitlines():
        command, _, version = line.partition(" < ")
        words = command.split(" ") if " -p " in command else shlex.split(command)
        done = agent.run(*words, stdin=MANIFEST.replace("VERSION", version) if version else None)
        known = done.returncode == 0 or words[0] in UNREADY or (words[0] == "diff" and done.returncode == 1)
        assert known or "--watch" in words, f"kubectl {line}: {done.stderr}"
        assert "chaperone refused" not in done.stderr, f"kubectl {line}: {done.stderr}"
    folder = tmp_path_factory.mktemp("helm")
    run_helm(agent, helm, folder, "create CHART")
    for driver in ("secret", "configmap"):
        for line in HELM.strip().splitlines():
            run_helm(agent.setting(HELM_DRIVER=driver), helm, folder, line)
    return admin.namespace


def run_helm(agent: Agent, helm: Path, folder: Path, line: str) -> None:
    """One helm command, as the agent."""
    arguments = [str(folder / "plain") if word == "CHART" else word for word in line.split()]
    home = {name: str(folder) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
    done = subprocess.run(
        [helm, *arguments, "--namespace", agent.namespace],
        env={**agent.environment(), **home, "KUBECONFIG": agent.kubeconfig},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"helm {line}: {done.stderr}"


def recorded(gateway: GatewayEnv, admin: Kubectl) -> list[Question]:
    """What was asked, from the gateway's own recording, once each; names that differ from run to run made the same."""
    seen: dict[str, Any] = {}
    namespace = admin.namespace
    found: dict[str, Question] = {}
    for flow in flows(gateway):
        target = flow.request.path.replace(namespace, "team-a")
        path = target.partition("?")[0]
        answer = content_of(flow.response.content if flow.response else None, namespace)
        question: Question = {"method": flow.request.method, "target": target}
        if flow.request.method in ("POST", "PUT", "PATCH"):
            # A patch results in what the answer shows, and a body in protobuf is read by the API server alone.
            submitted = content_of(flow.request.content, namespace) if flow.request.method != "PATCH" else None
            stored = submitted or answer or stored_as(flow, admin)
            question |= {"object": stored, "old_object": seen.get(path)}
        if answer and flow.response and flow.response.status_code < 300 and flow.request.method != "DELETE":
            seen[path] = answer
        found.setdefault(json.dumps(question, sort_keys=True), question)
    return list(found.values())


def stored_as(flow: HTTPFlow, admin: Kubectl) -> dict[str, Any] | None:
    """What became of a create in protobuf that was answered in protobuf too; None of what is not stored."""
    resource, body = flow.request.path.partition("?")[0].rpartition("/")[2], flow.request.content or b""
    if flow.request.method != "POST" or not body.startswith(b"k8s") or resource.endswith("reviews"):
        return None
    (stored,) = [item for item in admin.get(resource)["items"] if item["metadata"]["name"].encode() in body]
    return content_of(json.dumps(stored).encode(), admin.namespace)


def flows(gateway: GatewayEnv) -> Iterator[HTTPFlow]:
    for path in sorted(gateway.state_dir.glob("sessions/[!u]*/flows-*.mitm")):  # not the gateway's own, unidentified
        with path.open("rb") as file:
            for flow in FlowReader(file).stream():
                if isinstance(flow, HTTPFlow):
                    yield flow


def content_of(body: bytes | None, namespace: str) -> dict[str, Any] | None:
    """A JSON object without what no rule reads; None for everything else."""
    try:
        content = json.loads((body or b"").decode().replace(namespace, "team-a"))
    except ValueError:
        return None
    if not isinstance(content, dict) or content.get("kind") in ("Status", "Table") or "items" in content:
        return None
    content.pop("status", None)
    content |= {name: dict.fromkeys(content[name], "x") for name in ("data", "stringData") if name in content}
    for name in ("managedFields", "uid", "resourceVersion", "creationTimestamp", "generation"):
        content.get("metadata", {}).pop(name, None)
    content.get("metadata", {}).get("annotations", {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return content


def of_agent(gateway: GatewayEnv) -> list[dict[str, Any]]:
    return [event for event in gateway_events(gateway) if event["user"]["username"].endswith("#ordinary")]


def test_nobody_is_refused_and_nobody_is_asked(gateway: GatewayEnv, worked: str) -> None:
    decided = [event for event in of_agent(gateway) if "chaperone.dev/decision" in event["annotations"]]
    assert len(decided) > 100
    stopped = [
        (event["requestURI"], event["annotations"]["chaperone.dev/rule"])
        for event in decided
        if event["annotations"]["chaperone.dev/decision"] not in ("allow", "warn")
    ]
    assert stopped == []
    assert approvals(gateway) == []


def test_warnings_are_few(gateway: GatewayEnv, worked: str) -> None:
    """One for pods that do not meet the restricted standard, which plain ones do not."""
    warned = {
        event["annotations"]["chaperone.dev/rule"]
        for event in of_agent(gateway)
        if event["annotations"].get("chaperone.dev/decision") == "warn"
    }
    assert warned == {"pods-without-restrictions"}


def shapes(questions: list[Question]) -> set[str]:
    """What kinds of request there are."""
    found = set()
    for question in questions:
        request = request_info(question["method"], *parse_target(question["target"]))
        found.add(f"{request.verb} {request.api_group}/{request.resource}/{request.subresource}")
    return found


def test_the_corpus_holds_everything_that_is_asked(
    gateway: GatewayEnv, worked: str, admin: Kubectl, tmp_path: Path
) -> None:
    questions = eventually("the recording", lambda: recorded(gateway, admin))
    fresh = tmp_path / CORPUS.name
    fresh.write_text("".join(json.dumps(question, sort_keys=True) + "\n" for question in questions))
    missing = shapes(questions) - shapes(read_corpus())
    assert missing == set(), f"not in the corpus; a new recording is {fresh}: copy it over {CORPUS}"
