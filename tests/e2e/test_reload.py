"""Rules change while agents work: at once, whole, in every worker, or not at all. And what a profile makes of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from addons.edge.exposition import CONTENT_TYPE
from scripts.devenv import plain_http
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.people import Person, chaperone, pending
from tests.e2e.records import gateway_events
from tests.support.kubernetes import Kubectl

WORKERS = 2
SOON = 20.0
"""Seconds for two workers to notice and compile, on a machine that is busy with other tests."""

RULE = """\
apiVersion: chaperone/v1
kind: Guardrail
metadata: {{name: e2e-no-{word}}}
spec:
  description: Nothing of this name.
  match: {{apiGroups: [""], resources: [configmaps], verbs: [get, create, patch], names: [{word}]}}
  verdict: {verdict}
  reason: nothing is named {word} here
  hint: choose another name
  tests:
    - {{expect: match, request: GET /api/v1/namespaces/a/configmaps/{word}}}
    - {{expect: no-match, request: GET /api/v1/namespaces/a/configmaps/other}}
"""


@pytest.fixture(scope="module")
def reloading(gateways: Gateways) -> GatewayEnv:
    """A gateway whose rule files these tests may change."""
    return gateways.start("reloading", settings={"workers": WORKERS, "hold_seconds": 30})


@pytest.fixture
def rules(reloading: GatewayEnv) -> Any:
    """The gateway's own rule folder; as it was before, afterwards."""
    kept = reloading.folder / "kept"
    shutil.copytree(reloading.rules, kept)
    yield reloading.rules
    attempts = log(reloading)
    shutil.rmtree(reloading.rules, ignore_errors=True)
    kept.rename(reloading.rules)
    loaded(reloading, len(attempts))


def log(gateway: GatewayEnv) -> list[dict[str, Any]]:
    """The attempts to load, of all workers."""
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"].startswith(("policy loaded", "policy not loaded"))]


def loaded(gateway: GatewayEnv, before: int = 0) -> list[dict[str, Any]]:
    """What every worker said about the next attempt, once each has."""
    eventually("an attempt of each worker", lambda: len(log(gateway)) >= before + WORKERS, SOON)
    return log(gateway)[before:]


def versions(attempts: list[dict[str, Any]]) -> set[str]:
    return {attempt["policy"] for attempt in attempts}


def change(gateway: GatewayEnv, file: Path, text: str) -> list[dict[str, Any]]:
    """Write a rule file, and what the workers made of it."""
    before = len(log(gateway))
    file.write_text(text)
    return loaded(gateway, before)


def many(agent: Agent, path: str, count: int = 12) -> set[int]:
    """The status codes of some requests, a connection each, so that every worker has its part."""

    def once(_: int) -> int:
        with agent.http() as http:
            return http.get(path).status_code

    with ThreadPoolExecutor(4) as pool:
        return set(pool.map(once, range(count)))


@pytest.fixture
def worker_agent(reloading: GatewayEnv, as_user: Callable[..., Agent], admin: Kubectl) -> Agent:
    return as_user(reloading, "reloaded", "agents").within(admin.namespace)


def test_a_new_rule_is_in_force_in_every_worker_while_streams_go_on(
    reloading: GatewayEnv, rules: Path, worker_agent: Agent, admin: Kubectl
) -> None:
    path = f"/api/v1/namespaces/{admin.namespace}/configmaps/unwanted"
    assert many(worker_agent, path) == {404}
    with worker_agent.stream("get", "configmaps", "-w") as watch:
        watch.until("kube-root-ca.crt")
        attempts = change(reloading, rules / "new.yaml", RULE.format(word="unwanted", verdict="deny"))
        assert {attempt["event"] for attempt in attempts} == {"policy loaded"}
        assert len(versions(attempts)) == 1
        assert many(worker_agent, path) == {403}
        admin.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "seen"}})
        watch.until("seen")
    events = [event for event in gateway_events(reloading) if event["requestURI"] == path]
    recorded = {event["annotations"]["chaperone.dev/policy"] for event in events}
    assert {version[:12] for version in versions(attempts)} < recorded and len(recorded) == 2


