"""How long authentication takes: of a token that was seen before, and of a new one, without a network or a proxy.

The keys come from a server in a thread, once; each token is signed beforehand, with RS256 and ten groups. A token whose
signature is another's is tried first: were it accepted, the speed would be worth nothing.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from addons.core.claims import RejectedToken
from addons.core.identity_provider import IdentityProvider
from addons.edge.oidc import Verifier
from scripts.devenv.bench_decision import nothing_to_collect
from scripts.devenv.bench_report import case_report
from scripts.devenv.bench_scenarios import WrongAnswers

AIMS_US = {"seen": 20, "new": 200}
TITLES = {"seen": "a token seen before", "new": "a new RS256 token"}
TOKENS = 400
"""Of a round. A seen one is one of them, too: the cache holds all."""


def measure(rounds: int) -> dict[str, Any]:
    """Microseconds of each case, the median of `rounds`. Raises WrongAnswers if a forged token was accepted."""
    key = rsa.generate_private_key(65537, 2048)
    with _published(key.public_key()) as address:
        provider = IdentityProvider(
            name="bench", issuer=address, jwks_uri=f"{address}/jwks", audiences=("chaperone",), algorithms=_RS256
        )
        with nothing_to_collect():
            taken = asyncio.run(_rounds(provider, key, rounds))
    return {
        "tokens": TOKENS,
        "cases": [case_report(name, TITLES[name], times, AIMS_US[name]) for name, times in taken.items()],
    }


_RS256 = frozenset({"RS256"})


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: each fetch would be a line on the terminal."""


@contextmanager
def _published(key: rsa.RSAPublicKey) -> Iterator[str]:
    """The address of a server that has this key under /jwks."""
    with TemporaryDirectory(prefix="chaperone-bench-") as folder:
        keys = [{**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "k1"}]
        (Path(folder) / "jwks").write_text(json.dumps({"keys": keys}))
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()  # else its thread would ask the closed socket over and over


def _signed(provider: IdentityProvider, key: rsa.RSAPrivateKey, number: int, now: float) -> str:
    claims = {
        "iss": provider.issuer,
        "aud": "chaperone",
        "sub": f"repo:acme/web:ref:refs/heads/{number}",
        "exp": now + 3600,
        "iat": now,
        "groups": [f"team-{group}" for group in range(10)],
    }
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k1"})


async def _rounds(provider: IdentityProvider, key: rsa.RSAPrivateKey, rounds: int) -> dict[str, list[float]]:
    now = time.time()
    verifier = Verifier([provider], time.monotonic)
    try:
        await _refuses(verifier, _signed(provider, rsa.generate_private_key(65537, 2048), 0, now), now)
        taken: dict[str, list[float]] = {name: [] for name in AIMS_US}
        for turn in range(rounds):
            tokens = [_signed(provider, key, turn * TOKENS + number, now) for number in range(TOKENS)]
            taken["new"].append(await _new(verifier, tokens, now))
            taken["seen"].append(_seen(verifier, tokens, now))
        return taken
    finally:
        await verifier.close()


async def _refuses(verifier: Verifier, forged: str, now: float) -> None:
    try:
        await verifier.verify(forged, now)
    except RejectedToken:
        return
    raise WrongAnswers("a token that somebody else has signed was accepted")


async def _new(verifier: Verifier, tokens: Sequence[str], now: float) -> float:
    began = time.perf_counter()
    for token in tokens:
        await verifier.verify(token, now)
    return (time.perf_counter() - began) / len(tokens) * 1e6


def _seen(verifier: Verifier, tokens: Sequence[str], now: float) -> float:
    began = time.perf_counter()
    known = [verifier.cached(token, now) for token in tokens]
    taken = (time.perf_counter() - began) / len(tokens) * 1e6
    if None in known:
        raise WrongAnswers("a token that was seen before was not known")
    return taken
