"""Attacks on who a caller is, with an identity provider whose keys are known here: each ends at the gateway.

Elsewhere are: another audience, tampered and unsigned tokens, the expiry of a token on an open connection, headers that
assert an identity (test_identity.py); other claims (test_identity_claims.py); a token used elsewhere
(test_identity_single_use.py); one connection for several callers, over HTTP/2 too (bypasses/test_c_tokens.py); access
to another cluster (bypasses/test_h_system.py, `b84`); clocks that are wrong (bypasses/test_h_trouble.py); STS away
(test_identity_sts.py).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from scripts.devenv import components
from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e import raw_http2
from tests.e2e.agent import eventually
from tests.e2e.gateways import Gateways
from tests.e2e.moved_clock import MovedClock
from tests.e2e.raw import Answer, ask, request
from tests.e2e.records import gateway_events
from tests.e2e.wiretap import Wiretap, wiretap
from tests.support.issuer import EC_1, RSA_1, RSA_2, Issuer, issuer, jwk

PATH = "/api/v1/namespaces/default/configmaps"
FETCH_AGAIN = 11
"""Seconds after which a provider is asked again."""
KEYS_MAX_AGE = 3600 + FETCH_AGAIN
"""Seconds after which keys no longer count."""


@pytest.fixture(scope="module")
def wire(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiretap]:
    """What the gateways of this module send upstream."""
    with wiretap(cluster, tmp_path_factory.mktemp("wire")) as tap:
        yield tap


@pytest.fixture(scope="module")
def idp() -> Iterator[Issuer]:
    """Vouches for agents."""
    with issuer() as found:
        yield found


@pytest.fixture(scope="module")
def partner() -> Iterator[Issuer]:
    """Another one, whom the gateway believes as well; its key is RSA_2, under two names."""
    with issuer() as found:
        found.publish(jwk(RSA_2, "k1"), jwk(RSA_2, "k2"))
        yield found


@pytest.fixture(scope="module")
def evil() -> Iterator[Issuer]:
    """One whom nobody believes; its key is RSA_2, too."""
    with issuer() as found:
        found.publish(jwk(RSA_2))
        yield found


PARTNER = """
apiVersion: chaperone/v1
kind: IdentityProvider
metadata: {{name: partner}}
spec: {{issuer: "{issuer}", audiences: [chaperone]}}
---
apiVersion: chaperone/v1
kind: Access
metadata: {{name: partner}}
spec: {{identityProvider: partner, groups: [partners], connections: [development], role: "{role}"}}
"""


@pytest.fixture(scope="module")
def gateway(
    gateways: Gateways, wire: Wiretap, idp: Issuer, partner: Issuer, cluster: Cluster, tmp_path_factory: Any
) -> GatewayEnv:
    """Believes both of them, each about its own."""
    folder: Path = tmp_path_factory.mktemp("partner")
    (folder / "partner.yaml").write_text(PARTNER.format(issuer=partner.url, role=cluster.role_arns["narrow"]))
    return gateways.start("forged", replace(wire.upstream, issuer=idp.url), {"http2": True}, rules=folder)


def used(gateway: GatewayEnv, token: str) -> Answer:
    return ask(gateway, request(gateway, PATH, token=token))


def signed(idp: Issuer, **options: Any) -> str:
    return idp.sign(time.time(), **{"groups": ["agents"], **options})


def encoded(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def with_header(idp: Issuer, header: dict[str, Any], sign: Callable[[bytes], bytes] = lambda _: b"x") -> str:
    """A token by hand, as libraries refuse to make it."""
    text = f"{encoded({'typ': 'JWT', 'kid': 'k1', **header})}.{encoded(idp.claims(time.time(), groups=['agents']))}"
    return f"{text}.{encoded(sign(text.encode()))}"


def none(idp: Issuer, spelling: str) -> str:
    return with_header(
        idp, {"alg": spelling}, lambda _: base64.urlsafe_b64decode(signed(idp).rpartition(".")[2] + "==")
    )


PEM = RSA_1.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
DER = RSA_1.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def confused(idp: Issuer, secret: bytes) -> str:
    """The public key, which everybody has, as if it were a secret that is shared."""
    return with_header(idp, {"alg": "HS256"}, lambda text: hmac.digest(secret, text, hashlib.sha256))


Make = Callable[[Issuer, Issuer, Issuer], str]
ATTACKS: dict[str, tuple[Make, str]] = {
    **{
        f"no algorithm, spelt {spelling!r}": (lambda idp, *_, spelling=spelling: none(idp, spelling), "algorithm (alg)")
        for spelling in ("none", "None", "NONE", "nOnE", "")
    },
    "no algorithm and no signature": (lambda idp, *_: none(idp, "none").rpartition(".")[0] + ".", "not a signed JSON"),
    **{
        f"key confusion, {name}": (lambda idp, *_, secret=secret: confused(idp, secret), "algorithm (alg)")
        for name, secret in {
            "PEM": PEM, "PEM without its last line break": PEM.rstrip(), "DER": DER,
            "JWK": json.dumps(jwk(RSA_1)).encode(), "modulus": jwk(RSA_1)["n"].encode(), "empty": b"",
        }.items()
    },
    "another kind of key": (lambda idp, *_: signed(idp, key=EC_1, alg="ES256"), "does not publish"),
    "an algorithm that is not configured": (lambda idp, *_: signed(idp, alg="PS256"), "algorithm (alg)"),
    "the key in the token": (
        lambda idp, *_: signed(idp, key=RSA_2, headers={"kid": "k1", "jwk": jwk(RSA_2)}), "jwk is not accepted",
    ),
    "the address of the keys in the token": (
        lambda idp, _, evil: signed(idp, key=RSA_2, headers={"kid": "k1", "jku": f"{evil.url}/jwks"}),
        "jku is not accepted",
    ),
    "the address of a certificate in the token": (
        lambda idp, _, evil: signed(idp, key=RSA_2, headers={"kid": "k1", "x5u": f"{evil.url}/jwks"}),
        "x5u is not accepted",
    ),
    "an extension that is critical": (
        lambda idp, *_: signed(idp, headers={"kid": "k1", "crit": ["b64"], "b64": True}), "crit is not accepted",
    ),
    "a key that nobody published": (lambda idp, *_: signed(idp, key=RSA_2), "signature is not valid"),
    "a key id that is a path": (lambda idp, *_: signed(idp, headers={"kid": "../../dev/null"}), "does not publish"),
    "an issuer that nobody configured": (lambda _idp, _, evil: signed(evil, key=RSA_2), "issuer (iss) is not accepted"),
    "a part of the issuer's name": (
        lambda idp, _, evil: signed(evil, key=RSA_2, iss=f"{idp.url}/"), "issuer (iss) is not accepted",
    ),
    "another issuer's key": (lambda idp, *_: signed(idp, key=RSA_2, headers={"kid": "k2"}), "does not publish"),
    "another issuer's key by the same id": (lambda idp, *_: signed(idp, key=RSA_2), "signature is not valid"),
    "the other way round": (lambda _, partner, __: signed(partner), "signature is not valid"),
    "no audience": (lambda idp, *_: signed(idp, aud=[]), "another audience (aud)"),
    "an audience that begins alike": (lambda idp, *_: signed(idp, aud="chaperone2"), "another audience (aud)"),
    "expired within the leeway": (lambda idp, *_: signed(idp, exp=time.time() - 5), "expired"),
    "no expiry": (lambda idp, *_: signed(idp, exp=None), "exp"),
    "from the future": (lambda idp, *_: signed(idp, iat=time.time() + 90), "one of the clocks is wrong"),
    "for later": (lambda idp, *_: signed(idp, nbf=time.time() + 90), "not valid before"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_b22_a_forged_token_is_nobodys(
    name: str, gateway: GatewayEnv, wire: Wiretap, idp: Issuer, partner: Issuer, evil: Issuer
) -> None:
    make, why = ATTACKS[name]
    mark, asked = wire.mark(), len(evil.asked)
    token = make(idp, partner, evil)
    answer = used(gateway, token)
    assert (answer.status, why in answer.message) == (401, True), answer.message
    assert wire.since(mark) == b""
    assert len(evil.asked) == asked, "nothing in a token says whom to ask"
    assert not any(part in answer.message for part in token.split(".") if part)


def test_clocks_may_differ_a_little(gateway: GatewayEnv, idp: Issuer) -> None:
    """For the times at which a token begins; none is accepted after its end."""
    soon = time.time() + 20
    assert used(gateway, signed(idp, iat=soon, nbf=soon)).status == 200


def test_b22_an_issuer_speaks_for_its_own_callers_alone(gateway: GatewayEnv, idp: Issuer, partner: Issuer) -> None:
    """The groups and the name of another's caller are in the token, and mean nothing."""
    assert used(gateway, signed(idp, sub="alice")).status == 200
    theirs = signed(partner, key=RSA_2, sub="alice", groups=["agents"])
    answer = used(gateway, theirs)
    assert (answer.status, "rule: no-grant" in answer.message) == (403, True)
    [event] = [each for each in gateway_events(gateway) if each.get("responseStatus", {}).get("reason") == "no-grant"]
    assert event["user"]["username"] == f"{partner.url}#alice"


def test_b28_an_http2_connection_outlives_a_token_and_changes_hands(gateway: GatewayEnv, idp: Issuer) -> None:
    """Every stream is its own token's: also after that of the one before has expired, and after one was refused."""
    brief = signed(idp, sub="brief", groups=["agents-view"], exp=time.time() + 4)
    lasting = signed(idp, sub="lasting", groups=["agents-view"])
    asked = [raw_http2.get(gateway, PATH, token=token) for token in (brief, lasting, "", brief, lasting)]
    first, second, nobody, late, last = raw_http2.ask(gateway, *asked, pause=1.1)
    assert [each.status for each in (first, second, nobody, late, last)] == [200, 200, 401, 401, 200]
    assert b"it expired" in late.body
    names = [event["user"]["username"].rpartition("#")[2] for event in gateway_events(gateway)]
    assert {"brief", "lasting"} <= set(names)


def test_b80_a_role_that_the_cluster_does_not_know(gateways: Gateways, wire: Wiretap, mint: Callable[..., str]) -> None:
    """AWS gives the session, the cluster maps it to nobody: a 401 that is not the caller's is not passed on as one."""
    roles = {"agents": components.role_arn(components.UNMAPPED)}
    gateway = gateways.start("unmapped", replace(wire.upstream, roles=roles))
    answer = used(gateway, mint("unmapped", groups=["agents"]))
    assert answer.status == 503
    assert "the cluster did not accept the credential of the granted role; your own token is fine" in answer.message


@dataclass(frozen=True)
class Moved:
    """A gateway of one provider, and the clock by which it asks that again."""

    gateway: GatewayEnv
    clock: MovedClock

    def asks(self, token: str) -> tuple[int, str]:
        """The answer to a request once the provider may be asked again: its code, and the rule that refused it."""
        self.clock.forward(FETCH_AGAIN)
        answer = used(self.gateway, token)
        return answer.status, answer.message.partition("rule: ")[2].partition("\n")[0] if answer.status > 200 else ""


UNAVAILABLE = (503, "identity-provider-unavailable")
REJECTED = (401, "authentication")
PASSED = (200, "")


@pytest.fixture
def moved(gateways: Gateways, wire: Wiretap, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Moved]:
    """Starts one for an issuer."""

    def start(issuer: str) -> Moved:
        clock = MovedClock(tmp_path)
        env = {**wire.upstream.env, **clock.env}
        name = f"keys-{request.node.name.removeprefix('test_b80_')[:20]}"
        return Moved(gateways.start(name, replace(wire.upstream, issuer=issuer, env=env)), clock)

    return start


GARBAGE: dict[str, tuple[int, bytes]] = {
    "a page": (200, b"<html>Sign in</html>"),
    "a list": (200, b"[]"),
    "no keys": (200, b'{"keys": []}'),
    "a shared secret": (200, json.dumps({"keys": [{"kty": "oct", "kid": "k9", "k": encoded(b"k" * 32)}]}).encode()),
    "a private key": (200, json.dumps({"keys": [{**jwk(RSA_2, "k9"), "d": "AQAB"}]}).encode()),
    "half of it": (200, json.dumps({"keys": [jwk(RSA_2, "k9")]}).encode()[:-9]),
    "too much": (200, json.dumps({"keys": [jwk(RSA_2, "k9")], "pad": "x" * 600_000}).encode()),
    "an error": (500, json.dumps({"keys": [jwk(RSA_2, "k9")]}).encode()),
    "another place": (302, b"/elsewhere"),
}


