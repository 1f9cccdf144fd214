"""Helm's records of its releases, as Secrets and ConfigMaps hold them: unpacked to be masked, and packed again.

A release is JSON, compressed by gzip, in base64; in `data` of a Secret, as everything there, in base64 once more.
Source: https://github.com/helm/helm/blob/v4.3.1/pkg/storage/driver/util.go (encodeRelease, decodeRelease).
"""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from addons.core.masking.codec import Unmaskable, decode_json, encode_json
from addons.core.masking.detectors import compile_re2

API_VERSION, KIND = "helm.sh/v3", "Release"
"""What masking rules know a release as; Helm gives it no kind of its own."""
MAX_BYTES = 32 * 1024 * 1024
"""Of a release unpacked: thirty times what a Secret may hold, and little enough to be read at once."""

_MAGIC = b"\x1f\x8b\x08"
_PACKED = compile_re2("(?:H4sI|SDRzS)[A-Za-z0-9+/]{16,}={0,2}")
"""Gzip in base64, once and twice."""
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(slots=True)
class Release:
    """One release: its JSON, and how often it was in base64."""

    value: dict[str, Any]
    layers: int

    def pack(self) -> str:
        """The release as Helm reads it from where it was unpacked."""
        packed = gzip.compress(encode_json(self.value, like=b""), compresslevel=6, mtime=0)
        for _ in range(self.layers):
            packed = base64.b64encode(packed)
        return packed.decode()


def unpack(text: Any) -> Release | None:
    """The release in a string; None for anything that is no release, or none that can be packed again unchanged."""
    raw, layers = _decoded(text.encode("utf-8", "replace")) if isinstance(text, str) else (b"", 0)
    try:
        value = decode_json(_decompressed(raw))
    except (zlib.error, Unmaskable):
        return None
    match value:
        case {"name": str(), "version": int(), "manifest": str()}:
            return Release(value, layers)
    return None


def unpacked(raw: bytes) -> Iterator[bytes]:
    """What is in any text: everything in it that is compressed and in base64, as far as it can be read."""
    for found in _PACKED.finditer(raw):
        try:
            yield _decompressed(_decoded(found.group())[0])
        except zlib.error:
            continue


def _decoded(text: bytes) -> tuple[bytes, int]:
    """Bytes that gzip wrote, and how often they were in base64; empty when it is something else."""
    for layers in (1, 2):
        try:
            text = base64.b64decode(text, validate=True)
        except ValueError:
            break
        if text.startswith(_MAGIC):
            return text, layers
    return b"", 0


def _decompressed(raw: bytes) -> bytes:
    """The text of one gzip member that is all there is. Raises zlib.error."""
    reader = zlib.decompressobj(_GZIP)
    text = reader.decompress(raw, MAX_BYTES)
    if not reader.eof or reader.unused_data:
        raise zlib.error("cut off, too large, or more than one member")
    return text
