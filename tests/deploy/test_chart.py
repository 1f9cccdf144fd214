"""The chart: rendered by the real helm, and accepted by the real API server under Pod Security `restricted`."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from addons.core.connection import compile_connections
from addons.core.documents import parse_documents
from addons.settings import read_settings
from scripts.devenv.cluster import Cluster
from scripts.devenv.places import REPOSITORY
from tests.support.kubernetes import Kubectl

CHART = REPOSITORY / "deploy" / "chart"
README = (REPOSITORY / "deploy" / "README.md").read_text()
RULES: dict[str, Any] = {
    "rules": {"connections.yaml": "apiVersion: chaperone/v1\nkind: Connection\n"},
    "clusterCAs": {"prod.pem": "-----BEGIN CERTIFICATE-----\n"},
}
CSI = {"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"secretProviderClass": "chaperone-ca"}}
VARIANTS: dict[str, Mapping[str, Any]] = {
    "minimal": {},
    "secret": {"ca": {"source": "secret", "secretName": "chaperone-ca"}},
    "csi": {"ca": {"source": "csi", "csi": CSI}},
    "kubeconfigs": {"kubeconfigs": {"existingSecret": "own.kubeconfigs"}},
    "console": {"console": {"tlsSecret": "console-tls", "port": 8443}},
    "pipelines": {"pipelines": {"enabled": True, "existingSecret": "siem"}},
    "archive": {
        "config": {"archive_bucket": "acme-evidence", "archive_lock": "compliance", "archive_retention_days": 400,
                   "archive_keys": ["file:/etc/chaperone/archive/key"]},
        "archive": {"keysSecret": "archive-keys"},
    },
    "everything": {
        "kubeconfigs": {"existingSecret": "chaperone-kubeconfigs"},
        "config": {"workers": 4, "hold_seconds": 5, "log_level": "warning"},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/chaperone"}},
        "service": {"type": "LoadBalancer", "port": 443, "tlsPort": 8443, "annotations": {"a/b": "c"}},
        "persistence": {"size": "1Ti", "storageClassName": "gp3"},
        "maxUnavailable": 0,
        "networkPolicy": {
            "extraIngress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": "proxy"}]}],
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"port": 6443}]}],
            "monitoring": {"app": "prometheus"},
        },
        "agents": {"extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.2/32"}}]}]},
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"role": "gateway"},
        "tolerations": [{"key": "gateway", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "podAnnotations": {"x": "y"},
        "extraEnv": [{"name": "AWS_REGION", "value": "eu-central-1"}],
        "image": {"repository": "registry.test/chaperone", "tag": "1.2.3", "pullPolicy": "Always"},
    },
}  # fmt: skip
Command = list[str | Path]
Objects = dict[str, dict[str, Any]]
Render = Callable[..., Objects]


@pytest.fixture
def values_file(tmp_path: Path) -> Callable[..., Path]:
    def write(**values: Any) -> Path:
        file = tmp_path / "values.yaml"
        file.write_text(json.dumps({**RULES, **values}))
        return file

    return write


@pytest.fixture
def render(helm: Path, values_file: Callable[..., Path]) -> Render:
    """`render(namespace, **values)`: the objects by kind, or kind and name where there are several."""

    def rendered(namespace: str = "gw", **values: Any) -> Objects:
        command: Command = [
            helm,
            "template",
            "chaperone",
            CHART,
            "--namespace",
            namespace,
            "--values",
            values_file(**values),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found: Objects = {}
        for each in filter(None, yaml.safe_load_all(done.stdout)):
            key = each["kind"] if each["kind"] not in found else f"{each['kind']}/{each['metadata']['name']}"
            found[key] = each
        return found

    return rendered


@pytest.fixture
def restricted(kubectl: Kubectl) -> Iterator[Kubectl]:
    """A namespace that refuses what Pod Security `restricted` refuses, and warns of it in templates."""
    name = f"deploy-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    modes = (f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn"))
    kubectl("label", "namespace", name, *modes)
    yield kubectl.within(name)
    kubectl("delete", "namespace", name, "--wait=false")


def try_all(kubectl: Kubectl, *objects: Mapping[str, Any]) -> str:
    """What the API server says against these objects; it stores none of them."""
    flags = ("--server-side", "--dry-run=server", "--validate=strict", "--warnings-as-errors")
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    done = kubectl.run("apply", *flags, "-f", "-", stdin=text)
    return done.stderr if done.returncode else ""


def pod_of(deployment: Mapping[str, Any]) -> dict[str, Any]:
    template = deployment["spec"]["template"]
    metadata = {"name": "try", **template["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


@pytest.mark.parametrize("variant", VARIANTS)
def test_lint(variant: str, helm: Path, values_file: Callable[..., Path]) -> None:
    command: Command = [helm, "lint", "--strict", CHART, "--values", values_file(**VARIANTS[variant])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_api_server_takes_every_object(variant: str, render: Render, restricted: Kubectl) -> None:
    values = {**VARIANTS[variant]}
    values["agents"] = {**values.get("agents", {}), "namespaces": [restricted.namespace]}
    objects = render(restricted.namespace, **values)
    assert {key.partition("/")[0] for key in objects} == {
        "ConfigMap", "Deployment", "NetworkPolicy", "PersistentVolumeClaim", "PodDisruptionBudget", "Service",
        "ServiceAccount",
    }  # fmt: skip
    assert try_all(restricted, *objects.values()) == ""
    restricted.apply(objects["ServiceAccount"])  # without it no pod is looked at
    assert try_all(restricted, pod_of(objects["Deployment"])) == ""


@pytest.mark.parametrize(
    "change",
    [{"privileged": True, "allowPrivilegeEscalation": True}, {"runAsUser": 0}, {"allowPrivilegeEscalation": True}],
    ids=json.dumps,
)
def test_restricted_means_something(change: dict[str, Any], render: Render, restricted: Kubectl) -> None:
    deployment = render(restricted.namespace)["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"] |= change
    restricted("create", "serviceaccount", "chaperone")
    assert "violate PodSecurity" in try_all(restricted, deployment)
    assert "violates PodSecurity" in try_all(restricted, pod_of(deployment))


def test_helm_installs_it_and_an_uninstall_keeps_the_evidence(
    helm: Path, values_file: Callable[..., Path], restricted: Kubectl, cluster: Cluster, tmp_path: Path
) -> None:
    def run(*arguments: str | Path) -> None:
        env = {"KUBECONFIG": cluster.admin_kubeconfig, "HOME": str(tmp_path), "PATH": ""}
        command = [helm, *arguments, "--namespace", restricted.namespace]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stderr

    values = values_file(agents={"namespaces": [restricted.namespace]})
    for _ in ("install", "upgrade"):
        run("upgrade", "--install", "chaperone", CHART, "--values", values)
    assert restricted.get("deployment", "chaperone")["spec"]["replicas"] == 1
    run("uninstall", "chaperone")
    assert restricted("get", "deployment", "-o", "name") == ""
    assert restricted("get", "persistentvolumeclaim", "-o", "name").strip() == "persistentvolumeclaim/chaperone"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gateway_takes_its_settings_and_writes_only_where_it_may(
    variant: str, render: Render, tmp_path: Path
) -> None:
    objects = render(**VARIANTS[variant])
    conf = tmp_path / "mitm.conf"
    conf.write_text(objects["ConfigMap"]["data"]["mitm.conf"])
    settings, problems = read_settings(conf)
    assert problems == []
    assert settings.workers == VARIANTS[variant].get("config", {}).get("workers", 1)
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["name"] == "gateway"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert {path for path, read_only in mounts.items() if not read_only} == {"/var/lib/chaperone", "/tmp"}
    assert Path(settings.state).is_relative_to("/var/lib/chaperone")
    certs = Path(settings.certs)
    assert mounts.get(str(certs), False) or certs.is_relative_to("/var/lib/chaperone")
    assert "/etc/chaperone/rules" in settings.rules
    assert "/etc/chaperone/rules" in mounts
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    tls = {"proxy-tls": settings.tls_listen_port} if settings.tls_listen_port is not None else {}
    assert ports == {"proxy": settings.listen_port, "health": settings.health_port, **tls}
    named = {port["name"] for each in pod["containers"] for port in each.get("ports", ())}
    assert {port["name"]: port["targetPort"] for port in objects["Service"]["spec"]["ports"]} == {
        name: name for name in named if name != "health"
    }
    assert settings.listen_host == settings.health_host == "0.0.0.0"
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: (probe["path"], probe["port"]) for name, probe in probes.items()} == {
        "startup": ("/healthz", "health"), "liveness": ("/healthz", "health"), "readiness": ("/readyz", "health"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({}, ["chaperone", "chaperone.gw", "chaperone.gw.svc", "chaperone.gw.svc.cluster.local"]),
        ({"tls_names": ["gateway.example.com"]}, ["gateway.example.com"]),
        ({"tls_certificate": "/tls/tls.crt", "tls_key": "/tls/tls.key"}, []),
    ],
    ids=["its own", "others", "a certificate"],
)
def test_the_port_that_speaks_tls(config: dict[str, Any], names: list[str], render: Render, tmp_path: Path) -> None:
    objects = render("gw", config=config, service={"tlsPort": 443}, agents={"namespaces": ["team-a"]})
    (tmp_path / "mitm.conf").write_text(objects["ConfigMap"]["data"]["mitm.conf"])
    settings, problems = read_settings(tmp_path / "mitm.conf")
    assert (problems, settings.tls_listen_port, settings.tls_names) == ([], 8443, names)
    policies = [each["spec"] for each in objects.values() if each["kind"] == "NetworkPolicy"]
    [inside, outside] = sorted(policies, key=lambda spec: "ingress" in spec)
    assert inside["egress"][1]["ports"] == [{"port": 8080}, {"port": 8443}]
    assert outside["ingress"][0]["ports"] == [{"port": "proxy"}, {"port": "proxy-tls"}]


def test_the_console_is_a_process_of_its_own_beside_the_gateway(render: Render, tmp_path: Path) -> None:
    objects = render("gw", console={"tlsSecret": "web-tls"}, agents={"namespaces": ["team-a"]})
    (tmp_path / "mitm.conf").write_text(objects["ConfigMap"]["data"]["mitm.conf"])
    settings, problems = read_settings(tmp_path / "mitm.conf")
    assert (problems, settings.console_host, settings.console_port) == ([], "0.0.0.0", 8083)
    assert settings.console_certificate == "/etc/chaperone/console/tls.crt"
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    gateway, console = pod["containers"]
    assert (gateway["name"], console["command"]) == ("gateway", ["chaperone", "console"])
    assert gateway["securityContext"] == console["securityContext"]
    mounted = {each["name"] for each in console["volumeMounts"]}
    assert mounted - {each["name"] for each in gateway["volumeMounts"]} == {"console-tls"}
    [port] = [each for each in objects["Service"]["spec"]["ports"] if each["name"] == "console"]
    assert port == {"name": "console", "port": 443, "targetPort": "console"}
    assert "console" not in {each["name"] for each in render()["Deployment"]["spec"]["template"]["spec"]["containers"]}


def test_pipelines_are_shipped_by_a_process_of_its_own(render: Render) -> None:
    pod = render("gw", pipelines={"enabled": True, "existingSecret": "siem"})["Deployment"]["spec"]["template"]["spec"]
    gateway, ship = pod["containers"]
    assert (ship["command"], ship["args"]) == (["chaperone", "ship"], ["--conf", "/etc/chaperone/mitm.conf"])
    assert gateway["securityContext"] == ship["securityContext"]
    mounted = {each["name"]: each["mountPath"] for each in ship["volumeMounts"]}
    assert mounted.keys() == {"config", "rules", "pipelines", "state", "tmp"}, "no certificate, no credential"
    assert mounted["pipelines"] == "/etc/chaperone/pipelines"
    assert {"name": "pipelines", "secret": {"secretName": "siem", "defaultMode": 0o440}} in pod["volumes"]
    assert "pipelines" not in {each["name"] for each in gateway["volumeMounts"]}
    without = render("gw", pipelines={"enabled": False, "existingSecret": "siem"})["Deployment"]["spec"]["template"][
        "spec"
    ]
    assert "pipelines" not in {each["name"] for each in without["volumes"]}


@pytest.mark.parametrize(
    ("values", "restarts"),
    [
        ({"rules": {"x.yaml": "other\n"}}, False),
        ({"config": {"workers": 3}}, True),
        ({"clusterCAs": {"prod.pem": "-----BEGIN CERTIFICATE-----\nother\n"}}, True),
    ],
    ids=["rules", "config", "clusterCAs"],
)
def test_only_what_it_starts_with_makes_a_new_pod(values: dict[str, Any], restarts: bool, render: Render) -> None:
    assert (render()["Deployment"] != render(**values)["Deployment"]) is restarts


def test_kubeconfigs_are_files_that_only_the_gateway_reads(render: Render) -> None:
    pod = render(kubeconfigs={"existingSecret": "own"})["Deployment"]["spec"]["template"]["spec"]
    [volume] = [each for each in pod["volumes"] if each["name"] == "kubeconfigs"]
    assert volume == {"name": "kubeconfigs", "secret": {"secretName": "own", "defaultMode": 0o440}}, "not optional"
    [container] = pod["containers"]
    [mount] = [each for each in container["volumeMounts"] if each["name"] == "kubeconfigs"]
    where = {"mountPath": "/etc/chaperone/kubeconfigs", "readOnly": True}
    assert mount == {"name": "kubeconfigs", **where}, "without a subPath, which would keep it from changing"
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"] == 65532


def test_without_a_secret_of_kubeconfigs_nothing_is_mounted(render: Render) -> None:
    assert "kubeconfigs" not in json.dumps(render()["Deployment"])


def test_the_archiver_is_beside_the_gateway_where_there_is_an_archive(render: Render, tmp_path: Path) -> None:
    pod = render(**VARIANTS["archive"], extraEnv=[{"name": "AWS_REGION", "value": "eu-central-1"}])
    spec = pod["Deployment"]["spec"]["template"]["spec"]
    gateway, archiver = spec["containers"]
    assert [*archiver["command"], *archiver["args"]] == [
        "chaperone", "archive", "--follow", "--conf", "/etc/chaperone/mitm.conf",
    ]  # fmt: skip
    assert archiver["env"] == gateway["env"]
    mounts = {mount["name"]: mount["mountPath"] for mount in archiver["volumeMounts"]}
    assert mounts.items() <= {mount["name"]: mount["mountPath"] for mount in gateway["volumeMounts"]}.items()
    (tmp_path / "mitm.conf").write_text(pod["ConfigMap"]["data"]["mitm.conf"])
    settings, problems = read_settings(tmp_path / "mitm.conf")
    assert problems == []
    assert settings.archive is not None
    assert str(Path(settings.archive.keys[0].removeprefix("file:")).parent) == mounts["archive-keys"]
    assert len(render()["Deployment"]["spec"]["template"]["spec"]["containers"]) == 1


def test_the_readme_names_where_they_are(render: Render) -> None:
    """Its example is values of the chart, and the Connection in it is one that the gateway takes."""
    [example] = [text for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "kubeconfigs:" in text]
    values = yaml.safe_load(example)
    [container] = render(**values)["Deployment"]["spec"]["template"]["spec"]["containers"]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    documents, problems = parse_documents(values["rules"]["staging.yaml"], "staging.yaml")
    connections, mistakes = compile_connections(documents)
    assert [*problems, *mistakes] == []
    assert str(Path(connections["staging"].kubeconfig).parent) in mounts


def test_agents_reach_names_and_the_gateway_and_nothing_else(render: Render) -> None:
    objects = render("gw", agents={"namespaces": ["team-a", "team-b"]})
    policies = [each for each in objects.values() if each["kind"] == "NetworkPolicy"]
    ours = [each for each in policies if each["metadata"].get("namespace")]
    assert [each["metadata"]["namespace"] for each in ours] == ["team-a", "team-b"]
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for policy in ours:
        spec = policy["spec"]
        assert (spec["podSelector"], spec["policyTypes"]) == ({}, ["Egress"])
        dns, gateway = spec["egress"]
        assert {port["port"] for port in dns["ports"]} == {53}
        [to] = gateway["to"]
        assert to["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "gw"}}
        assert to["podSelector"]["matchLabels"].items() <= labels.items()
        assert gateway["ports"] == [{"port": 8080}]
    [gate] = [each for each in policies if each not in ours]
    [entrance] = gate["spec"]["ingress"]
    assert entrance["ports"] == [{"port": "proxy"}]
    assert entrance["from"][0]["namespaceSelector"]["matchExpressions"][0]["values"] == ["team-a", "team-b"]


def test_without_agents_nobody_gets_in(render: Render) -> None:
    assert not render()["NetworkPolicy"]["spec"]["ingress"]


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 2},
        {"config": {"listen_port": 1}},
        {"config": {"tls_listen_port": 1}},
        {"config": {"state": "/tmp"}},
        {"ca": {"source": "secret"}},
        {"ca": {"source": "csi", "csi": {}}},
        {"ca": {"source": "none"}},
        {"rules": {"connections.yml": "x"}},
        {"clusterCAs": {"prod.pem": "nothing"}},
        {"maxUnavailable": 2},
        {"kubeconfigs": {"existingSecret": "Not_a_name"}},
        {"kubeconfigs": {"existingSecret": "a}, hostPath: {path: /"}},
        {"kubeconfigs": {"files": {"staging.yaml": "token"}}},
    ],
    ids=json.dumps,
)
def test_values_with_a_mistake_are_refused(
    values: dict[str, Any], helm: Path, values_file: Callable[..., Path]
) -> None:
    command: Command = [helm, "template", "chaperone", CHART, "--values", values_file(**values)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr
