"""The console's key and what it signs."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from addons.core.claims import RejectedToken
from addons.core.dpop import thumbprint
from addons.core.token import read_token
from addons.edge.session_tokens import KEY_FILE, Signer
from tests.support.issuer import EC_1, PrivateKey, jwk
from tests.support.workers import start_worker


def pem(key: PrivateKey, encryption: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    first = Signer(state)
    assert (state / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o077 == 0
    assert [each.name for each in state.iterdir()] == [KEY_FILE], "nothing is left over"
    assert Signer(state).jwks == first.jwks


def test_what_an_ended_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    for name in (f"console-key.{os.getpid()}", f"{KEY_FILE}.{os.getpid()}", f"{KEY_FILE}.tmp"):
        (tmp_path / name).write_bytes(b"half a k")
    assert Signer(tmp_path).jwks == Signer(tmp_path).jwks


def test_many_threads_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: Signer(tmp_path).jwks["keys"][0]["kid"], range(32)))
    assert len(set(found)) == 1
    assert [each.name for each in tmp_path.iterdir()] == [KEY_FILE]


RACER = """
import sys
from pathlib import Path
from addons.edge.session_tokens import Signer
state, begin = map(Path, sys.argv[1:])
print("here", flush=True)
while not begin.exists():
    pass
print(Signer(state).jwks["keys"][0]["kid"])
"""


def test_many_processes_make_one_key(tmp_path: Path) -> None:
    begin, said = tmp_path / "begin", [tmp_path / f"said-{number}" for number in range(4)]
    for file in said:
        file.touch()
    racers = [start_worker(RACER, tmp_path / "state", begin, output=file) for file in said]
    while not all(file.stat().st_size for file in said):
        assert all(racer.exitcode is None for racer in racers)
        time.sleep(0.005)
    begin.touch()
    for racer in racers:
        racer.join(60)
    (found,) = {file.read_text() for file in said}
    assert len(found.splitlines()) == 2


def test_others_can_verify_with_what_is_published(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    token = signer.sign({"iss": "https://c", "aud": "chaperone", "sub": "ann", "exp": 1})
    (key,) = json.loads(json.dumps(signer.jwks))["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}, "and nothing of the private half"
    assert (key["alg"], key["use"], key["kid"]) == ("ES256", "sig", thumbprint(key))
    header = jwt.get_unverified_header(token)
    assert header == {"alg": "ES256", "kid": key["kid"], "typ": "at+jwt"}
    assert read_token(token).kid == key["kid"]
    decoded = jwt.decode(token, jwt.PyJWK(key).key, ["ES256"], {"verify_exp": False}, audience="chaperone")
    assert decoded == signer.claims_of(token) == {"iss": "https://c", "aud": "chaperone", "sub": "ann", "exp": 1}


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("a.b.c", id="garbage"),
        pytest.param(jwt.encode({"sub": "ann"}, EC_1, "ES256"), id="signed with another key"),
        pytest.param(jwt.encode({"sub": "ann"}, "", "none"), id="not signed"),
        pytest.param(jwt.encode({"sub": "ann"}, "s" * 32, "HS256"), id="HS256"),
    ],
)
def test_others_tokens_are_not_its_own(tmp_path: Path, token: str) -> None:
    with pytest.raises(RejectedToken, match="signature is not valid"):
        Signer(tmp_path).claims_of(token)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"garbage", id="garbage"),
        pytest.param(json.dumps(jwk(EC_1)).encode(), id="a key of another form"),
        pytest.param(pem(ec.generate_private_key(ec.SECP384R1())), id="another curve"),
        pytest.param(pem(ec.generate_private_key(ec.SECP256K1())), id="another curve of the same size"),
        pytest.param(pem(rsa.generate_private_key(65537, 2048)), id="RSA"),
        pytest.param(pem(ed25519.Ed25519PrivateKey.generate()), id="Ed25519"),
        pytest.param(pem(EC_1, BestAvailableEncryption(b"secret")), id="with a password"),
    ],
)
def test_a_key_that_is_no_good_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(ValueError):
        Signer(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == content


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(OSError):
        Signer(tmp_path / "state")
