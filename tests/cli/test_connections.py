"""`chaperone connections`: what the operator sees of clusters and roles, and each mistake between them."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.devenv import forkserver
from scripts.devenv.cluster import Cluster
from scripts.devenv.forkserver import CHAPERONE
from scripts.devenv.gateway_conf import Upstream, write_configuration
from scripts.devenv.places import REPOSITORY
from tests.support.kubernetes import Kubectl

ACCOUNT = "system:serviceaccount:default:checked"


def connections(conf: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return forkserver.run(
        [*CHAPERONE, "connections", *arguments, f"--conf={conf}"], cwd=REPOSITORY, env=inherited | env
    )


def checked(upstream: Upstream, folder: Path, *names: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit status, and what was found."""
    conf, _ = write_configuration(upstream, folder, None, {})
    done = connections(conf, "check", *names, "-o", "json", **upstream.env)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def upstream(cluster: Cluster) -> Upstream:
    return Upstream.of(cluster, {"agents": "admin", "agents-view": "view"})


def test_every_role_is_tried(upstream: Upstream, tmp_path: Path) -> None:
    code, found = checked(upstream, tmp_path)
    assert code == 0, found
    assert [each["what"].split()[0] for each in found] == ["connection", "role", "role"]
    assert "role/agent-admin/" in found[1]["detail"] or "agent-admin" in found[1]["detail"]
    assert "chaperone:admin" in found[1]["detail"]


def test_a_service_account_too(cluster: Cluster, kubectl: Kubectl, upstream: Upstream, tmp_path: Path) -> None:
    kubectl("create", "serviceaccount", "checked")
    other = replace(upstream, eks_cluster="", kubeconfig=cluster.admin_kubeconfig, roles={"agents": ACCOUNT})
    code, found = checked(other, tmp_path)
    assert (code, f"the cluster knows it as {ACCOUNT} of" in found[1]["detail"]) == (0, True), found
    kubectl("delete", "serviceaccount", "checked")
    code, found = checked(other, tmp_path)
    assert (code, found[1]["detail"]) == (1, "no credential for development: NotFound")
    assert "is there this service account" in found[1]["remedy"]


def test_who_may_not_impersonate_is_told_what_to_give(
    cluster: Cluster, kubectl: Kubectl, upstream: Upstream, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    user = {"token": kubectl("create", "token", "default").strip()}
    contexts = [{"name": "c", "context": {"user": "u"}}]
    own.write_text(json.dumps({"contexts": contexts, "users": [{"name": "u", "user": user}], "current-context": "c"}))
    other = replace(upstream, eks_cluster="", kubeconfig=str(own), impersonates=True, roles={"agents": "user:agent"})
    code, found = checked(other, tmp_path)
    assert (code, "cannot impersonate" in found[1]["detail"]) == (1, True), found
    assert "prod.yaml.example" in found[1]["remedy"]


WRONG = {
    "a role that may not be assumed": (
        lambda upstream: replace(upstream, roles={"agents": "arn:aws:iam::123456789012:role/not-for-us"}),
        "AccessDenied", "sts:AssumeRole",
    ),
    "a cluster of another name": (
        lambda upstream: replace(upstream, eks_cluster="another"),
        "does not accept it", "map arn:aws:iam::123456789012:role/agent-view in the cluster: by an EKS access entry",
    ),
    "a cluster that is away": (
        lambda upstream: replace(upstream, address="127.0.0.1:1"), "refused", "is the API server reachable",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "detail", "remedy"), WRONG.values(), ids=WRONG)
def test_each_mistake_has_its_sentence(
    change: Any, detail: str, remedy: str, upstream: Upstream, tmp_path: Path
) -> None:
    code, found = checked(change(upstream), tmp_path)
    assert code == 1
    last = found[-1]
    assert (detail in last["detail"], remedy in last["remedy"]) == (True, True), last


def test_they_are_listed(upstream: Upstream, tmp_path: Path) -> None:
    conf, _ = write_configuration(upstream, tmp_path, None, {})
    (listed,) = json.loads(connections(conf, "list", "-o", "json").stdout)
    assert (listed["name"], listed["host"], listed["kind"]) == ("development", upstream.host, "eks")
    assert connections(conf, "list").stdout == f"development  {upstream.host}  eks  standard\n"


def test_a_name_that_nobody_knows(upstream: Upstream, tmp_path: Path) -> None:
    conf, _ = write_configuration(upstream, tmp_path, None, {})
    done = connections(conf, "check", "nowhere")
    assert (done.returncode, "there is no connection nowhere; there is: development" in done.stderr) == (1, True)


def test_people_see_each_finding_as_it_is_made(upstream: Upstream, tmp_path: Path) -> None:
    conf, _ = write_configuration(upstream, tmp_path, None, {})
    done = connections(conf, "check", "development", **upstream.env)
    assert [line[:4] for line in done.stdout.splitlines()] == ["ok  ", "ok  ", "ok  "]