GOOD = RULE.format(word="x", verdict="deny")
BROKEN = {
    "a syntax error": ("kind: [Guardrail", ":1: "),
    "an unknown variable": (GOOD.replace("verdict:", "when: nothing > 1\n  verdict:"), ":7: "),
    "a failing test": (GOOD.replace("/other", "/x"), ":12: test 2 failed"),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_mistake_keeps_the_old_rules_in_force_everywhere(
    mistake: str, reloading: GatewayEnv, rules: Path, worker_agent: Agent, admin: Kubectl
) -> None:
    """A proxy that reloads scripts would serve without any now."""
    path = f"/api/v1/namespaces/{admin.namespace}/configmaps/kept"
    (good,) = versions(change(reloading, rules / "new.yaml", RULE.format(word="kept", verdict="deny")))
    text, where = BROKEN[mistake]
    attempts = change(reloading, rules / "new.yaml", text)
    assert {attempt["event"] for attempt in attempts} == {"policy not loaded: the one before stays in force"}
    assert versions(attempts) == {good}
    for attempt in attempts:
        (problem,) = attempt["problems"]
        assert problem.startswith(f"{rules / 'new.yaml'}{where}"), problem
    assert many(worker_agent, path) == {403}
    assert "kube-root-ca.crt" in worker_agent("get", "configmaps")


def test_rules_that_are_gone_stay_in_force(
    reloading: GatewayEnv, rules: Path, worker_agent: Agent, admin: Kubectl
) -> None:
    change(reloading, rules / "new.yaml", RULE.format(word="buried", verdict="deny"))
    before = len(log(reloading))
    shutil.rmtree(rules)
    attempts = loaded(reloading, before)
    assert {attempt["event"] for attempt in attempts} == {"policy not loaded: the one before stays in force"}
    assert any("no such rules folder" in problem for attempt in attempts for problem in attempt["problems"])
    assert many(worker_agent, f"/api/v1/namespaces/{admin.namespace}/configmaps/buried") == {403}


def test_sighup_to_the_gateway_reaches_every_worker(reloading: GatewayEnv) -> None:
    before = len(log(reloading))
    os.kill(reloading.child.pid, signal.SIGHUP)
    attempts = loaded(reloading, before)
    assert {attempt["event"] for attempt in attempts} == {"policy loaded"}
    assert len(versions(attempts)) == 1


def test_b80_a_request_that_waits_is_judged_by_the_rules_it_began_under(
    reloading: GatewayEnv, rules: Path, worker_agent: Agent, admin: Kubectl, oncall: Person
) -> None:
    (old,) = versions(change(reloading, rules / "new.yaml", RULE.format(word="asked", verdict="require_approval")))
    admin.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "asked"}})
    with worker_agent.stream("get", "configmap", "asked", "-o", "name") as waiting:
        question = pending(reloading, name="asked", namespace=admin.namespace)
        (new,) = versions(change(reloading, rules / "new.yaml", RULE.format(word="asked", verdict="deny")))
        oncall.approves(reloading, question["id"])
        assert waiting.finish() == (0, "configmap/asked\n")
    assert "rule: e2e-no-asked" in worker_agent.refused("get", "configmap", "asked")
    events = [event for event in gateway_events(reloading) if event.get("objectRef", {}).get("name") == "asked"]
    notes = [event["annotations"] for event in events]
    judged = {each["chaperone.dev/decision"]: each["chaperone.dev/policy"] for each in notes}
    assert judged == {"require_approval": old[:12], "deny": new[:12]}


def connection_file(gateway: GatewayEnv) -> Path:
    return gateway.rules / "connections" / f"{gateway.connection}.yaml"


def test_a_profile_changes_at_once_on_open_connections_and_a_place_does_not(
    reloading: GatewayEnv, rules: Path, worker_agent: Agent, admin: Kubectl
) -> None:
    privileged = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "observed"},
        "spec": {"containers": [{"name": "c", "image": "i", "securityContext": {"privileged": True}}]},
    }  # fmt: skip
    path = f"/api/v1/namespaces/{admin.namespace}/pods"
    document = yaml.safe_load(connection_file(reloading).read_text())
    with worker_agent.http() as http:
        assert http.post(path, json=privileged).status_code == 403
        document["spec"]["profile"] = "observe"
        change(reloading, connection_file(reloading), yaml.safe_dump(document))
        answer = http.post(path, json=privileged)
    assert answer.status_code == 201
    assert "observed: no-privileged-containers would deny" in answer.headers["warning"]
    shown = worker_agent.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(privileged))
    assert "Warning: observed: no-privileged-containers would deny" in shown.stderr
    observed = [event for event in gateway_events(reloading) if "chaperone.dev/observed" in event["annotations"]]
    assert {event["annotations"]["chaperone.dev/observed"] for event in observed} == {"deny"}
    assert "rule: unknown-resource" in worker_agent.refused("get", "--raw", "/apis/nonsense.example/v1/things")

    document["spec"]["profile"], document["spec"]["address"] = "standard", "127.0.0.1:1"
    attempts = change(reloading, connection_file(reloading), yaml.safe_dump(document))
    assert {attempt["event"] for attempt in attempts} == {"policy not loaded: the one before stays in force"}
    assert all("can only change with a restart" in problem for each in attempts for problem in each["problems"])
    assert many(worker_agent, path) == {200}


