"""Clients that have no kubeconfig: their token rides in the URL of the proxy, and goes no further than the gateway."""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml

from addons.edge.authority import open_authority
from scripts.devenv import plain_http
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.places import REPOSITORY
from tests.e2e.agent import Agent, Transcript
from tests.e2e.gateways import Gateways
from tests.e2e.leaks import core, search
from tests.e2e.people import Person, chaperone
from tests.e2e.raw import connect, proxy, target
from tests.e2e.records import gateway_events
from tests.e2e.sessions import agreeing
from tests.support.kubernetes import Kubectl
from tests.support.proxy import pem

CLIENTS = {
    "curl": ["curl", "-sS", "--fail-with-body", "--proxy-cacert", "{ca}", "{url}"],
    "requests": [sys.executable, "-c", "import requests, sys; print(requests.get(sys.argv[1]).text)", "{url}"],
    "httpx": [sys.executable, "-c", "import httpx, sys; print(httpx.get(sys.argv[1]).text)", "{url}"],
    "urllib": [sys.executable, "-c", "import urllib.request as u, sys; print(u.urlopen(sys.argv[1]).read())", "{url}"],
}
PROXIES = ["http", "https"]
WAYS = [(proxy, client) for proxy in PROXIES for client in CLIENTS if (proxy, client) != ("https", "urllib")]
"""urllib speaks no TLS to a proxy."""


def with_token(gateway: GatewayEnv, token: str, scheme: str = "http") -> str:
    """A proxy's URL with a token for a password."""
    url = gateway.tls_url if scheme == "https" else gateway.gateway_url
    return url.replace("://", f"://x:{token}@")


@pytest.fixture(scope="module")
def proxied(gateways: Gateways) -> GatewayEnv:
    """A gateway of its own, so that all of its files can be searched."""
    return gateways.start("proxied", settings={"tls_listen_port": 0, "workers": 2})


@pytest.fixture(scope="module")
def tokens() -> list[str]:
    """That rode in the URL of a proxy."""
    return []


@pytest.fixture(scope="module")
def token(mint: Callable[..., str], transcript: Transcript, tokens: list[str]) -> str:
    """Of an agent that may do everything."""
    minted = mint("without-kubeconfig", groups=["agents"])
    tokens.append(minted)
    transcript.tokens.append(minted)
    return minted


@pytest.fixture(params=PROXIES)
def bare(
    request: pytest.FixtureRequest, proxied: GatewayEnv, token: str, as_user: Callable[..., Agent], tmp_path: Path
) -> Agent:
    """kubectl whose kubeconfig holds no token: only the environment says who it is.

    Its certificate is nobody's, and only there because kubectl asks for a user's name where there is nothing at all.
    """
    agent = as_user(proxied, "bare", "agents")
    nobody = str(pem(open_authority(tmp_path / "ca", datetime.datetime.now(datetime.UTC)), tmp_path, "nobody"))
    document = json.loads(Path(agent.kubeconfig).read_text())
    document["users"][0]["user"] = {"client-certificate": nobody, "client-key": nobody}
    Path(agent.kubeconfig).write_text(json.dumps(document))
    return agent.setting(HTTPS_PROXY=with_token(proxied, token, request.param))


def environment(gateway: GatewayEnv, token: str, scheme: str) -> dict[str, str]:
    """All that a client knows of the gateway."""
    bundles = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), str(gateway.gateway_ca))
    return {"PATH": os.environ["PATH"], "HTTPS_PROXY": with_token(gateway, token, scheme), **bundles}


@pytest.mark.parametrize(("scheme", "name"), WAYS)
def test_a_client_needs_two_variables(scheme: str, name: str, proxied: GatewayEnv, token: str) -> None:
    url = f"{proxied.api_url}/api/v1/namespaces/default/configmaps"
    command = [part.format(url=url, ca=proxied.gateway_ca) for part in CLIENTS[name]]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env=environment(proxied, token, scheme)
    )
    assert done.returncode == 0, done.stderr
    assert "kube-root-ca.crt" in done.stdout
    (*_, event) = [each for each in gateway_events(proxied) if each["requestURI"].endswith("default/configmaps")]
    assert event["user"]["username"] == f"{proxied.issuer}#without-kubeconfig"


