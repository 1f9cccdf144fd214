"""More than a hundred secrets in every kind of place, fetched in every form: none comes through the gateway."""

from __future__ import annotations

import base64
import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent
from tests.e2e.leaks import found
from tests.e2e.people import Person, pending
from tests.support.kubernetes import Kubectl

WRITTEN = Path(__file__).parent / "canaries.yaml"
LEAST = 100
OUTPUTS = [
    "json",
    "yaml",
    "wide",
    "name",
    "custom-columns=A:.data,B:.metadata,C:.spec,D:.status,E:.message,F:.note,G:.template,H:.parameters",
    "jsonpath={.items[*]}",
    "jsonpath-as-json={.items[*]}",
    "go-template={{range .items}}{{.}}{{end}}",
]
"""Of `kubectl get`, which asks for Tables for people and for objects otherwise."""
TEXT = 'DB_PASSWORD=SECRET\nhttps://ci:SECRET@registry/\n{"token":"SECRET"}\n\x1b[31mghp_SECRET\x1b[0m\n'


class Canaries:
    """Makes values and remembers them."""

    def __init__(self, planted: list[str]) -> None:
        self.places: dict[bytes, str] = {}
        self._planted = planted

    def plant(self, text: str) -> str:
        """The text with a new value for every SECRET in it."""

        def new(_: object) -> str:
            value = "c4n4ry" + secrets.token_hex(12)
            self.places[value.encode()] = text
            self._planted.append(value)
            return value

        return re.sub("SECRET(?!_)", new, text)

    def in_(self, text: str) -> list[str]:
        """Where the values that a text gives away were written."""
        return [self.places[value] for value in found(self.places, text.encode())]


def objects(canaries: Canaries, namespace: str) -> list[dict[str, Any]]:
    """What canaries.yaml says, with values."""
    text = WRITTEN.read_text().replace("NS", namespace)
    made = [planted(canaries, document) for document in yaml.safe_load_all(text)]
    for each in made:
        if each["kind"] == "CertificateSigningRequest":
            each["spec"]["request"] = signing_request()
    return made


def planted(canaries: Canaries, value: Any) -> Any:
    """The value with all in it planted."""
    match value:
        case dict():
            return {key: planted(canaries, item) for key, item in value.items()}
        case list():
            return [planted(canaries, item) for item in value]
        case str() if whole := re.fullmatch(r"BASE64\((.*)\)", value, re.S):
            return base64.b64encode(canaries.plant(whole[1]).encode("latin-1")).decode()
        case str():
            return canaries.plant(value)
    return value


def signing_request() -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "canary")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


@pytest.fixture(scope="module")
def canaries(planted: list[str]) -> Canaries:
    return Canaries(planted)


@pytest.fixture(scope="module")
def kinds(canaries: Canaries, admin: Kubectl) -> Iterator[str]:
    """What has been planted, as resources for one `kubectl get`."""
    namespace = admin.namespace
    made = objects(canaries, namespace)
    admin("apply", "-f", "-", stdin=as_list(made))
    for each in made:
        if status := each.pop("STATUS", None):
            where = [each["kind"], each["metadata"]["name"], "--subresource=status", "--type=merge"]
            admin("patch", *where, "-p", json.dumps({"status": status}))
    custom = {"kind": "Canary", "apiVersion": f"{namespace}.example.com/v1", "metadata": {"name": "canary"}}
    custom |= {"spec": {"url": canaries.plant("https://a:SECRET@b/"), "note": canaries.plant("token=SECRET")}}
    admin("wait", "--for=condition=Established", f"crd/canaries.{namespace}.example.com")
    admin("apply", "-f", "-", stdin=json.dumps(custom))
    assert len(canaries.places) >= LEAST
    yield ",".join(sorted({resource(each) for each in made} | {f"canaries.{namespace}.example.com"}))
    names = [(resource(each), each["metadata"]["name"]) for each in made]
    clusterwide = [f"{kind}/{name}" for kind, name in names if namespace in name]
    admin("delete", "--wait=false", *clusterwide)


def resource(each: dict[str, Any]) -> str:
    """What kubectl calls the kind of an object, whatever else has its name."""
    group = each["apiVersion"].rpartition("/")[0]
    kind: str = each["kind"].lower()
    return f"{kind}.{each['apiVersion'].rpartition('/')[2]}.{group}" if group else kind


def as_list(items: list[dict[str, Any]]) -> str:
    shown = [{key: value for key, value in each.items() if key != "STATUS"} for each in items]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": shown})


def test_an_administrator_sees_them_all(canaries: Canaries, kinds: str, admin: Kubectl) -> None:
    """Without this the other tests could pass because there is nothing to see."""
    plain = admin("get", kinds, "-o", "yaml", "--show-managed-fields")
    assert canaries.in_(plain) == list(canaries.places.values())


