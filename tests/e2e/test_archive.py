"""An archiver beside a gateway: what kubectl did is in the bucket, while it happens and after kill -9, and verifies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from addons.cli import audit
from scripts.devenv import forkserver
from scripts.devenv.forkserver import CHAPERONE
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.processes import Child, is_running
from tests.e2e.agent import Agent, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.leaks import core
from tests.e2e.people import Person, pending
from tests.e2e.secret_objects import secret
from tests.support.archives import REGION, Aws, aws, files
from tests.support.aws import AWS_ENV
from tests.support.kubernetes import Kubectl

SOON = 60.0


@pytest.fixture(scope="module")
def cloud() -> Iterator[Aws]:
    with aws() as running:
        yield running


@pytest.fixture(scope="module")
def archived(gateways: Gateways, cloud: Aws) -> GatewayEnv:
    settings = {
        "hold_seconds": 10,
        "archive_bucket": cloud.bucket(),
        "archive_prefix": "gateway-1/",
        "archive_region": REGION,
        "archive_endpoint": cloud.gate.url,
        "archive_lock": "compliance",
        "archive_retention_days": 30,
        "archive_seconds": 1,
    }
    return gateways.start("archived", settings=settings)


def start(gateway: GatewayEnv) -> Child:
    words = [*CHAPERONE, "archive", "--follow", "--conf", str(gateway.conf)]
    return forkserver.spawn("archiver", words, gateway.folder / "archiver.log", env=AWS_ENV)


def test_what_agents_do_is_in_the_bucket_and_verifies_elsewhere(
    archived: GatewayEnv, cloud: Aws, as_user: Callable[..., Agent], admin: Kubectl, oncall: Person,
    plant: Callable[[], str], tmp_path: Path,
) -> None:  # fmt: skip
    worker, value = as_user(archived, "archived", "agents").within(admin.namespace), plant()
    archiver, pod = start(archived), admin.run_pod("archived")
    try:
        admin("apply", "-f", "-", stdin=secret("archived", password=value))
        worker("get", "secret", "archived", "-o", "yaml")
        with worker.stream("exec", pod, "--", "echo", "for the archive") as running:
            oncall.approves(archived, pending(archived, name=pod)["id"])
            assert running.finish()[0] == 0
        os.kill(archiver.pid, signal.SIGKILL)
        eventually("its end", lambda: not is_running(archiver))
        cloud.gate.shut()
        archiver = start(archived)
        worker("get", "pods")
        cloud.gate.open()
        eventually("a part of it in the bucket", lambda: cloud.versions(bucket(archived)), SOON)
        archived.stop()
    finally:
        os.kill(archiver.pid, signal.SIGTERM)
        eventually("its end", lambda: not is_running(archiver), SOON)
    copy = tmp_path / "copy"
    eventually("nothing waits", lambda: "wait" not in command(archived, "--once"), SOON)
    command(archived, "fetch", str(copy))
    assert audit.verify(copy) == 0
    ours, theirs = files(archived.state_dir), files(copy)
    assert {name: theirs.get(name) for name in ours} == ours
    assert any(name.endswith(".cast") for name in ours), sorted(ours)
    keys = [each["Key"] for each in cloud.versions(bucket(archived))]
    bodies = [cloud.s3.get_object(Bucket=bucket(archived), Key=key)["Body"].read() for key in keys]
    assert bodies and not any(core(value) in each or worker.token.encode() in each for each in bodies)


def command(gateway: GatewayEnv, *words: str) -> str:
    """`chaperone archive …`; what it printed."""
    done = forkserver.run(
        [*CHAPERONE, "archive", *words, "--conf", gateway.conf], env={**os.environ, **AWS_ENV}, timeout=SOON
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def bucket(gateway: GatewayEnv) -> str:
    """Where its evidence goes."""
    return str(yaml.safe_load(gateway.conf.read_text())["archive_bucket"])
