"""Credentials stay in memory while the gateway fails in every way that shows what it was doing, and when it crashes.

What all other tests left is searched by test_evidence_files.py.
"""

from __future__ import annotations

import json
import os
import resource
import secrets
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv, Upstream
from scripts.devenv.places import REPOSITORY
from scripts.devenv.processes import is_running
from tests.e2e.agent import Agent, Transcript, client, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.leaks import EKS_TOKEN, search
from tests.e2e.records import by_id, gateway_events
from tests.e2e.sts_switch import StsSwitch, sts_switch
from tests.e2e.test_evidence_files import flow_files, read_flows

PATH = "/api/v1/namespaces/default/configmaps"
FAULTS = {
    "addons.authentication:request_token": "the agent's token was read",
    "addons.edge.oidc:_verified": "its signature was checked",
    "addons.edge.sts:_StsClients.assume_role": "STS gave a session",
    "addons.edge.sts:presigned_token": "the token for the cluster was made",
    "addons.credentials:with_bearer": "it was put into a request",
    "addons.credential_removal:remove_credential": "it was taken off again",
}
PLANT = """
import asyncio, importlib, operator, pathlib, threading

AT = pathlib.Path({at!r})
kept = []


async def forgotten(credential):
    raise RuntimeError("planted in a task that nobody waits for")


def in_a_thread(credential):
    raise RuntimeError("planted in a thread")


def plant(where):
    module, _, path = where.partition(":")
    owner, _, name = path.rpartition(".")
    home = importlib.import_module(module)
    holder = operator.attrgetter(owner)(home) if owner else home
    real = getattr(holder, name)

    def faulty(*args, **kwargs):
        credential = real(*args, **kwargs)
        if AT.read_text() == where:
            threading.Thread(target=in_a_thread, args=(credential,)).start()
            try:
                asyncio.get_running_loop().create_task(forgotten(credential))
            except RuntimeError:
                pass
            raise RuntimeError("planted")
        return credential

    setattr(holder, name, faulty)


for where in {faults!r}:
    plant(where)
"""
"""A module that Python loads first of all. A fault is in the frame that has the credential, and has it at hand."""


@dataclass(frozen=True)
class Failing:
    """A gateway that fails where it is told to, and what must not be seen of it."""

    gateway: GatewayEnv
    at: Path
    own_secret: str
    sts: StsSwitch

    def leaked(self, tokens: list[str]) -> Callable[[bytes], bool]:
        """True for text with a credential: of an agent, of a role session, of a role, or the gateway's own."""
        parts = [part.encode() for token in tokens for part in token.split(".")[1:]]
        issued = [max(secret.replace("/", "+").split("+"), key=len).encode() for secret in self.sts.issued]
        return search(EKS_TOKEN, b"X-Amz-Signature", self.own_secret.encode(), *parts, *issued)


@pytest.fixture
def failing(gateways: Gateways, cluster: Cluster, tmp_path: Path) -> Iterator[Failing]:
    at, own_secret = tmp_path / "at", f"own-{secrets.token_hex(16)}"
    at.write_text("")
    (tmp_path / "sitecustomize.py").write_text(PLANT.format(at=str(at), faults=list(FAULTS)))
    with sts_switch(cluster.sts_endpoint_url) as sts:
        upstream = replace(Upstream.of(cluster), sts_endpoint=sts.url)
        env = {**upstream.env, "AWS_SECRET_ACCESS_KEY": own_secret, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
        verbose = {"PYTHONFAULTHANDLER": "1", "PYTHONASYNCIODEBUG": "1"}
        gateway = gateways.start("failing", replace(upstream, env=env | verbose), {"log_level": "debug"})
        yield Failing(gateway, at, own_secret, sts)


def answer_of(gateway: GatewayEnv, token: str) -> tuple[int, str]:
    """The code and all of the text that a caller gets; 0 if the connection is closed instead."""
    try:
        with client(gateway, token) as http:
            reply = http.get(PATH)
    except httpx.RemoteProtocolError as error:
        return 0, str(error)
    return reply.status_code, f"{reply.headers} {reply.text}"


def all_told(gateway: GatewayEnv) -> bool:
    """Whether all that was asked is on record to its end, flow records included."""
    ends = [events[-1]["stage"] in ("ResponseComplete", "Panic") for events in by_id(gateway_events(gateway)).values()]
    return all(ends) and sum(1 for file in flow_files([gateway]) for _ in read_flows(file)) == len(ends)


def written_by(gateway: GatewayEnv) -> list[Path]:
    """Its log, and all files that it wrote; not the kubeconfigs of agents."""
    return [gateway.log, *(path for path in gateway.state_dir.rglob("*") if path.is_file())]


def test_b83_faults_and_crashes_show_no_credential(
    failing: Failing, mint: Callable[..., str], transcript: Transcript
) -> None:
    gateway, tokens, said = failing.gateway, [], []
    for number, where in enumerate(["", *FAULTS]):
        failing.at.write_text(where)
        tokens.append(mint(f"unlucky-{number}", groups=["agents-view"]))
        Agent.of(gateway, transcript, f"unlucky-{number}", tokens[-1])
        code, text = answer_of(gateway, tokens[-1])
        said.append(text)
        assert (code == 200) == (where == ""), where
    failing.at.write_text("")
    faults = gateway.log.read_text()
    assert faults.count("planted") >= len(FAULTS), "they are told, with where they were"
    assert "Traceback" in faults
    assert "planted in a thread" in faults
    assert "planted in a task" in faults

    eventually("the end of each request on record", lambda: all_told(gateway))
    assert resource.prlimit(gateway.child.pid, resource.RLIMIT_CORE) == (0, 0)
    os.kill(gateway.child.pid, signal.SIGABRT)
    eventually("its end", lambda: not is_running(gateway.child))
    crash = gateway.log.read_text().removeprefix(faults)
    assert "Fatal Python error: Aborted" in crash
    assert "most recent call first" in crash

    assert len(failing.sts.issued) >= 4
    leaked = failing.leaked(tokens)
    assert leaked(failing.sts.issued[0].encode()), "the search finds them"
    assert leaked(b"{" + json.dumps(tokens[0]).encode())
    assert [path for path in written_by(gateway) if leaked(path.read_bytes())] == []
    assert [text for text in said if leaked(text.encode())] == []
    assert [*Path.cwd().glob("core*"), *gateway.folder.rglob("core*")] == [], "no dump of its memory"
