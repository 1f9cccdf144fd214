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
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from addons.edge.authority import open_authority
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, Transcript
from tests.e2e.conftest import Gateways
from tests.e2e.leaks import search
from tests.e2e.people import Person
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
    return gateways.start("proxied", settings={"tls_listen_port": 0})


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


def test_b83_the_token_is_in_no_file(proxied: GatewayEnv, tokens: list[str]) -> None:
    """After all of the above; what is searched for are the signatures, as they are and in base64."""
    assert tokens
    signatures = search(*(token.rpartition(".")[2].encode() for token in tokens))
    assert signatures(base64.b64encode(f"x:{tokens[0]}".encode())), "it would be found"
    files = [path for path in proxied.folder.rglob("*") if path.is_file() and path.suffix != ".kubeconfig"]
    assert any(path.name == "audit.jsonl" for path in files) and any(path.suffix == ".mitm" for path in files)
    assert [str(path) for path in files if signatures(path.read_bytes())] == []
