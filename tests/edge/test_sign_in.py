"""Signing in at a real OpenID provider by its pages, and by the device flow, which that provider does not have."""

from __future__ import annotations

import json
import stat
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import httpx
import pytest

from addons.core.sign_in import Client, SignInFailed, Tokens
from addons.edge import sign_in
from addons.edge.sign_in import Provider
from addons.edge.token_cache import TokenCache, current_token
from scripts.devenv import forkserver, plain_http
from scripts.devenv.cluster import Cluster
from scripts.devenv.forkserver import CHAPERONE
from scripts.devenv.places import REPOSITORY
from tests.core.test_sign_in import signed


@pytest.fixture
def client(cluster: Cluster) -> Client:
    profile = {"groups": ["agents"], "email": "alice@example.com"}
    httpx.put(f"{cluster.oidc_issuer}/users/{quote('alice')}", json=profile, trust_env=False).raise_for_status()
    return Client(issuer=cluster.oidc_issuer, client_id="chaperone", scope="openid profile email")


def as_alice(url: str) -> None:
    """What her browser does: it signs her in and goes where it is sent."""

    def go() -> None:
        reply = plain_http.post(url, data={"sub": "alice"})
        plain_http.get(reply.headers["location"].replace("/callback", "/favicon.ico", 1))
        plain_http.get(reply.headers["location"])

    threading.Thread(target=go, daemon=True).start()


def test_a_person_signs_in_and_stays_so(client: Client, tmp_path: Path) -> None:
    cache = TokenCache(client, tmp_path)
    with pytest.raises(SignInFailed, match="you are not signed in: chaperone login --issuer"):
        current_token(client, cache)
    with Provider(client) as provider:
        tokens = provider.by_browser(as_alice)
    assert tokens.refresh_token
    cache.save(tokens)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert current_token(client, cache) == tokens.id_token
    cache.save(Tokens(id_token="old", expires_at=0, refresh_token=tokens.refresh_token))
    renewed = current_token(client, cache)
    assert renewed.count(".") == 2
    assert cache.load() == TokenCache(client, tmp_path).load() != tokens
    cache.save(Tokens(id_token="old", expires_at=0, refresh_token="another's"))
    with pytest.raises(SignInFailed, match=r"refused.*sign in again: chaperone login"):
        current_token(client, cache)
    cache.save(Tokens(id_token="old", expires_at=0))
    with pytest.raises(SignInFailed, match="has expired"):
        current_token(client, cache)
    assert (cache.forget(), cache.forget(), cache.load()) == (True, False, None)


def test_a_browser_that_never_comes_back(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "BROWSER_SECONDS", 0)
    with Provider(client) as provider, pytest.raises(SignInFailed, match="in time"):
        provider.by_browser(lambda url: None)


@pytest.mark.parametrize(
    ("issuer", "why"),
    [("http://127.0.0.1:9", "cannot be asked"), ("{}/", "give --issuer exactly so"), ("{}/nothing", "no JSON")],
)
def test_providers_that_are_none(issuer: str, why: str, client: Client) -> None:
    other = Client(issuer=issuer.format(client.issuer), client_id="x")
    with Provider(other) as provider, pytest.raises(SignInFailed, match=why):
        provider.by_browser(as_alice)


def test_the_commands(client: Client, tmp_path: Path) -> None:
    """As a person types them, with a browser that only sees what is printed."""
    env = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    named = ["--issuer", client.issuer, "--client-id", client.client_id]

    running = subprocess.Popen(
        [*CHAPERONE, "login", "--no-browser", *named],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        cwd=REPOSITORY,
    )
    assert running.stderr is not None
    as_alice(running.stderr.readline().rpartition(" ")[2].strip())
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out.startswith("signed in until")) == (0, True), err

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return forkserver.run([*CHAPERONE, *words, *named], env=env, cwd=REPOSITORY, timeout=60)

    credential = json.loads(run("token").stdout)
    assert (credential["kind"], credential["status"]["token"].count(".")) == ("ExecCredential", 2)
    assert [run("logout").stdout for _ in range(2)] == [
        "signed out here; the token stays good until it expires\n",
        "you were not signed in\n",
    ]
    assert "you are not signed in" in run("token").stderr


class Device(BaseHTTPRequestHandler):
    """Stands in for a provider with the device flow: it answers from a list."""

    answers: list[dict[str, Any]]
    asked: list[dict[str, list[str]]]

    def do_GET(self) -> None:
        issuer = f"http://{self.headers['host']}"
        self._say({"issuer": issuer, "device_authorization_endpoint": f"{issuer}/d", "token_endpoint": f"{issuer}/t"})

    def do_POST(self) -> None:
        self.asked.append(parse_qs(self.rfile.read(int(self.headers["content-length"])).decode()))
        self._say(self.answers.pop(0))

    def _say(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(400 if "error" in value else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def device() -> Iterator[str]:
    Device.answers, Device.asked = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Device) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


BEGUN = {"device_code": "d", "user_code": "ABCD", "verification_uri": "https://idp.example/device", "interval": 1}
PENDING, SLOWER = {"error": "authorization_pending"}, {"error": "slow_down"}


def test_a_code_is_typed_somewhere_else(device: str) -> None:
    client = Client(issuer=device, client_id="chaperone", scope="openid")
    done = {"id_token": signed(iss=device, exp=4e9)}
    Device.answers[:] = [BEGUN, PENDING, SLOWER, PENDING, done]
    shown: list[tuple[str, str]] = []
    waited: list[float] = []
    with Provider(client) as provider:
        tokens = provider.by_device(lambda *what: shown.append(what), waited.append)
    assert shown == [("https://idp.example/device", "ABCD")]
    assert waited == [1, 1, 6, 6]
    assert tokens.id_token == done["id_token"]
    assert [asked.get("device_code") for asked in Device.asked] == [None, *[["d"]] * 4]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([{"error": "unauthorized_client"}], "began no sign-in: unauthorized_client"),
        ([{"device_code": "d"}], "began no sign-in"),
        ([BEGUN, {"error": "access_denied", "error_description": "not you"}], "refused: not you"),
        ([{**BEGUN, "expires_in": 0.001}, PENDING, PENDING], "nobody typed"),
    ],
)
def test_sign_ins_that_fail(answers: list[dict[str, Any]], why: str, device: str) -> None:
    Device.answers[:] = answers
    with Provider(Client(issuer=device, client_id="c")) as provider, pytest.raises(SignInFailed, match=why):
        provider.by_device(lambda *what: None, lambda seconds: None)
