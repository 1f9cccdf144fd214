"""`chaperone connections add`: files that load, and what is left to do, as a new user meets them.

AWS is moto's server. Its clusters have random bytes for a CA, so that what a real one has is put in its answer's place.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from addons.cli import onboarding
from addons.core.connection import compile_connections
from addons.core.documents import parse_documents
from addons.edge.eks import describe_cluster
from scripts.devenv import forkserver
from scripts.devenv.cluster import Cluster
from scripts.devenv.forkserver import CHAPERONE
from scripts.devenv.places import REPOSITORY
from tests.support import servers

AWS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-central-1"}
ROLE = "arn:aws:iam::123456789012:role/agent-view"


def add(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return forkserver.run([*CHAPERONE, "connections", "add", *arguments], cwd=REPOSITORY, env=inherited | env)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with servers.moto() as port:
        url, keys = f"http://127.0.0.1:{port}", {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        client: Any = boto3.client("eks", region_name="eu-central-1", endpoint_url=url, **keys)
        client.create_cluster(name="prod", roleArn=ROLE, resourcesVpcConfig={"subnetIds": ["subnet-12345678"]})
        yield url


def test_what_aws_says_is_believed_only_if_it_can_be(moto: str, tmp_path: Path) -> None:
    asked: list[str | Path] = ["--region", "eu-central-1", "--endpoint-url", moto, "--folder", tmp_path]
    done = add("eks", "other", *asked, **AWS)
    assert (done.returncode, "AWS answers ResourceNotFoundException" in done.stderr) == (1, True), done.stderr
    done = add("eks", "prod", *asked, **AWS)
    assert (done.returncode, "its certificate authority is no certificate" in done.stderr) == (1, True), done.stderr
    done = add("eks", "prod", *asked, AWS_EC2_METADATA_DISABLED="true", HOME=str(tmp_path))
    assert (done.returncode, "AWS cannot be asked: Unable to locate credentials" in done.stderr) == (1, True), (
        done.stderr
    )
    assert not list(tmp_path.glob("*.yaml"))


@pytest.fixture
def registered(moto: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    ask = describe_cluster

    def described(*arguments: str) -> dict[str, Any]:
        ca = base64.b64encode(Path(cluster.api_ca).read_bytes()).decode()
        return {**ask(*arguments), "certificateAuthority": {"data": ca}, "endpoint": "https://ABC.eks.example"}

    monkeypatch.setattr(onboarding, "describe_cluster", described)
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    return moto


def test_an_eks_cluster_becomes_a_connection(
    registered: str, tmp_path: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    onboarding.eks(
        "prod", region="eu-central-1", endpoint_url=registered, role_arn=[ROLE], folder=tmp_path, output="json"
    )
    told = json.loads(capsys.readouterr().out)
    assert told["written"] == [str(tmp_path / "prod.yaml"), str(tmp_path / "prod-ca.pem")]
    assert (tmp_path / "prod-ca.pem").read_bytes() == Path(cluster.api_ca).read_bytes()
    documents, problems = parse_documents((tmp_path / "prod.yaml").read_text(), str(tmp_path / "prod.yaml"))
    assert problems == []
    connection = compile_connections(documents)[0]["prod"]
    assert (connection.host, connection.eks_cluster, connection.region) == ("abc.eks.example", "prod", "eu-central-1")
    permissions, trust, entries, groups, *_ = (step["with"] for step in told["next"])
    assert permissions["Statement"][0]["Resource"] == [ROLE]
    assert trust["Statement"][0]["Principal"]["AWS"].startswith("arn:aws:")
    assert ROLE in entries[-1]
    assert groups == ["chaperone:agent-view"]


def test_nothing_is_replaced_unasked(registered: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onboarding.eks("prod", region="eu-central-1", endpoint_url=registered, folder=tmp_path)
    told = capsys.readouterr().out
    assert f"wrote {tmp_path / 'prod.yaml'}" in told
    assert "chaperone connections check prod" in told
    with pytest.raises(FileExistsError, match="--force"):
        onboarding.eks("prod", region="eu-central-1", endpoint_url=registered, folder=tmp_path)
    onboarding.eks("prod", region="eu-central-1", endpoint_url=registered, folder=tmp_path, force=True)


def test_a_kubeconfigs_cluster_becomes_a_connection(cluster: Cluster, tmp_path: Path) -> None:
    done = add("kubeconfig", "dev", "--kubeconfig", cluster.admin_kubeconfig, "--folder", tmp_path)
    assert done.returncode == 0, done.stderr
    documents, _ = parse_documents((tmp_path / "dev.yaml").read_text(), str(tmp_path / "dev.yaml"))
    connection = compile_connections(documents)[0]["dev"]
    assert connection.kind == "serviceAccount"
    assert f"https://{connection.host}:{connection.port}" == cluster.api_url
    assert b"BEGIN CERTIFICATE" in (tmp_path / "dev-ca.pem").read_bytes()
    done = add("kubeconfig", "Not A Name", "--kubeconfig", cluster.admin_kubeconfig, "--folder", tmp_path)
    assert (done.returncode, "name" in done.stderr) == (1, True), done.stderr
