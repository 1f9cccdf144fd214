"""`doctor` finds each mistake of a set-up that is right in every other way."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from addons.edge.authority import CERTIFICATE_FILE, KEY_FILE
from scripts.devenv import forkserver
from scripts.devenv.cluster import Cluster
from scripts.devenv.forkserver import CHAPERONE
from scripts.devenv.gateway_conf import Upstream, write_configuration

ROOT = Path(__file__).parents[2]


def doctor(conf: Path, env: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    return run("doctor", "--conf", str(conf), *more, env=env)


def run(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return forkserver.run(
        [*CHAPERONE, *arguments], cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | env,
    )  # fmt: skip


def test_nothing_is_wrong(cluster: Cluster, tmp_path: Path) -> None:
    conf, _ = write_configuration(Upstream.of(cluster), tmp_path, None, {})
    result = doctor(conf, dict(cluster.aws_env))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "FAIL" not in result.stdout
    assert "curl --noproxy" in result.stdout
    findings = json.loads(doctor(conf, dict(cluster.aws_env), "-o", "json").stdout)
    assert len(findings) == 9
    assert all(finding["ok"] for finding in findings)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda upstream: replace(upstream, address="127.0.0.1:1"), "connection development"),
        (lambda upstream: replace(upstream, server_name="other.test"), "connection development"),
        (lambda upstream: replace(upstream, issuer="http://127.0.0.1:1"), "identity provider people-and-agents"),
        (lambda upstream: replace(upstream, sts_endpoint="http://127.0.0.1:1"), "AWS credentials in us-east-1"),
    ],
    ids=["unreachable", "wrong name", "provider down", "STS down"],
)
def test_one_thing_is_wrong(
    change: Callable[[Upstream], Upstream], what: str, cluster: Cluster, tmp_path: Path
) -> None:
    conf, _ = write_configuration(change(Upstream.of(cluster)), tmp_path, None, {})
    findings = json.loads(doctor(conf, dict(cluster.aws_env), "-o", "json").stdout)
    assert [finding["what"] for finding in findings if not finding["ok"]] == [what]
    assert all(finding["remedy"] for finding in findings if not finding["ok"])


@pytest.mark.parametrize("command", [("doctor",), ("up", "--check")])
def test_a_malformed_kubeconfig_is_found_before_the_start(
    command: tuple[str, ...], cluster: Cluster, tmp_path: Path
) -> None:
    own, account = tmp_path / "own", "system:serviceaccount:default:x"
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "env": [{"value": "hunter2"}]}}
    contexts = [{"name": "c", "context": {"user": "gateway"}}]
    own.write_text(
        json.dumps({"contexts": contexts, "users": [{"name": "gateway", "user": user}], "current-context": "c"})
    )
    upstream = replace(Upstream.of(cluster), eks_cluster="", kubeconfig=str(own), roles={"agents": account})
    conf, _ = write_configuration(upstream, tmp_path, None, {})
    done = run(*command, "--conf", str(conf), env=dict(cluster.aws_env))
    said = " ".join((done.stdout + done.stderr).split())
    assert (done.returncode, "hunter2" in said) == (1, False), said
    assert "development.yaml:" in said
    assert f"{own}: user gateway: exec.env.0.name: Field required; write {{apiVersion: client" in said


def test_a_broken_authority_and_a_state_folder_that_cannot_be(cluster: Cluster, tmp_path: Path) -> None:
    conf, _ = write_configuration(Upstream.of(cluster), tmp_path, None, {})
    (tmp_path / "certs" / CERTIFICATE_FILE).write_text("nothing")
    (tmp_path / "certs" / KEY_FILE).write_text("nothing")
    result = doctor(conf, dict(cluster.aws_env))
    assert result.returncode == 1
    assert "FAIL  interception CA" in result.stdout


def test_rules_with_a_mistake_come_first(cluster: Cluster, tmp_path: Path) -> None:
    conf, _ = write_configuration(replace(Upstream.of(cluster), ca_file="/nowhere/ca.pem"), tmp_path, None, {})
    result = doctor(conf, dict(cluster.aws_env))
    assert result.returncode == 1
    assert "caFile /nowhere/ca.pem cannot be read" in result.stderr
