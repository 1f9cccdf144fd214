"""The interception CA, and the server certificate agents see for each cluster.

The CA's key signs at most one leaf per connection and day; it is never a TLS key itself, as it would be with
mitmproxy's own certificate store, and it is not needed on machines that agents can reach by any other way.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from addons.core.problem import InvalidConfiguration, Problem

CERTIFICATE_FILE = "gateway-ca.pem"
KEY_FILE = "gateway-ca-key.pem"
_AUTHORITY_DAYS = 1095
_BACKDATED = datetime.timedelta(days=2)
_LEAF_DAYS = 7


@dataclass(frozen=True, slots=True)
class Leaf:
    """A server certificate, its own key, and the certificates between it and a CA that clients trust."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    between: tuple[x509.Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA that agents trust for the clusters behind the gateway; `certificate_file` is what they are given."""

    certificate: x509.Certificate
    certificate_file: Path
    _key: ec.EllipticCurvePrivateKey

    def leaf(self, host: str, now: datetime.datetime, *others: str) -> Leaf:
        """A certificate for `host` and `others` (DNS names or IP addresses), valid from two days ago for a week."""
        names = [_general_name(name) for name in (host, *others)]
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(host[:64]), self.certificate.subject, key, now, _LEAF_DAYS)
        certificate = (
            builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Leaf(certificate, key)


def open_authority(folder: Path, now: datetime.datetime) -> Authority:
    """The CA in `folder`, made there when neither of its files exists.

    Raises InvalidConfiguration when a file is missing, unreadable, expired, or the two do not belong together.
    """
    certificate_file, key_file = folder / CERTIFICATE_FILE, folder / KEY_FILE
    if not certificate_file.exists() and not key_file.exists():
        _create(certificate_file, key_file, now)
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise _invalid(certificate_file, f"the interception CA cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise _invalid(key_file, f"is not the elliptic-curve key of {CERTIFICATE_FILE}")
    if certificate.not_valid_after_utc <= now:
        raise _invalid(
            certificate_file,
            f"the interception CA expired on {certificate.not_valid_after_utc:%Y-%m-%d}; remove both of its files to"
            " have a new one made, and give agents the new certificate",
        )
    return Authority(certificate, certificate_file, key)


def _invalid(file: Path, message: str) -> InvalidConfiguration:
    return InvalidConfiguration([Problem(str(file), 0, message)])


def _create(certificate_file: Path, key_file: Path, now: datetime.datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Chaperone gateway CA")
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder(name, name, key, now, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        certificate_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    except OSError as error:
        raise _invalid(certificate_file, f"the interception CA cannot be written: {error}") from error


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    """Backdated, for agents whose clocks are behind, or a gateway whose clock is ahead, at midnight as at any hour."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
