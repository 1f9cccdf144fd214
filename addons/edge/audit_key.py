"""The Ed25519 key that signs the audit ledger: a PEM file that only the gateway's user can read.

A rotation lays the new key beside the old one first (`NEXT`), so that a crash in between leaves both.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from addons.core.audit_chain import key_id
from addons.edge.durable import make_once, sync_folder

KEY_FILE = "signing.key"
NEXT = ".next"


class UnusableKey(OSError):
    """The key that signs the audit ledger is not there, is no key, or is not the one whose turn it is."""


class SigningKey:
    """A private key; `id` names it in the ledger."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()
        self.id = key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes. Takes some 50 µs."""
        return self._key.sign(message)

    @property
    def public_pem(self) -> str:
        """The public key, for people to keep elsewhere."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def read_key(file: Path) -> SigningKey:
    """The key in a file. Raises UnusableKey."""
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        raise UnusableKey(f"the key that signs the audit ledger cannot be read: {error}") from error
    except (ValueError, TypeError) as error:
        raise UnusableKey(f"{file} is no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKey(f"{file} is a key, but not of Ed25519")
    return SigningKey(key)


def make_key(file: Path) -> SigningKey:
    """A new key, on disk. Raises OSError, also if there is a file already."""
    key = Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    if not make_once(file, pem):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))
    return SigningKey(key)


def key_of_turn(file: Path, wanted: str) -> SigningKey:
    """The key of this id: in the file, or in the one beside it if a rotation was cut short. Raises UnusableKey."""
    beside = file.with_name(file.name + NEXT)
    if beside.exists() and (coming := read_key(beside)).id == wanted:
        beside.replace(file)
        sync_folder(file.parent)
        return coming
    if (key := read_key(file)).id != wanted:
        raise UnusableKey(f"the next line of the audit ledger is for the key {wanted} to sign, but {file} is {key.id}")
    return key


def read_public_key(file: Path) -> bytes:
    """The 32 bytes of a public key in PEM. Raises OSError, ValueError."""
    key = serialization.load_pem_public_key(file.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{file} is a public key, but not of Ed25519")
    return key.public_bytes_raw()


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """True if this is the key's signature of this message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
