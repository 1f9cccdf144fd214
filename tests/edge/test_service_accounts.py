"""Tokens of service accounts from the real API server, made with every kind of credential of a kubeconfig."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from addons.core.authorization import Bearer
from addons.core.connection import Connection
from addons.core.documents import parse_documents
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.secret import Secret
from addons.edge.api_server import ApiServer
from addons.edge.connection_check import check_roles
from addons.edge.credentials import CredentialUnavailable, Minted, Minter
from addons.edge.own_credential import check_kubeconfigs
from addons.edge.probes import Finding, _own
from addons.edge.service_accounts import ServiceAccountTokens
from scripts.devenv.cluster import Cluster
from tests.support.kubernetes import Kubectl

SERVER = "api.cluster.test"
EXEC = "client.authentication.k8s.io/v1"
NAMESPACE = "minted"
MINTER = """
- {apiVersion: v1, kind: Namespace, metadata: {name: minted}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: agent, namespace: minted}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: minter, namespace: minted}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody, namespace: minted}}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: Role
  metadata: {name: minter, namespace: minted}
  rules: [{apiGroups: [""], resources: [serviceaccounts/token], resourceNames: [agent], verbs: [create]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  metadata: {name: minter, namespace: minted}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: minter}
  subjects: [{kind: ServiceAccount, name: minter, namespace: minted}]
"""


@dataclass(frozen=True, slots=True)
class World:
    """The cluster, what users of kubeconfigs look like in it, and a folder for them."""

    cluster: Cluster
    admin: dict[str, Any]
    minter: str
    nobody: str
    folder: Path

    def connection(self, user: dict[str, Any], **fields: Any) -> Connection:
        """The connection whose kubeconfig has this user."""
        file = self.folder / "kubeconfig"
        file.write_text(json.dumps(_kubeconfig(user)))
        port = urlsplit(self.cluster.api_url).port or 443
        values = {"name": "prod", "host": SERVER, "port": port, "address": ("127.0.0.1", port), "server_name": SERVER,
                  "ca_file": self.cluster.api_ca, "kubeconfig": str(file), **fields}  # fmt: skip
        return Connection(**values)


def _kubeconfig(user: dict[str, Any]) -> dict[str, Any]:
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    return {"users": [{"name": "u", "user": user}], "contexts": [context], "current-context": "c"}


@pytest.fixture(scope="module")
def made(cluster: Cluster, kubectl: Kubectl) -> Iterator[tuple[str, str]]:
    items = yaml.safe_load(MINTER)
    kubectl.apply(items[0])
    kubectl.within(NAMESPACE).apply(*items[1:])
    yield tuple(kubectl("create", "token", name, f"--namespace={NAMESPACE}").strip() for name in ("minter", "nobody"))  # type: ignore[misc]
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def world(cluster: Cluster, made: tuple[str, str], tmp_path: Path) -> World:
    document = yaml.safe_load(Path(cluster.admin_kubeconfig).read_text())
    return World(cluster, document["users"][0]["user"], *made, tmp_path)


@pytest.fixture
def tokens() -> ServiceAccountTokens:
    return ServiceAccountTokens()


def grant(name: str = "agent", ends_in: float = 900) -> Grant:
    who = Identity(iss="https://idp", sub="a", aud=("c",), exp=time.time() + 7200)
    role = f"system:serviceaccount:{NAMESPACE}:{name}"
    return Grant(
        id="g", identity=who, connection="prod", role=role, not_before_at=time.time(), expires_at=time.time() + ends_in
    )


def plugin(folder: Path, answer: str, code: int = 0) -> dict[str, Any]:
    file = folder / "plugin"
    lines = [f'echo "$KUBERNETES_EXEC_INFO" > {folder}/asked', "cat <<'END'", answer, "END", f"exit {code}", ""]
    file.write_text("\n".join(["#!/bin/sh", *lines]))
    file.chmod(0o755)
    env = [{"name": "WHO", "value": "the gateway"}]
    return {"exec": {"apiVersion": EXEC, "command": str(file), "args": ["x"], "env": env}}


def credential(**status: str) -> str:
    return json.dumps({"apiVersion": EXEC, "kind": "ExecCredential", "status": status})


def inline(user: dict[str, Any]) -> dict[str, Any]:
    return {
        f"client-{what}-data": base64.b64encode(Path(user[f"client-{what}"]).read_bytes()).decode()
        for what in ("certificate", "key")
    }


USERS = {
    "a token": lambda world: {"token": world.minter},
    "a token in a file": lambda world: {"tokenFile": _file(world.folder / "token", world.minter)},
    "a token in a file beside it": lambda world: {"tokenFile": Path(_file(world.folder / "token", world.minter)).name},
    "a client certificate": lambda world: world.admin,
    "a client certificate in it": lambda world: inline(world.admin),
    "a plugin with a token": lambda world: plugin(world.folder, credential(token=world.minter)),
    "a plugin with a certificate": lambda world: plugin(
        world.folder,
        credential(
            clientCertificateData=Path(world.admin["client-certificate"]).read_text(),
            clientKeyData=Path(world.admin["client-key"]).read_text(),
        ),
    ),
}


def _file(path: Path, text: str) -> str:
    path.write_text(f"{text}\n")
    return str(path)


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
async def test_every_kind_of_user(user: Any, world: World, tokens: ServiceAccountTokens) -> None:
    connection, now = world.connection(user(world)), time.time()
    minted = await tokens.mint(grant(), connection, None, now)
    assert 800 < minted.usable_until - now < 900
    assert now < minted.renew_at < minted.usable_until
    assert minted.bearer.token.reveal() not in repr(minted)
    server = ApiServer(connection)
    review = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = await server.ask(minted.bearer, "POST", path, {"Content-Type": "application/json"}, review)
    await server.close()
    assert answer.object is not None
    assert answer.object["status"]["userInfo"]["username"] == f"system:serviceaccount:{NAMESPACE}:agent"


@pytest.mark.parametrize("without", ["tempfile.NamedTemporaryFile", "os.memfd_create"])
async def test_the_key_is_on_disk_only_where_no_file_can_be_in_memory(
    without: str, world: World, tokens: ServiceAccountTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(without)
    assert (await tokens.mint(grant(), world.connection(world.admin), None, time.time())).bearer


async def test_a_plugin_is_told_what_it_is_asked_for(world: World, tokens: ServiceAccountTokens) -> None:
    await tokens.mint(
        grant(), world.connection(plugin(world.folder, credential(token=world.minter))), None, time.time()
    )
    asked = json.loads((world.folder / "asked").read_text())
    assert asked == {
        "apiVersion": EXEC,
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }


FAILURES = {
    "no rights": (lambda world: {"token": world.nobody}, "agent", "Forbidden", False),
    "no such account": (lambda world: world.admin, "missing", "NotFound", False),
    "a bad token": (lambda world: {"token": "nonsense"}, "agent", "Unauthorized", False),
    "no credential": (lambda world: {"username": "u"}, "agent", "has no credential: it needs token,", False),
    "no file": (lambda world: {"tokenFile": "/missing"}, "agent", "/missing cannot be read: No such file", False),
    "an empty file": (lambda world: {"tokenFile": _file(world.folder / "t", "")}, "agent", "/t is empty", False),
    "no certificate": (
        lambda world: {"client-certificate-data": "eA==", "client-key-data": "eA=="}, "agent", "not a pair", False,
    ),
    "a key that is locked": (lambda world: locked(world.admin), "agent", "not a pair", False),
    "no base64": (
        lambda world: {"client-certificate-data": "%", "client-key-data": "%"}, "agent", "must be PEM in base64", False,
    ),
    "a plugin that fails": (lambda world: plugin(world.folder, "", 1), "agent", "plugin failed: exit status 1", True),
    "a plugin that babbles": (lambda world: plugin(world.folder, "hello"), "agent", "Invalid JSON", False),
    "a plugin without a token": (lambda world: plugin(world.folder, credential()), "agent", "no status.token", False),
    "a plugin with no key": (
        lambda world: plugin(world.folder, credential(clientCertificateData="x", clientKeyData="x")),
        "agent", "not a pair", False,
    ),
    "a plugin that is not there": (
        lambda world: {"exec": {"apiVersion": EXEC, "command": "/missing", "installHint": "get it\n from us"}},
        "agent", "the plugin /missing is not installed: get it from us", True,
    ),
    "a plugin that may not run": (
        lambda world: {"exec": {"apiVersion": EXEC, "command": str(world.folder)}},
        "agent", "could not be started: PermissionError", True,
    ),
    "an exec that is a list": (lambda world: {"exec": ["x"]}, "agent", "user u: exec: Input", False),
}  # fmt: skip


def locked(user: dict[str, Any]) -> dict[str, Any]:
    """The same user, whose key needs a password."""
    key = load_pem_private_key(Path(user["client-key"]).read_bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    return {**inline(user), "client-key-data": base64.b64encode(pem).decode()}


@pytest.mark.parametrize(("user", "name", "code", "may_pass"), FAILURES.values(), ids=FAILURES)
async def test_what_fails_says_which_side_it_is(
    user: Any, name: str, code: str, may_pass: bool, world: World, tokens: ServiceAccountTokens
) -> None:
    with pytest.raises(CredentialUnavailable) as caught:
        await tokens.mint(grant(name), world.connection(user(world)), None, time.time())
    assert (code in caught.value.code, caught.value.may_pass) == (True, may_pass), caught.value.code
    assert str(caught.value) == f"no credential for prod: {caught.value.code}"


async def test_an_answer_is_kept_until_the_cluster_does_not_take_it(world: World, tokens: ServiceAccountTokens) -> None:
    """As client-go does where a plugin does not say until when it may be kept; then it is run again, once."""
    connection = world.connection(counting(world.folder, "nonsense", world.minter, "nonsense", "nonsense"))
    await tokens.mint(grant(), connection, None, time.time())
    await tokens.mint(grant(), connection, None, time.time())
    assert runs(world.folder) == 2
    world.connection(counting(world.folder, "nonsense"))
    with pytest.raises(CredentialUnavailable, match="Unauthorized"):
        await ServiceAccountTokens().mint(grant(), connection, None, time.time())
    assert runs(world.folder) == 4


def counting(folder: Path, *tokens: str) -> dict[str, Any]:
    """A plugin with another token at each run, the last one from then on."""
    for number, token in enumerate(tokens):
        (folder / f"answer{number}").write_text(credential(token=token))
    file = folder / "counting"
    last = len(tokens) - 1
    file.write_text(
        f"#!/bin/sh\ncd {folder}; n=$(wc -l < runs 2>/dev/null || echo 0); echo >> runs\n"
        f'[ "$n" -gt {last} ] && n={last}; cat answer$n\n'
    )
    file.chmod(0o755)
    return {"exec": {"apiVersion": EXEC, "command": str(file)}}


def runs(folder: Path) -> int:
    return (folder / "runs").read_text().count("\n")


async def test_a_cluster_that_is_away(world: World, tokens: ServiceAccountTokens) -> None:
    connection = world.connection(world.admin, address=("127.0.0.1", 1))
    with pytest.raises(CredentialUnavailable, match="UpstreamUnavailable"):
        await tokens.mint(grant(), connection, None, time.time())


async def test_another_audience_is_no_key_to_the_cluster(world: World, tokens: ServiceAccountTokens) -> None:
    minted = await tokens.mint(grant(), world.connection(world.admin, audiences=("vault",)), None, time.time())
    payload = minted.bearer.token.reveal().split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(payload + "==="))["aud"] == ["vault"]


DOCUMENT = """\
apiVersion: chaperone/v1
kind: Connection
metadata: {name: prod}
spec: {host: "a.test:443", caFile: ca.pem, serviceAccount: {kubeconfig: k}}
"""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("a: [secret", "is no kubeconfig: no YAML, line 1"),
        ("\x00", "is no kubeconfig: no YAML"),
        ("text", "is no kubeconfig"),
        ("{}", "no context"),
        (json.dumps(_kubeconfig({"username": "u"})), "has no credential: it needs token, tokenFile"),
        (json.dumps(_kubeconfig({"token": "t"})), ""),
        (json.dumps(_kubeconfig({"exec": {"apiVersion": EXEC, "command": "not-run"}})), ""),
        (json.dumps(_kubeconfig({"exec": {"apiVersion": EXEC}})), "exec.command: Field required; write {apiVersion:"),
    ],
)
def test_a_kubeconfig_is_looked_at_when_the_rules_are_loaded(content: str | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    documents = parse_documents(DOCUMENT, "c.yaml")[0]
    place = {"host": "a", "port": 1, "address": ("a", 1), "server_name": "a", "ca_file": ""}
    connection = Connection(name="prod", kubeconfig=str(file), **place)  # type: ignore[arg-type]
    problems = check_kubeconfigs(documents, {"prod": connection})
    assert [said in problem.message and problem.line == 4 for problem in problems] == ([True] if said else [])
    assert all(str(file) in problem.message and "secret" not in problem.message for problem in problems)


def test_the_doctor_says_who_the_gateway_is(world: World) -> None:
    found = _own(world.connection({"token": world.minter}))
    assert (found.ok, f"system:serviceaccount:{NAMESPACE}:minter" in found.detail) == (True, True)
    assert not _own(world.connection({"token": "nonsense"})).ok
    missing = _own(world.connection({"username": "u"}))
    assert (missing.ok, "has no credential" in missing.detail) == (False, True)


def test_nothing_blocks_the_loop(world: World) -> None:
    """A plugin may take its time."""
    slow = world.folder / "slow"
    slow.write_text(f"#!/bin/sh\nsleep 0.5\necho '{credential(token=world.minter)}'\n")
    slow.chmod(0o755)
    connection = world.connection({"exec": {"apiVersion": EXEC, "command": str(slow)}})

    async def both() -> int:
        source, turns = ServiceAccountTokens(), 0
        minting = asyncio.ensure_future(source.mint(grant(), connection, None, time.time()))
        while not minting.done():
            await asyncio.sleep(0.01)
            turns += 1
        await minting
        return turns

    assert asyncio.run(both()) > 20


async def checked(connection: Connection, mint: Minter) -> Finding:
    (found,) = [each async for each in check_roles(connection, [grant().role], {connection.kind: mint})]
    return found


async def test_the_check_says_what_a_token_lacks(world: World, tokens: ServiceAccountTokens) -> None:
    found = await checked(world.connection(world.admin, audiences=("vault",)), tokens.mint)
    assert (found.ok, found.detail) == (False, "the cluster does not accept it")
    assert "is there still this service account" in found.remedy and "--api-audiences" in found.remedy


async def test_the_check_says_who_it_should_be(world: World, tokens: ServiceAccountTokens) -> None:
    async def another(grant: Grant, connection: Connection, held: object, now: float) -> Minted:
        return replace(await tokens.mint(grant, connection, held, now), bearer=Bearer(Secret(world.nobody)))

    connection = world.connection(world.admin)
    found = await checked(connection, another)
    assert (found.ok, f"as system:serviceaccount:{NAMESPACE}:nobody of" in found.detail) == (False, True)
    assert f"it should be {grant().role}" in found.remedy
    assert (await checked(connection, tokens.mint)).ok
