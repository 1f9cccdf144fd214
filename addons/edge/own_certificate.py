"""The certificate of the listener that speaks TLS: made by the interception CA, or read from files."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from addons.core.problem import InvalidConfiguration, Problem
from addons.edge.authority import Authority, Leaf

log = structlog.get_logger()

OwnCertificate = Callable[[float], Leaf]
"""The certificate at a time (Unix seconds): the same object as long as it is the one to show."""


def made_certificate(authority: Authority, names: Sequence[str]) -> OwnCertificate:
    """One for these names (DNS names, IP addresses), made anew each day."""

    @lru_cache(maxsize=1)
    def of_day(day: int) -> Leaf:
        first, *others = names
        return authority.leaf(first, datetime.datetime.fromtimestamp(day * 86400, datetime.UTC), *others)

    return lambda now: of_day(int(now // 86400))


class FileCertificate:
    """One from PEM files, read again when they change; one that cannot be used leaves the one before in its place."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        self._leaf: Leaf | None = None
        self._read: object = None

    def __call__(self, now: float) -> Leaf:
        """The certificate. Raises InvalidConfiguration when there has never been one that can be used."""
        if (found := [_changed(file) for file in self._files]) != self._read or self._leaf is None:
            self._read = found
            try:
                self._leaf = read_certificate(*self._files, datetime.datetime.fromtimestamp(now, datetime.UTC))
            except InvalidConfiguration as error:
                if self._leaf is None:
                    raise
                log.error("certificate not loaded: the one before is shown", error=str(error))
        return self._leaf


def read_certificate(certificate: Path, key: Path, now: datetime.datetime) -> Leaf:
    """The chain in `certificate`, its own first, with the key in `key`, which has no password.

    Raises InvalidConfiguration for what cannot be read or used.
    """
    try:
        first, *between = x509.load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise _invalid(certificate, f"cannot be read: {error}") from error
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise _invalid(key, f"cannot be read: {error}") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise _invalid(key, "is neither an RSA nor an elliptic-curve key")
    if private.public_key() != first.public_key():
        raise _invalid(key, f"is not the key of the first certificate in {certificate}")
    if first.not_valid_after_utc <= now:
        raise _invalid(certificate, f"the certificate expired on {first.not_valid_after_utc:%Y-%m-%d}")
    return Leaf(first, private, tuple(between))


def _changed(file: Path) -> object:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _invalid(file: Path, message: str) -> InvalidConfiguration:
    return InvalidConfiguration([Problem(str(file), 0, message)])