def test_kubectl_without_a_token(bare: Agent) -> None:
    assert "kube-root-ca.crt" in bare("get", "configmaps")
    assert "without-kubeconfig" in bare("auth", "whoami")


@pytest.mark.parametrize("protocol", ["websocket", "spdy"])
def test_exec_without_a_token(protocol: str, bare: Agent, proxied: GatewayEnv, oncall: Person, admin: Kubectl) -> None:
    pod = admin.run_pod("proxied")
    agent = bare.within(admin.namespace)
    if protocol == "spdy":
        agent = agent.setting(KUBECTL_REMOTE_COMMAND_WEBSOCKETS="false")
    with agreeing(proxied, oncall, pod):
        assert agent("exec", pod, "--", "echo", "said") == "said\n"


def trust(gateway: GatewayEnv) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=gateway.gateway_ca)


def http(gateway: GatewayEnv, token: str, scheme: str = "http", **headers: str) -> httpx.Client:
    """One connection, kept, whose tunnel has a token."""
    return httpx.Client(
        base_url=gateway.api_url,
        proxy=httpx.Proxy(
            with_token(gateway, token, scheme), ssl_context=trust(gateway) if scheme == "https" else None
        ),
        verify=trust(gateway),
        trust_env=False,
        timeout=30,
        headers=headers,
    )


@pytest.mark.parametrize("scheme", PROXIES)
def test_b28_it_expires_while_the_connection_is_kept(
    scheme: str, proxied: GatewayEnv, mint: Callable[..., str], tokens: list[str]
) -> None:
    expires = int(time.time()) + 4
    tokens.append(mint("short-lived", groups=["agents"], claims={"exp": expires}))
    with http(proxied, tokens[-1], scheme) as client:
        assert client.get("/version").status_code == 200
        time.sleep(max(0.0, expires + 0.2 - time.time()))
        reply = client.get("/version")
    assert (reply.status_code, "your token: it expired" in reply.json()["message"]) == (401, True)


def test_b23_another_token_inside_is_refused(proxied: GatewayEnv, token: str, mint: Callable[..., str]) -> None:
    other = mint("another", groups=["agents"])
    with http(proxied, token, Authorization=f"Bearer {other}") as client:
        reply = client.get("/version")
    assert (reply.status_code, "rule: two-tokens" in reply.json()["message"]) == (400, True)
    with http(proxied, token, Authorization=f"Bearer {token}") as client:
        assert client.get("/version").status_code == 200, "the same twice is no other"


def test_a_token_that_is_no_good_is_explained_inside(proxied: GatewayEnv) -> None:
    with http(proxied, "nonsense") as client:
        reply = client.get("/version")
    assert (reply.status_code, "not a signed JSON Web Token" in reply.json()["message"]) == (401, True)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(["Proxy-Authorization: Basic eDp0", "Proxy-Authorization: Basic eDp0"], id="twice"),
        pytest.param(["Proxy-Authorization: Basic dG9rZW46"], id="the token as the user"),
        pytest.param(["Proxy-Authorization: Negotiate YQ=="], id="another scheme"),
    ],
)
def test_b23_no_tunnel_for_what_is_no_token(headers: list[str], proxied: GatewayEnv) -> None:
    with proxy(proxied) as raw:
        answer = connect(raw, target(proxied), *headers)
    assert answer.raw.startswith(b"HTTP/1.1 407 Proxy Authentication Required: "), answer.raw


def test_kubectl_shows_why_there_is_no_tunnel(bare: Agent) -> None:
    said = bare.setting(HTTPS_PROXY=re.sub("//x:.*@", "//token:@", bare.env["HTTPS_PROXY"])).refused("get", "pods")
    assert "give your token as the password of the proxy's URL: http://x:TOKEN@gateway" in said


