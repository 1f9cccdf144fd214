"""Signing in at an OpenID provider: with a browser on this machine, or with a code typed on another."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx

from addons.core.safe_url import is_loopback
from addons.core.sign_in import (
    Attempt,
    Client,
    SignInFailed,
    Tokens,
    authorization_url,
    believed,
    code_exchange,
    code_of,
    device_exchange,
    endpoint,
    reason,
    refresh,
)
from addons.edge.machine_trust import person_trust

BROWSER_SECONDS = 300
_TIMEOUT = 15
_DONE = b"<!doctype html><title>Signed in</title><p>You are signed in. This window may be closed."
_PENDING, _SLOWER = "authorization_pending", "slow_down"


class Provider:
    """One provider; a context manager. Every method raises SignInFailed."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._http = httpx.Client(verify=person_trust(), timeout=_TIMEOUT, trust_env=not is_loopback(client.issuer))
        self._configuration: Mapping[str, Any] | None = None

    def __enter__(self) -> Provider:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def by_browser(self, show: Callable[[str], None]) -> Tokens:
        """Sign in with a browser, which `show` sends to a URL. Waits until it is back."""
        attempt = Attempt(state=_random(), nonce=_random(), verifier=_random())
        with _Callback(("127.0.0.1", 0), _Handler) as server:
            redirect = f"http://127.0.0.1:{server.server_port}/callback"
            show(authorization_url(self._endpoint("authorization_endpoint"), self.client, attempt, redirect))
            code = code_of(server.wait(), attempt)
        return self._exchange(code_exchange(self.client, attempt, code, redirect), attempt.nonce)

    def by_device(self, show: Callable[[str, str], None], sleep: Callable[[float], None] = time.sleep) -> Tokens:
        """Sign in with a code that a person types at a URL; `show` gets both. Asks until that has happened."""
        asked = {"client_id": self.client.client_id, "scope": self.client.scope}
        begun = self._post("device_authorization_endpoint", asked)
        if "error" in begun or not {"device_code", "user_code", "verification_uri"} <= begun.keys():
            raise SignInFailed(f"the provider began no sign-in: {reason(begun)}")
        show(str(begun.get("verification_uri_complete") or begun["verification_uri"]), str(begun["user_code"]))
        interval, ends = float(begun.get("interval") or 5), time.time() + float(begun.get("expires_in") or 600)
        while time.time() < ends:
            sleep(interval)
            answer = self._post("token_endpoint", device_exchange(self.client, str(begun["device_code"])))
            if answer.get("error") == _SLOWER:
                interval += 5
            elif answer.get("error") != _PENDING:
                return self._believed(answer)
        raise SignInFailed("nobody typed the code in time")

    def renewed(self, tokens: Tokens) -> Tokens:
        """New tokens for old ones."""
        return self._exchange(refresh(self.client, tokens.refresh_token), kept=tokens.refresh_token)

    def revoked(self, tokens: Tokens) -> bool:
        """True once the provider says that it has revoked the tokens (RFC 7009)."""
        try:
            url = self._endpoint("revocation_endpoint")
            asked = {"token": tokens.refresh_token or tokens.id_token, "client_id": self.client.client_id}
            return self._ask(lambda: self._http.post(url, data=asked)).status_code == httpx.codes.OK
        except SignInFailed:
            return False

    def _exchange(self, form: dict[str, str], nonce: str = "", kept: str = "") -> Tokens:
        return self._believed(self._post("token_endpoint", form), nonce, kept)

    def _believed(self, answer: dict[str, Any], nonce: str = "", kept: str = "") -> Tokens:
        if "error" in answer:
            raise SignInFailed(f"the provider refused: {reason(answer)}")
        return believed(answer, self.client, time.time(), nonce, kept)

    def _endpoint(self, name: str) -> str:
        if self._configuration is None:
            url = f"{self.client.issuer.rstrip('/')}/.well-known/openid-configuration"
            self._configuration = _object(self._ask(lambda: self._http.get(url)))
        return endpoint(self._configuration, self.client.issuer, name)

    def _post(self, name: str, form: dict[str, str]) -> dict[str, Any]:
        url = self._endpoint(name)
        return _object(self._ask(lambda: self._http.post(url, data=form)))

    def _ask(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            return ask()
        except httpx.HTTPError as error:
            raise SignInFailed(f"{self.client.issuer} cannot be asked: {error}") from None


class _Callback(HTTPServer):
    """Waits for a browser to come back."""

    timeout = 1
    target = ""

    def wait(self) -> str:
        """What it came back with. Raises SignInFailed."""
        ends = time.monotonic() + BROWSER_SECONDS
        while not self.target:
            if time.monotonic() > ends:
                raise SignInFailed("no browser came back in time")
            self.handle_request()
        return self.target


class _Handler(BaseHTTPRequestHandler):
    server: _Callback

    def do_GET(self) -> None:
        """Any other path is a browser's own curiosity."""
        if not self.path.startswith("/callback?"):
            self.send_error(404)
            return
        self.server.target = self.path
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(_DONE)))
        self.end_headers()
        self.wfile.write(_DONE)

    def log_message(self, format: str, *args: object) -> None:
        """Not of what is in the URL."""


def _random() -> str:
    return secrets.token_urlsafe(32)


def _object(reply: httpx.Response) -> dict[str, Any]:
    try:
        answer = reply.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise SignInFailed(f"{reply.url.host} answers {reply.status_code} and no JSON: is it an OpenID provider?")
    return answer