def test_traffic_goes_on_while_rules_are_compiled(
    reloading: GatewayEnv, rules: Path, worker_agent: Agent, admin: Kubectl
) -> None:
    """Far more rules than anybody has, and no request that waits for them."""
    path, slowest = f"/api/v1/namespaces/{admin.namespace}/configmaps/other", 0.0
    text = "---\n".join(RULE.format(word=f"word-{number}", verdict="deny") for number in range(400))
    before = len(log(reloading))
    (rules / "new.yaml").write_text(text)
    with worker_agent.http() as http:
        while len(log(reloading)) < before + WORKERS:
            began = time.monotonic()
            assert http.get(path).status_code == 404
            slowest = max(slowest, time.monotonic() - began)
    assert {attempt["event"] for attempt in log(reloading)[before:]} == {"policy loaded"}
    assert slowest < 1.0


def metrics(gateway: GatewayEnv) -> dict[str, float]:
    """The samples of a scrape, summed over workers."""
    page = plain_http.get(f"{health_url(gateway)}/metrics")
    assert (page.status_code, page.headers["content-type"]) == (200, CONTENT_TYPE)
    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(page.text):
        for sample in family.samples:
            labels = ",".join(value for name, value in sorted(sample.labels.items()) if name != "worker")
            found[f"{sample.name} {labels}".strip()] += sample.value
    return found


def health_url(gateway: GatewayEnv) -> str:
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if '"event": "ready"' in line]
    return str(lines[0]["health"])


def test_status_and_metrics_tell_what_is_in_force_and_what_went_wrong(
    reloading: GatewayEnv, rules: Path, worker_agent: Agent, admin: Kubectl
) -> None:
    (good,) = versions(change(reloading, rules / "new.yaml", RULE.format(word="counted", verdict="deny")))

    # What workers say of themselves is a second old at most.
    def told() -> dict[str, Any] | None:
        done = chaperone(reloading, "status", "-o", "json")
        said: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"workers": []}
        return said if [worker["policy"] for worker in said["workers"]] == [good] * WORKERS else None

    said = eventually("status", told)
    assert (said["ok"], said["trouble"], said["missing"]) == (True, [], {})
    before = metrics(reloading)
    assert many(worker_agent, f"/api/v1/namespaces/{admin.namespace}/configmaps/counted", 10) == {403}
    assert many(worker_agent, f"/api/v1/namespaces/{admin.namespace}/configmaps/other", 2) == {404}

    def counted() -> bool:
        now = metrics(reloading)
        of = f"{reloading.connection},e2e-no-counted"
        more = [now[name] - before[name] for name in (f"chaperone_requests_total {of},deny",
                f"chaperone_refusals_total 403,{of}")]  # fmt: skip
        return more == [10, 10] and now[f"chaperone_upstream_seconds_count {reloading.connection}"] > 0

    eventually("the count of both workers", counted)
    attempts = change(reloading, rules / "new.yaml", GOOD.replace("verdict: deny", "verdict: perhaps"))
    assert {attempt["event"] for attempt in attempts} == {"policy not loaded: the one before stays in force"}
    eventually("the count", lambda: metrics(reloading)["chaperone_reloads_total failed"] > before[
        "chaperone_reloads_total failed"])  # fmt: skip
    shown = eventually("the mistake", lambda: "verdict" in (found := chaperone(reloading, "status")).stdout and found)
    assert shown.returncode == 1
    assert f"trouble: {rules / 'new.yaml'}:7: verdict" in shown.stdout
    assert "failed: the rules before stay in force" in shown.stdout
    assert f"connection {reloading.connection}: " in shown.stdout and "profile standard" in shown.stdout


def test_a_gateway_that_is_not_there_is_down(reloading: GatewayEnv, tmp_path: Path) -> None:
    conf = yaml.safe_load(reloading.conf.read_text()) | {"state": str(tmp_path)}
    (tmp_path / "mitm.conf").write_text(json.dumps(conf))
    done = chaperone(reloading, "status", conf=tmp_path / "mitm.conf")
    assert (done.returncode, done.stdout.startswith("down")) == (1, True)
