"""Envelope encryption of an archive: a data key for each session, wrapped by a key in KMS or in a file.

Parts are sealed with AES-256-GCM, bound to their place. The key that is listed first wraps; whatever is listed unwraps.
"""

from __future__ import annotations

import binascii
import os
import stat
from base64 import b64decode, b64encode
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from addons.core.archive.options import ArchiveOptions
from addons.core.archive.part import FORMAT, NONCE_BYTES
from addons.edge.archive_bucket import ArchiveUnavailable, aws_client, told

KEY_BYTES = 32
_MOST_KEYS = 4096
_NOT_ITS_OWN = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})


class UnusableArchiveKey(OSError):
    """A key that wraps data keys is not there, is none, or is not listed."""


class CannotOpen(ValueError):
    """Something was not encrypted like this, with this key, for this place: it was changed, or moved."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A session's: `wrapped` by `wrapping`, an entry of `archive_keys` or the id of a file's key."""

    key: bytes = field(repr=False)
    wrapping: str
    wrapped: bytes


def encrypt(key: DataKey, where: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Sealed for this place, and the nonce."""
    nonce = os.urandom(NONCE_BYTES)
    return AESGCM(key.key).encrypt(nonce, body, where), nonce


def decrypt(key: bytes, nonce: bytes, where: bytes, body: bytes) -> bytes:
    """What was sealed for this place. Raises CannotOpen."""
    try:
        return AESGCM(key).decrypt(nonce, body, where)
    except (InvalidTag, ValueError) as error:
        raise CannotOpen("it was changed, or belongs elsewhere: it cannot be decrypted for this place") from error


class _Wrapper(Protocol):
    name: str

    def make(self, context: dict[str, str]) -> DataKey: ...

    def unwrap(self, wrapped: bytes, context: dict[str, str]) -> bytes: ...


class _Kms:
    """A symmetric key in KMS, by its ARN. The context is bound to what it wraps, and is in CloudTrail."""

    def __init__(self, arn: str, endpoint: str) -> None:
        self.name, self._arn = f"kms:{arn}", arn
        self._client: Any = aws_client("kms", arn.split(":")[3], endpoint)

    def make(self, context: dict[str, str]) -> DataKey:
        with told(f"the KMS key {self._arn} makes no data key"):
            made = self._client.generate_data_key(KeyId=self._arn, KeySpec="AES_256", EncryptionContext=context)
        return DataKey(made["Plaintext"], self.name, made["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, context: dict[str, str]) -> bytes:
        try:
            with told(f"the KMS key {self._arn} unwraps no data key"):
                reply = self._client.decrypt(KeyId=self._arn, CiphertextBlob=wrapped, EncryptionContext=context)
        except ArchiveUnavailable as error:
            if error.code in _NOT_ITS_OWN:
                raise CannotOpen(str(error)) from error
            raise
        plain: bytes = reply["Plaintext"]
        return plain


class _File:
    """A key in a file, named by its SHA-256."""

    def __init__(self, file: Path) -> None:
        key = read_key_file(file)
        self.name, self._key = f"file:{sha256(key).hexdigest()[:16]}", AESGCM(key)

    def make(self, context: dict[str, str]) -> DataKey:
        key, nonce = os.urandom(KEY_BYTES), os.urandom(NONCE_BYTES)
        return DataKey(key, self.name, nonce + self._key.encrypt(nonce, key, _bound(context)))

    def unwrap(self, wrapped: bytes, context: dict[str, str]) -> bytes:
        try:
            return self._key.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _bound(context))
        except (InvalidTag, ValueError) as error:
            raise CannotOpen("its wrapped key was changed, or is of another session") from error


class ArchiveKeys:
    """For several threads. Data keys are kept in memory, some thousands at most."""

    def __init__(self, options: ArchiveOptions) -> None:
        """Raises UnusableArchiveKey; KMS is not reached yet."""
        self._wrappers: list[_Wrapper] = [_wrapper(each, options.kms_endpoint) for each in options.keys]
        self._by_name = {wrapper.name: wrapper for wrapper in self._wrappers}
        self._made: OrderedDict[str, DataKey] = OrderedDict()
        self._unwrapped: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = Lock()

    def __bool__(self) -> bool:
        """True if parts are encrypted."""
        return bool(self._wrappers)

    def of(self, archive: str, session: str) -> DataKey:
        """The data key of a session, the same for as long as it is known here. Raises ArchiveUnavailable."""
        with self._lock:
            if (known := self._made.get(session)) is None:
                known = self._made[session] = self._wrappers[0].make(context_of(archive, session))
                _limit(self._made)
            return known

    def unwrap(self, wrapping: str, wrapped: bytes, archive: str, session: str) -> bytes:
        """A data key. Raises UnusableArchiveKey, ArchiveUnavailable, CannotOpen."""
        if (wrapper := self._by_name.get(wrapping)) is None:
            raise UnusableArchiveKey(f"archive_keys lists no key {wrapping}: add it after the first")
        context = context_of(archive, session)
        index = sha256(wrapping.encode() + b"\n" + _bound(context) + b"\n" + wrapped).digest()
        with self._lock:
            if (known := self._unwrapped.get(index)) is None:
                known = self._unwrapped[index] = wrapper.unwrap(wrapped, context)
                _limit(self._unwrapped)
            return known

    def try_out(self, archive: str) -> list[str]:
        """The names of all keys, after each has wrapped and unwrapped something. Raises as `of` and `unwrap`."""
        context = context_of(archive, "doctor")
        for wrapper in self._wrappers:
            made = wrapper.make(context)
            if wrapper.unwrap(made.wrapped, context) != made.key:
                raise UnusableArchiveKey(f"{wrapper.name} does not give back what it wrapped")
        return list(self._by_name)


def context_of(archive: str, session: str) -> dict[str, str]:
    """What a data key is bound to: KMS's encryption context."""
    return {"chaperone-archive": archive, "chaperone-session": session or "audit"}


def _bound(context: dict[str, str]) -> bytes:
    return "\n".join([FORMAT, *(f"{name}={value}" for name, value in sorted(context.items()))]).encode()


def _limit(kept: OrderedDict[Any, Any]) -> None:
    while len(kept) > _MOST_KEYS:
        kept.popitem(last=False)


def _wrapper(entry: str, kms_endpoint: str) -> _Wrapper:
    kind, _, where = entry.partition(":")
    return _Kms(where, kms_endpoint) if kind == "kms" else _File(Path(where))


def read_key_file(file: Path) -> bytes:
    """The 32 bytes of a key, in base64 in a file that not everybody may read. Raises UnusableArchiveKey."""
    try:
        text, mode = file.read_bytes(), file.stat().st_mode
    except OSError as error:
        raise UnusableArchiveKey(f"the key of the archive cannot be read: {error}") from error
    if mode & stat.S_IRWXO:
        raise UnusableArchiveKey(f"{file} may be read by everybody on this machine: chmod 600 {file}")
    try:
        key = b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise UnusableArchiveKey(f"{file} is no key of an archive: make one with chaperone archive make-key {file}")
    return key


def make_key_file(file: Path) -> None:
    """A new key. Raises OSError, also if there is a file already."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as new:
        new.write(b64encode(os.urandom(KEY_BYTES)) + b"\n")
        new.flush()
        os.fsync(new.fileno())