def test_b80_garbage_instead_of_keys_replaces_none_and_is_believed_by_nobody(moved: Callable[[str], Moved]) -> None:
    """What was fetched before holds for an hour, then nothing does; it passes by itself."""
    with issuer() as idp:
        idp.answers["/elsewhere"] = (200, json.dumps({"keys": [jwk(RSA_2, "k9")]}).encode())
        gateway = moved(idp.url)
        seen = signed(idp)
        assert gateway.asks(seen) == PASSED
        good = idp.answers["/jwks"]
        for name, answer in GARBAGE.items():
            idp.answers["/jwks"], fetches = answer, idp.fetches
            assert gateway.asks(signed(idp, key=RSA_2, headers={"kid": "k9"})) == UNAVAILABLE, name
            assert idp.fetches == fetches + 1, "it was asked"
            assert gateway.asks(signed(idp, sub=f"new-{len(name)}")) == PASSED, name
        gateway.clock.forward(KEYS_MAX_AGE)
        assert gateway.asks(seen) == gateway.asks(signed(idp)) == UNAVAILABLE
        idp.answers["/jwks"] = good
        assert gateway.asks(seen) == gateway.asks(signed(idp)) == PASSED
        assert gateway.asks(signed(idp, key=RSA_2, headers={"kid": "k9"})) == REJECTED


def test_b80_a_provider_that_is_away_at_the_start(moved: Callable[[str], Moved]) -> None:
    with issuer() as idp:
        pass
    gateway = moved(idp.url)
    assert gateway.asks(signed(idp)) == UNAVAILABLE
    with issuer(int(idp.url.rpartition(":")[2])):
        assert gateway.asks(signed(idp)) == PASSED
    lines = [json.loads(line) for line in gateway.gateway.log.read_text().splitlines()]
    assert any(line["event"].startswith("identity provider unreachable") for line in lines)


def test_b80_a_provider_that_goes_away_and_comes_back_with_another_key(moved: Callable[[str], Moved]) -> None:
    """What it signs meanwhile is refused without being called wrong; what the old key signed, once it is back."""
    with issuer() as idp:
        gateway = moved(idp.url)
        seen = signed(idp)
        assert gateway.asks(seen) == PASSED
    rotated = signed(idp, key=RSA_2, headers={"kid": "k2"})
    assert gateway.asks(seen) == gateway.asks(signed(idp, sub="new")) == PASSED, "its key is known"
    assert gateway.asks(rotated) == UNAVAILABLE
    with issuer(int(idp.url.rpartition(":")[2])) as back:
        back.publish(jwk(RSA_2, "k2"))
        assert gateway.asks(rotated) == PASSED
        eventually("the end of the old key", lambda: gateway.asks(seen) == REJECTED)
