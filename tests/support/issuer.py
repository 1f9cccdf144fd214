"""OpenID issuers for tests: a real provider process, and a small one in a thread whose every answer can be bent."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from addons.core.identity_provider import IdentityProvider

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

RSA_1 = rsa.generate_private_key(65537, 2048)
RSA_2 = rsa.generate_private_key(65537, 2048)
RSA_SMALL = rsa.generate_private_key(65537, 1024)
EC_1 = ec.generate_private_key(ec.SECP256R1())
ED_1 = ed25519.Ed25519PrivateKey.generate()


def jwk(key: PrivateKey, kid: Any = "k1", **changes: Any) -> dict[str, Any]:
    """The public half as a JSON Web Key."""
    match key:
        case rsa.RSAPrivateKey():
            found = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case ec.EllipticCurvePrivateKey():
            found = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case _:
            found = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    found.pop("key_ops", None)
    return {**found, **({} if kid is None else {"kid": kid}), **changes}


@dataclass
class Issuer:
    """An issuer in a thread. `answers` maps a path to (status, body), or to None: no answer for a long time."""

    url: str
    answers: dict[str, tuple[int, bytes] | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)
    """What was posted."""
    delay: float = 0

    def publish(self, *keys: dict[str, Any]) -> None:
        """Publish these keys, and the discovery document."""
        self.answers["/jwks"] = (200, json.dumps({"keys": keys}).encode())
        self.answers["/.well-known/openid-configuration"] = (
            200,
            json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}).encode(),
        )

    def claims(self, now: float, **changes: Any) -> dict[str, Any]:
        """Claims of a good token."""
        good = {"iss": self.url, "aud": "chaperone", "sub": "agent", "exp": now + 600, "iat": now, "groups": ["g"]}
        return {**good, **changes}

    def sign(self, now: float, key: Any = RSA_1, alg: str = "RS256", headers: Any = None, **changes: Any) -> str:
        """A signed token; `headers` are JOSE header parameters, key id k1 unless said."""
        return jwt.encode(self.claims(now, **changes), key, algorithm=alg, headers=headers or {"kid": "k1"})

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return self.asked.count("/jwks")


class Clock:
    """Seconds that only move when told."""

    now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def provider(issuer: str, **changes: Any) -> IdentityProvider:
    """The identity provider at this address, as the rules would describe it."""
    algorithms = frozenset({"RS256", "ES256"})
    values = {"name": "idp", "issuer": issuer, "audiences": ("chaperone",), "algorithms": algorithms}
    return IdentityProvider(**{**values, **changes})


@contextmanager
def issuer(port: int = 0) -> Iterator[Issuer]:
    """Run one, with the key RSA_1 published as k1; at a `port` where one was before it takes that one's place."""
    seen: Issuer

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.asked.append(self.path)
            time.sleep(seen.delay)
            status, body = seen.answers.get(self.path) or (404, b"")
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", body.decode())
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            seen.forms.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    seen = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
    seen.publish(jwk(RSA_1))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
