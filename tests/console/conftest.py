"""A console as it is in its process, but without sockets: real rules, real keys, a real store, a clock to turn."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from addons.console.app import make_app
from addons.console.parts import Parts
from addons.core.claims import identity_from_claims
from addons.core.identity import Identity
from addons.core.token_exchange import AUTHORIZATION_CODE, DEVICE, EXCHANGE, JWT
from addons.edge.oidc import Verifier
from addons.edge.session_tokens import Signer
from addons.edge.store import Store, sqlite_url
from addons.edge.store_thread import StoreThread
from addons.policy import Policy, load_policy
from tests.support.issuer import EC_1, Clock, Issuer, PrivateKey, issuer, jwk
from tests.support.saml import RSA_PAIR, Element, assertion, encoded, response, signed

REPOSITORY = Path(__file__).parents[2]
CONSOLE = "https://c.example"
REDIRECT = "http://127.0.0.1:7777/back"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
AUTHORIZE = {
    "response_type": "code",
    "client_id": "chaperone",
    "redirect_uri": REDIRECT,
    "state": "st&te",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def write_rules(folder: Path, idp: str, *saml: str) -> Path:
    """Two connections, an OpenID provider, SAML providers of these names, and the console."""
    (folder / "ca.pem").write_text(RSA_PAIR.certificate)
    documents: list[tuple[str, str, dict[str, Any]]] = [
        ("IdentityProvider", "idp", {"issuer": idp, "audiences": ["chaperone"], "claims": {"owner": "owner"}}),
        ("Console", "console", {"url": CONSOLE, "longestSeconds": 3600}),
        ("Access", "agents", {"identityProvider": "idp", "groups": ["g"], "connections": ["prod"],
                              "role": "arn:aws:iam::123456789012:role/view", "durationSeconds": 900}),
        *(("Connection", name, {"host": f"api.{name}.example:443", "caFile": "ca.pem",
                                "eks": {"cluster": name, "region": "eu-central-1"}}) for name in ("prod", "test")),
        *(("SamlProvider", name, {"entityId": "urn:idp" if name == "workforce" else f"urn:{name}",
                                  "ssoUrl": f"https://{name}.example/sso",
                                  "certificates": [RSA_PAIR.certificate]}) for name in saml),
    ]  # fmt: skip
    for number, (kind, name, spec) in enumerate(documents):
        text = json.dumps({"apiVersion": "chaperone/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
        (folder / f"{number}.yaml").write_text(text)
    return folder


def policy_of(folder: Path) -> Policy:
    """What the folder says, with the guardrails and the masking that are shipped."""
    now = datetime.datetime.now(datetime.UTC)
    return load_policy([str(folder), str(REPOSITORY / "rules")], b"k" * 32, now)


@dataclass
class World:
    """A console, who asks it, and the provider of OpenID tokens."""

    parts: Parts
    client: httpx.AsyncClient
    idp: Issuer
    clock: Clock

    def token(self, **changes: Any) -> str:
        """A token of the OpenID provider."""
        return self.idp.sign(self.clock(), **changes)

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        """A form, as programs send it."""
        return await self.client.post(path, data=fields, headers=headers)

    async def ask(self, subject: str, actor: str | None = None, proof: str = "", **fields: str) -> httpx.Response:
        """For a session token."""
        form = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": JWT, **fields}
        if actor is not None:
            form |= {"actor_token": actor, "actor_token_type": JWT}
        return await self.post("/token", form, **({"DPoP": proof} if proof else {}))

    async def exchanged(self, subject: str, actor: str | None = None, proof: str = "", **fields: str) -> str:
        """A session token."""
        found = await self.ask(subject, actor, proof, **fields)
        assert found.status_code == 200, found.text
        return str(found.json()["access_token"])

    def identity(self, token: str) -> Identity:
        """Who the console says that the caller is."""
        return identity_from_claims(self.parts.signer.claims_of(token), self.parts.console.provider, self.clock())

    def proof(self, key: PrivateKey = EC_1, jti: str = "1", **changes: Any) -> str:
        """A proof for the token endpoint."""
        claims = {"jti": jti, "htm": "POST", "htu": f"{CONSOLE}/token", "iat": self.clock(), **changes}
        return jwt.encode(claims, key, "ES256", {"typ": "dpop+jwt", "jwk": jwk(key, None)})

    async def sent_to_provider(self, **changes: str | None) -> str:
        """The RelayState that a browser which comes for a code takes to the provider."""
        fields = {name: value for name, value in {**AUTHORIZE, **changes}.items() if value is not None}
        found = await self.client.get("/authorize", params=fields)
        assert found.status_code == 303, found.text
        return relay_state(found)

    async def answered(self, state: str, message: Element | None = None) -> httpx.Response:
        """The provider's answer, brought by the browser."""
        text = encoded(self.answer(state) if message is None else message)
        return await self.post("/saml/acs", {"SAMLResponse": text, "RelayState": state}, Origin="https://idp")

    def answer(self, state: str, **changes: Any) -> Element:
        """A signed response to a request."""
        return signed(response(assertion(request_id=state, base=CONSOLE, now=self.clock(), **changes)))

    async def code(self, **changes: str | None) -> str:
        """A code that a browser has come back with."""
        found = await self.answered(await self.sent_to_provider(**changes))
        assert found.status_code == 303, found.text
        return parse_qs(urlsplit(found.headers["Location"]).query)["code"][0]

    async def redeem(self, code: str, proof: str = "", **changes: str) -> httpx.Response:
        """A code for a token."""
        form = {
            "grant_type": AUTHORIZATION_CODE, "code": code, "redirect_uri": REDIRECT, "client_id": "chaperone",
            "code_verifier": VERIFIER,
        }  # fmt: skip
        return await self.post("/token", {**form, **changes}, **({"DPoP": proof} if proof else {}))

    async def poll(self, device_code: str, client_id: str = "chaperone") -> httpx.Response:
        """As a device does."""
        return await self.post("/token", {"grant_type": DEVICE, "device_code": device_code, "client_id": client_id})


def relay_state(redirect: httpx.Response) -> str:
    """What a browser takes to the provider."""
    return parse_qs(urlsplit(redirect.headers["Location"]).query)["RelayState"][0]


@pytest.fixture(scope="module")
def idp() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


@pytest.fixture(scope="module")
def policy(idp: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return policy_of(write_rules(tmp_path_factory.mktemp("rules"), idp.url, "workforce"))


@pytest.fixture
async def world(policy: Policy, idp: Issuer, tmp_path: Path) -> AsyncIterator[World]:
    clock = Clock()
    clock.now = float(int(time.time()))
    parts = Parts(
        policy=policy,
        verifier=Verifier(policy.trust.providers, time.monotonic),
        signer=Signer(tmp_path),
        store=StoreThread(Store(sqlite_url(tmp_path / "store.sqlite"))),
        key=b"key",
        now=clock,
        state=tmp_path / "state",
    )
    transport = httpx.ASGITransport(make_app(parts), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=CONSOLE) as client:
        yield World(parts, client, idp, clock)
    await parts.close()
