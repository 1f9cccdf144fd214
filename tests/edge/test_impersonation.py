"""The gateway's own token for others: which there is, for how long, and what is refused."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from addons.core.connection import Connection
from addons.core.documents import parse_documents
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.edge.authority import open_authority
from addons.edge.credentials import Credentials, CredentialUnavailable
from addons.edge.impersonation import Impersonation
from addons.edge.own_credential import check_kubeconfigs
from tests.support.issuer import Clock

NOW = 1000.0
WHO = Identity(iss="https://idp", sub="alice", aud=("c",), exp=9e9)
GRANT = Grant(id="g", identity=WHO, connection="prod", role="user:agent:{sub}", not_before_at=NOW, expires_at=9e9)
VERSION = "client.authentication.k8s.io/v1"


@pytest.fixture
def ca(tmp_path: Path) -> str:
    return str(open_authority(tmp_path / "certs", datetime.datetime.now(datetime.UTC)).certificate_file)


def connection(folder: Path, ca: str, user: dict[str, Any]) -> Connection:
    file = folder / "own"
    contexts = [{"name": "c", "context": {"user": "gateway"}}]
    users = [{"name": "gateway", "user": user}]
    file.write_text(json.dumps({"users": users, "contexts": contexts, "current-context": "c"}))
    place: dict[str, Any] = {"host": "a", "port": 1, "address": ("a", 1), "server_name": "a", "ca_file": ca}
    return Connection(name="prod", kubeconfig=str(file), impersonates=True, **place)


def plugin(folder: Path, **status: str) -> dict[str, Any]:
    """A plugin whose token says how often it was run."""
    answer = json.dumps({"apiVersion": VERSION, "kind": "ExecCredential", "status": {"token": "tN", **status}})
    file = folder / "plugin"
    file.write_text(f"#!/bin/sh\ncd {folder}; echo >> runs; echo '{answer}' | sed s/tN/t$(wc -l < runs)/\n")
    file.chmod(0o755)
    return {"exec": {"apiVersion": VERSION, "command": "./plugin"}}


async def test_a_token_and_whom_it_is_for(tmp_path: Path, ca: str) -> None:
    minted = await Impersonation().mint(GRANT, connection(tmp_path, ca, {"token": "t"}), None, NOW)
    assert minted.bearer.token.reveal() == "t"
    assert minted.bearer.impersonated[0] == (b"impersonate-user", b"agent:alice")
    assert (minted.renew_at, minted.usable_until) == (NOW + 300, NOW + 600)


async def test_it_ends_before_the_plugins_answer_does(tmp_path: Path, ca: str) -> None:
    user = plugin(tmp_path, expirationTimestamp="1970-01-01T00:20:00Z")
    minted = await Impersonation(lambda: NOW).mint(GRANT, connection(tmp_path, ca, user), None, NOW)
    assert minted.usable_until == 1200 - 60


async def test_one_that_the_cluster_did_not_accept_is_asked_for_again(tmp_path: Path, ca: str, clock: Clock) -> None:
    used = connection(tmp_path, ca, plugin(tmp_path))
    credentials = Credentials({"prod": used}, {used.kind: Impersonation(clock).mint}, clock)
    other = replace(GRANT, id="other")
    first, same = await credentials.token(GRANT), await credentials.token(other)
    assert (first.token.reveal(), same.token.reveal()) == ("t1", "t1")
    clock.now += 11
    credentials.drop(GRANT, first)
    assert (await credentials.token(GRANT)).token.reveal() == "t2"


FAILURES = {
    "a certificate of a plugin": ({"clientCertificateData": "x", "clientKeyData": "x"}, GRANT.role, "not a pair"),
    "a name that is kept": ({}, "user:sys{sub}", "does not begin with system:"),
}


@pytest.mark.parametrize(("status", "role", "said"), FAILURES.values(), ids=FAILURES)
async def test_what_is_refused(status: dict[str, str], role: str, said: str, tmp_path: Path, ca: str) -> None:
    grant = replace(GRANT, role=role, identity=replace(WHO, sub="tem:admin"))
    with pytest.raises(CredentialUnavailable) as caught:
        await Impersonation().mint(grant, connection(tmp_path, ca, plugin(tmp_path, **status)), None, NOW)
    assert (said in caught.value.code, caught.value.may_pass) == (True, False)


DOCUMENT = """\
apiVersion: chaperone/v1
kind: Connection
metadata: {name: prod}
spec: {host: "a.test:443", caFile: ca.pem, impersonate: {kubeconfig: k}}
"""


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ({"client-certificate": "c", "client-key": "k"}, True),
        ({"client-certificate": "c", "client-key": "k", "token": "t"}, False),
        ({"tokenFile": "t"}, False),
        ({"exec": {"apiVersion": VERSION, "command": "x"}}, False),
    ],
)
def test_it_needs_a_token(user: dict[str, Any], found: bool, tmp_path: Path, ca: str) -> None:
    used = connection(tmp_path, ca, user)
    problems = check_kubeconfigs(parse_documents(DOCUMENT, "c.yaml")[0], {"prod": used})
    assert [problem.line for problem in problems] == [4] * found
    assert all("to impersonate it needs a token" in problem.message for problem in problems)
