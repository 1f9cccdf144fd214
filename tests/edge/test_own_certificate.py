"""Which certificate the listener that speaks TLS shows, and which is a mistake."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from addons.core.problem import InvalidConfiguration
from addons.edge.authority import Authority, Leaf, open_authority
from addons.edge.own_certificate import FileCertificate, made_certificate, read_certificate

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
DAY = 86400.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return open_authority(tmp_path / "ca", NOW)


def pem(key: object) -> bytes:
    private_bytes: Callable[..., bytes] = key.private_bytes  # type: ignore[attr-defined]
    return private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write(folder: Path, leaf: Leaf, *between: x509.Certificate) -> tuple[Path, Path]:
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in (leaf.certificate, *between)))
    key.write_bytes(pem(leaf.key))
    return certificate, key


def test_one_that_is_made_lasts_a_day_and_has_all_names(authority: Authority) -> None:
    own, now = made_certificate(authority, ["gateway.test", "127.0.0.1"]), NOW.timestamp()
    first = own(now)
    assert own(now + 3600) is first and own(now + DAY) is not first
    names = first.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["gateway.test"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert first.certificate.not_valid_after_utc > NOW + datetime.timedelta(days=6)


def test_files_hold_a_chain_and_are_read_again_when_they_change(authority: Authority, tmp_path: Path) -> None:
    certificate, key = write(tmp_path, authority.leaf("a.test", NOW), authority.certificate)
    own = FileCertificate(certificate, key)
    first = own(NOW.timestamp())
    assert first.between == (authority.certificate,)
    assert own(NOW.timestamp()) is first
    write(tmp_path, second := authority.leaf("b.test", NOW))
    assert own(NOW.timestamp()).certificate == second.certificate


def test_new_files_that_cannot_be_used_change_nothing(authority: Authority, tmp_path: Path) -> None:
    certificate, key = write(tmp_path, authority.leaf("a.test", NOW))
    own = FileCertificate(certificate, key)
    first = own(NOW.timestamp())
    key.write_bytes(b"")
    assert own(NOW.timestamp()) is first
    key.unlink()
    assert own(NOW.timestamp()) is first


def other_key(authority: Authority, _: Path) -> bytes:
    return pem(authority.leaf("b.test", NOW).key)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        pytest.param("tls.crt", lambda *_: b"", "tls.crt: cannot be read", id="no certificate"),
        pytest.param("tls.crt", None, "tls.crt: cannot be read", id="no file"),
        pytest.param("tls.key", lambda *_: b"x", "tls.key: cannot be read", id="no key"),
        pytest.param("tls.key", None, "tls.key: cannot be read", id="no file of a key"),
        pytest.param("tls.key", other_key, "is not the key of", id="another key"),
        pytest.param(
            "tls.key", lambda *_: pem(ed25519.Ed25519PrivateKey.generate()), "is neither an RSA nor", id="Ed25519"
        ),
        pytest.param(
            "tls.key", lambda *_: pem(rsa.generate_private_key(65537, 2048)), "is not the key of", id="another kind"
        ),
    ],
)
def test_mistakes(
    name: str, content: Callable[[Authority, Path], bytes] | None, why: str, authority: Authority, tmp_path: Path
) -> None:
    files = write(tmp_path, authority.leaf("a.test", NOW))
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content(authority, tmp_path))
    with pytest.raises(InvalidConfiguration, match=why):
        FileCertificate(*files)(NOW.timestamp())


def test_an_expired_certificate_is_a_mistake(authority: Authority, tmp_path: Path) -> None:
    files = write(tmp_path, authority.leaf("a.test", NOW))
    with pytest.raises(InvalidConfiguration, match="the certificate expired on 2026-11-30"):
        read_certificate(*files, NOW + datetime.timedelta(days=8))