@pytest.fixture(scope="module")
def by_path(proxied: GatewayEnv, token: str, transcript: Transcript, admin: Kubectl) -> Agent:
    """kubectl with what `chaperone kubeconfig` makes for clients that know no proxy."""
    token_file, kubeconfig = proxied.folder / "agent.token.kubeconfig", proxied.folder / "by-path.kubeconfig"
    token_file.write_text(token)
    options = (f"--gateway={proxied.tls_url}", "--without-proxy", f"--token-file={token_file}")
    done = chaperone(proxied, "kubeconfig", proxied.connection, *options)
    assert done.returncode == 0, done.stderr
    assert f"server: {proxied.tls_url}/clusters/{proxied.connection}\n" in done.stdout
    kubeconfig.write_text(done.stdout)
    return Agent(
        path=proxied.kubectl_path,
        kubeconfig=str(kubeconfig),
        namespace=admin.namespace,
        env={"NO_PROXY": "*"},
        gateway=proxied,
        user="without-kubeconfig",
        token=token,
        transcript=transcript,
    )


def test_kubectl_knows_no_proxy(by_path: Agent, admin: Kubectl) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "by-path"}, "data": {"a": "1"}}
    by_path("apply", "-f", "-", stdin=json.dumps(config))
    by_path("patch", "configmap", "by-path", "--type=merge", '-p={"data":{"a":"2"}}')
    assert admin.get("configmap", "by-path")["data"] == {"a": "2"}
    assert "without-kubeconfig" in by_path("auth", "whoami")
    assert "KIND:       ConfigMap" in by_path("explain", "configmap"), "documents of OpenAPI name their own addresses"
    with by_path.stream("get", "configmaps", "--watch", "-o", "name") as watching:
        watching.until("configmap/by-path")
        admin("label", "configmap", "by-path", "a=b")
        watching.until("configmap/by-path")
    by_path("delete", "configmap", "by-path")


def test_every_gate_holds(by_path: Agent, proxied: GatewayEnv, admin: Kubectl, plant: Callable[[], str]) -> None:
    value = plant()
    admin("create", "secret", "generic", "by-path", f"--from-literal=password={value}")
    assert search(core(value))(by_path("get", "secret", "by-path", "-o", "yaml").encode()) is False
    said = by_path.refused("create", "clusterrolebinding", "by-path", "--clusterrole=cluster-admin", "--user=bob")
    assert "chaperone refused" in said
    nowhere = by_path.refused("get", "pods", f"--server={proxied.tls_url}/clusters/nowhere")
    assert "unknown-cluster" in nowhere or "could not find the requested resource" in nowhere
    with httpx.Client(trust_env=False, verify=trust(proxied), headers={"Authorization": "Bearer nonsense"}) as client:
        reply = client.get(f"{proxied.tls_url}/clusters/{proxied.connection}/version")
    assert (reply.status_code, "not a signed JSON Web Token" in reply.json()["message"]) == (401, True)
    [asked] = [event for event in gateway_events(proxied) if event["requestURI"].endswith("/secrets/by-path")][-1:]
    assert asked["requestURI"].startswith("/api/v1/namespaces/")
    assert asked["annotations"]["chaperone.dev/connection"] == proxied.connection


@pytest.mark.parametrize("protocol", ["websocket", "spdy"])
def test_sessions_by_path(protocol: str, by_path: Agent, proxied: GatewayEnv, oncall: Person, admin: Kubectl) -> None:
    pod = admin.run_pod("by-path")
    agent = by_path
    if protocol == "spdy":
        agent = agent.setting(KUBECTL_REMOTE_COMMAND_WEBSOCKETS="false")
    with agreeing(proxied, oncall, pod):
        assert agent("exec", pod, "--", "echo", "said") == "said\n"
        assert "typed" in agent("exec", "-i", pod, "--", "head", "-1", stdin="typed\n")
    assert [path for path in proxied.state_dir.glob("sessions/*/*.cast") if '"said' in path.read_text()]


