"""A rule that leaves the last word to a policy service: real kubectl, real HTTPS, the real API server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.secret_objects import secret
from tests.e2e.test_guardrails import check_refused
from tests.support.kubernetes import Kubectl
from tests.support.policy_service import Service, policy_service, verdict

RULE = """\
apiVersion: chaperone/v1
kind: Guardrail
metadata: {{name: e2e-ask}}
spec:
  description: A policy service has the last word about configmaps, secrets and exec.
  match:
    apiGroups: [""]
    resources: [configmaps, secrets, pods/exec]
    verbs: [create, update, patch, delete, connect]
  webhook: {{url: "{url}", caFile: {ca_file}, timeoutSeconds: 2}}
  verdict: deny
  reason: the policy service does not allow it
  hint: ask the platform team
  tests:
    - {{expect: match, request: POST /api/v1/namespaces/a/configmaps, object: {{}}, webhook: {{allowed: false}}}}
    - {{expect: no-match, request: POST /api/v1/namespaces/a/configmaps, object: {{}}, webhook: {{allowed: true}}}}
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with policy_service(tmp_path_factory.mktemp("service")) as found:
        yield found


@pytest.fixture(scope="module")
def asking(gateways: Gateways, service: Service) -> GatewayEnv:
    gateway = gateways.start("asking", settings={"hold_seconds": 0})
    (gateway.rules / "ask.yaml").write_text(RULE.format(url=service.url, ca_file=service.ca_file))
    eventually("the rule", lambda: '"policy loaded"' in Path(gateway.log).read_text(), 20)
    return gateway


@pytest.fixture
def asker(asking: GatewayEnv, service: Service, as_user: Callable[..., Agent], admin: Kubectl) -> Agent:
    service.asked.clear()
    service.answer = lambda review, _: verdict(review, True)
    return as_user(asking, "asker", "agents").within(admin.namespace)


def test_what_it_allows_passes_with_its_warnings(asker: Agent, service: Service, admin: Kubectl) -> None:
    service.answer = lambda review, _: verdict(review, True, warnings=["mind the gap"])
    done = asker.run("create", "configmap", "allowed", "--from-literal=a=b")
    assert (done.returncode, "Warning: e2e-ask: mind the gap" in done.stderr) == (0, True), done.stderr
    (asked,) = (review["request"] for review in service.asked)
    assert (asked["operation"], asked["kind"]["kind"], asked["namespace"]) == ("CREATE", "ConfigMap", admin.namespace)
    assert asked["object"]["data"] == {"a": "b"}
    assert asked["userInfo"]["username"].endswith("#asker")


def test_what_it_does_not_allow_is_refused_in_its_words(asker: Agent, service: Service, admin: Kubectl) -> None:
    admin.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"a": "before"}})
    service.answer = lambda review, _: verdict(review, False, status={"message": "not on a Friday"})
    said = asker.refused("patch", "configmap", "kept", "-p", '{"data":{"a":"after"}}')
    check_refused(said, "e2e-ask")
    assert "the policy service does not allow it: not on a Friday" in said
    (asked,) = (review["request"] for review in service.asked)
    assert (asked["object"]["data"], asked["oldObject"]["data"]) == ({"a": "after"}, {"a": "before"})
    assert admin.get("configmap", "kept")["data"] == {"a": "before"}


def test_secrets_stay_behind(asker: Agent, service: Service, plant: Callable[[], str]) -> None:
    value = plant()
    asker("create", "secret", "generic", "unseen", f"--from-literal=password={value}")
    asker("apply", "-f", "-", stdin=secret("unseen-too", password=value))
    assert {review["request"]["kind"]["kind"] for review in service.asked} == {"Secret"}
    assert value not in json.dumps(service.asked, ensure_ascii=False)
    contents = [review["request"]["object"] for review in service.asked]
    assert all("password" in (content.get("data") or content["stringData"]) for content in contents)


def test_without_an_answer_nothing_passes(asker: Agent, service: Service, admin: Kubectl) -> None:
    service.answer = lambda _, __: verdict({"request": {"uid": "another"}}, True)
    said = asker.refused("create", "configmap", "unanswered", "--from-literal=a=b")
    check_refused(said, "e2e-ask")
    assert "the uid differs" in said
    assert "NotFound" in admin.run("get", "configmap", "unanswered").stderr


def test_exec_comes_with_its_options(asker: Agent, service: Service, admin: Kubectl) -> None:
    pod = admin.run_pod("asked")
    service.answer = lambda review, _: verdict(review, False, status={"message": "no shells"})
    assert "no shells" in asker.refused("exec", pod, "--", "id", "-u")
    asked = service.asked[0]["request"]
    assert (asked["operation"], asked["object"]["kind"]) == ("CONNECT", "PodExecOptions")
    assert asked["object"]["command"] == ["id", "-u"]
