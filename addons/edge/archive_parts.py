"""Making parts of an archive and reading them back: signed by the ledger's key, encrypted where there are keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from addons.core.archive.part import File, Label, Part, place, read_label, signed
from addons.edge.archive_keys import ArchiveKeys, decrypt, encrypt
from addons.edge.audit_key import SigningKey, verify

KeyOf = Callable[[str], bytes | None]
"""The public key of an id that the ledger names."""


class BadPart(ValueError):
    """An object that is not the part it should be: it was made, changed or moved by somebody else."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes parts of one archive, as it stands in one look: `ledger` is how long the ledger was."""

    archive: str
    ledger: int
    signer: SigningKey
    keys: ArchiveKeys

    def make(self, file: File, offset: int, content: bytes) -> tuple[bytes, Mapping[str, str]]:
        """The object and its metadata. Raises ArchiveUnavailable where KMS does not answer."""
        where = place(self.archive, file, offset, len(content), self.ledger)
        body, label = content, Label(archive=self.archive, ledger=self.ledger, signer=self.signer.id, signature=b"")
        if self.keys:
            key = self.keys.of(self.archive, file.session)
            body, nonce = encrypt(key, where, content)
            label = replace(label, wrapping=key.wrapping, wrapped=key.wrapped, nonce=nonce)
        return body, replace(label, signature=self.signer.sign(signed(where, sha256(body).digest()))).metadata()


def check(part: Part, digest: bytes, metadata: Mapping[str, str], archive: str, key_of: KeyOf) -> tuple[Label, bytes]:
    """What a part says of itself, and its place, once its signature holds for this SHA-256. Raises BadPart."""
    try:
        label = read_label(metadata)
    except ValueError as error:
        raise BadPart(f"no archiver wrote it: {error}") from error
    if label.archive != archive:
        raise BadPart(f"it is of another archive, {label.archive}")
    if (key := key_of(label.signer)) is None:
        raise BadPart(f"it is signed by {label.signer}, which is no key of the ledger")
    where = place(archive, part.file, part.offset, part.end - part.offset, label.ledger)
    if not verify(key, signed(where, digest), label.signature):
        raise BadPart("it was changed, or belongs elsewhere: its signature is not for what is here")
    if part.encrypted != bool(label.wrapping):
        raise BadPart("its key says that it is encrypted, or not, and its metadata the opposite")
    return label, where


def read(part: Part, body: bytes, metadata: Mapping[str, str], archive: str, key_of: KeyOf, keys: ArchiveKeys) -> bytes:
    """The bytes of the file, once they were verified. Raises as `check` and `content`."""
    label, where = check(part, sha256(body).digest(), metadata, archive, key_of)
    return content(part, label, where, body, keys)


def content(part: Part, label: Label, where: bytes, body: bytes, keys: ArchiveKeys) -> bytes:
    """The bytes of the file. Raises CannotOpen, UnusableArchiveKey, ArchiveUnavailable."""
    if not part.encrypted:
        return body
    key = keys.unwrap(label.wrapping, label.wrapped, label.archive, part.file.session)
    return decrypt(key, label.nonce, where, body)