def test_no_output_of_get_shows_one(canaries: Canaries, kinds: str, agent: Agent) -> None:
    def get(output: str) -> str:
        more = ["--show-managed-fields"] if output in ("json", "yaml") else []
        return agent("get", kinds, "-o", output, *more)

    with ThreadPoolExecutor(4) as pool:
        for output, said in zip(OUTPUTS, pool.map(get, OUTPUTS), strict=True):
            assert "pod" in said, output
            assert canaries.in_(said) == [], output


def test_no_description_shows_one(canaries: Canaries, kinds: str, agent: Agent) -> None:
    said = agent("describe", kinds)
    assert said.count("Name:") > 30
    assert canaries.in_(said) == []


WATCHED = ["secrets", "configmaps", "pods", "events", "deployments", "canaries", "leases", "persistentvolumes"]


@pytest.mark.parametrize("output", ["json", "wide"])
def test_no_watch_shows_one(output: str, canaries: Canaries, kinds: str, agent: Agent) -> None:
    def watch(kind: str) -> str:
        return agent.run("get", kind, "-o", output, "--watch", "--request-timeout=1s").stdout

    with ThreadPoolExecutor(4) as pool:
        for kind, said in zip(WATCHED, pool.map(watch, WATCHED), strict=True):
            assert len(said) > 50, kind
            assert canaries.in_(said) == [], kind


def test_events_show_none(canaries: Canaries, kinds: str, agent: Agent) -> None:
    said = agent("events")
    assert "Failed to pull" in said
    assert canaries.in_(said) == []


def test_neither_logs_nor_a_command_show_one(
    canaries: Canaries, agent: Agent, admin: Kubectl, cluster: Cluster, gateway: GatewayEnv, oncall: Person
) -> None:
    pod, text = admin.run_pod("canaries"), canaries.plant(TEXT)
    (Path(cluster.state_dir) / "pod-files" / f"{pod}.env").write_text(text)
    with Path(cluster.pod_log).open("a") as log:
        log.writelines(f"2026-01-01T00:00:02Z stdout F {line}\n" for line in text.splitlines())
    assert canaries.in_(admin("logs", pod))
    said = agent("logs", pod)
    with agent.stream("exec", pod, "--", "cat", f"{pod}.env") as running:
        oncall.approves(gateway, pending(gateway, name=pod)["id"])
        code, printed = running.finish()
    assert code == 0
    for output in (said, printed):
        assert output.count("masked:v1:") >= len(text.splitlines())
        assert canaries.in_(output) == []


CHART = {
    "Chart.yaml": "apiVersion: v2\nname: canary\nversion: 0.1.0\n",
    "values.yaml": "db: {password: SECRET, url: 'postgres://a:SECRET@db'}\nenv: [{name: API_TOKEN, value: SECRET}]\n",
    "files/key.pem": "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n",
    "templates/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: chart}\n"
    "stringData:\n  password: {{ .Values.db.password }}\n  other: SECRET\n",
    "templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: chart}\n"
    "data:\n  url: {{ .Values.db.url }}\n  file: password=SECRET\n",
    "templates/hook.yaml": "apiVersion: v1\nkind: Secret\nmetadata:\n  name: hook\n"
    "  annotations: {helm.sh/hook: pre-install}\nstringData: {token: SECRET}\n",
    "templates/NOTES.txt": "Connect to amqp://user:SECRET@mq\n",
}


def test_a_release_of_helm_shows_none(
    canaries: Canaries, agent: Agent, admin: Kubectl, helm: Path, tmp_path: Path
) -> None:
    for name, text in CHART.items():
        (tmp_path / "canary" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "canary" / name).write_text(canaries.plant(text))

    def run(who: Kubectl, *words: str) -> subprocess.CompletedProcess[str]:
        env = {**who.environment(), "KUBECONFIG": who.kubeconfig, "HELM_CACHE_HOME": str(tmp_path)}
        command = [str(helm), *words, "--namespace", who.namespace]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)

    chart, typed = str(tmp_path / "canary"), canaries.plant("auth.token=SECRET")
    assert run(admin, "install", "canary", chart, "--set", typed).returncode == 0
    plain = run(admin, "get", "all", "canary").stdout
    shown = [run(agent, *words.split()) for words in ("list", "status canary", "get all canary", "history canary")]
    assert [done.returncode for done in shown] == [0] * 4, [done.stderr for done in shown]
    assert len(canaries.in_(plain)) > 5
    assert shown[2].stdout.count("masked:v1:") >= len(canaries.in_(plain))
    assert canaries.in_("".join(done.stdout + done.stderr for done in shown)) == []
    assert run(agent, "upgrade", "canary", chart, "--set", "replicas=2").returncode == 0
    for words in (["rollback", "canary", "1"], ["upgrade", "canary", chart, "--reuse-values"]):
        refused = run(agent, *words)
        assert refused.returncode != 0, words
        assert "masked-value-written" in refused.stderr, words
    assert run(admin, "get", "all", "canary", "--revision=1").stdout == plain
    assert "masked:v1:" not in run(admin, "get", "all", "canary").stdout
    assert run(agent, "uninstall", "canary").returncode == 0
    assert "NotFound" in admin.run("get", "secret", "chart").stderr