@pytest.mark.parametrize("options", [[], ["--without-proxy"]], ids=["proxy", "path"])
def test_access_is_asked_for_in_tls(options: list[str], proxied: GatewayEnv, token: str, tmp_path: Path) -> None:
    """The gateway itself answers on each way: here, that no rule has such a role."""
    (tmp_path / "token").write_text(token)
    gateway = (f"--gateway={proxied.tls_url}", f"--token-file={tmp_path}/token")
    (tmp_path / "kubeconfig").write_text(
        chaperone(proxied, "kubeconfig", proxied.connection, *gateway, *options).stdout
    )
    command = ["request", "--connection", proxied.connection, "--role=none", "--intent=test"]
    done = subprocess.run(
        [sys.executable, "-m", "addons.cli", *command, f"--kubeconfig={tmp_path}/kubeconfig"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)},
    )
    assert (done.returncode, "chaperone refused" in done.stderr) == (1, True), done.stderr


def test_any_client_by_path(proxied: GatewayEnv, token: str) -> None:
    url = f"{proxied.tls_url}/clusters/{proxied.connection}/version"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, context=trust(proxied)) as reply:
        assert "gitVersion" in json.load(reply)


def test_the_plain_port_serves_no_path(proxied: GatewayEnv, token: str) -> None:
    path = f"/clusters/{proxied.connection}/version"
    with plain_http.client() as client:
        reply = client.get(f"{proxied.gateway_url}{path}", headers={"Authorization": f"Bearer {token}"})
    assert (reply.status_code, "rule: no-tunnel" in reply.json()["message"]) == (403, True)


def test_a_certificate_of_ones_own(gateways: Gateways, token: str, tmp_path: Path) -> None:
    other = open_authority(tmp_path / "other-ca", datetime.datetime.now(datetime.UTC))
    both = str(pem(other, tmp_path, "127.0.0.1"))
    gateway = gateways.start("own-tls", settings={"tls_listen_port": 0, "tls_certificate": both, "tls_key": both})
    url, headers = f"{gateway.tls_url}/clusters/{gateway.connection}/version", {"Authorization": f"Bearer {token}"}
    context = ssl.create_default_context(cafile=other.certificate_file)
    with httpx.Client(trust_env=False, verify=context, headers=headers) as client:
        assert client.get(url).status_code == 200
    with httpx.Client(trust_env=False, verify=trust(gateway)) as client, pytest.raises(httpx.ConnectError):
        client.get(url)
    made = [chaperone(gateway, "kubeconfig", gateway.connection, f"--gateway={gateway.tls_url}", *more) for more in (
        [], [f"--gateway-ca={other.certificate_file}"], [f"--gateway-ca={other.certificate_file}", "--without-proxy"]
    )]  # fmt: skip
    assert "--gateway-ca: give the CA of" in made[0].stderr
    bundles = [
        base64.b64decode(yaml.safe_load(each.stdout)["clusters"][0]["cluster"]["certificate-authority-data"])
        for each in made[1:]
    ]
    assert [bundle.count(b"BEGIN CERTIFICATE") for bundle in bundles] == [2, 1]
    Path(both).write_text("nothing")
    checked = chaperone(gateway, "up", "--check", "--listen-port=0", "--tls-listen-port=0", "--health-port=0")
    assert (checked.returncode, "cannot be read" in checked.stderr) == (1, True), checked.stderr


def test_b83_the_token_is_in_no_file(proxied: GatewayEnv, tokens: list[str]) -> None:
    """After all of the above; what is searched for are the signatures, as they are and in base64."""
    assert tokens
    signatures = search(*(token.rpartition(".")[2].encode() for token in tokens))
    assert signatures(base64.b64encode(f"x:{tokens[0]}".encode())), "it would be found"
    files = [path for path in proxied.folder.rglob("*") if path.is_file() and path.suffix != ".kubeconfig"]
    assert any(path.name == "audit.jsonl" for path in files) and any(path.suffix == ".mitm" for path in files)
    assert [str(path) for path in files if signatures(path.read_bytes())] == []
