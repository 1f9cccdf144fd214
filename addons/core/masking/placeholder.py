"""What stands in place of a masked value: a marker and a keyed fingerprint.

The fingerprint (HMAC-SHA256, 64 bits of it) covers the cluster, the object by its uid, the field and the value, of free
text the session instead of the object: a change of the value shows, equal values in two places do not, and without the
key no guess can be checked, not even by writing it elsewhere or into an object made anew. Replies to dry runs carry
none, because there the caller chooses the value and could compare.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from addons.core.masking.helm import unpacked

MARKER = "masked:v1:"
NO_FINGERPRINT = MARKER + "0" * 16
ENCODED = re.compile(r"bWFza2VkOnYxO[A-Za-z0-9+/]{22}=")
"""A placeholder in base64."""
PLAIN = re.compile(MARKER + "[0-9a-f]{16}")

_MINIMUM_KEY_BYTES = 16


class Fingerprints:
    """Makes placeholders. Without a key (`silent`) they are all the same."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) < _MINIMUM_KEY_BYTES:
            raise ValueError(f"a fingerprint key needs at least {_MINIMUM_KEY_BYTES} bytes")
        self._key: bytes | None = key

    def silent(self) -> Fingerprints:
        """The same, without fingerprints."""
        twin = Fingerprints.__new__(Fingerprints)
        twin._key = None
        return twin

    def of(self, *bound: str) -> Fingerprints:
        """The same with a key of its own for these: what is made with it compares with nothing else."""
        if self._key is None:
            return self
        twin = Fingerprints.__new__(Fingerprints)
        twin._key = hmac.digest(self._key, _joined(bound), "sha256")
        return twin

    def placeholder(self, *where_and_value: str) -> str:
        """The placeholder of a value, which comes last, after what it is bound to."""
        if self._key is None:
            return NO_FINGERPRINT
        return MARKER + hmac.digest(self._key, _joined(where_and_value), "sha256")[:8].hex()


def _joined(parts: Sequence[str]) -> bytes:
    """Length prefixes keep ("a", "bc") and ("ab", "c") apart."""
    return "".join([f"{len(part)}:{part}" for part in parts]).encode("utf-8", "surrogatepass")


class At:
    """Fingerprints of one place, whose name is only spelled when one is needed."""

    __slots__ = ("_fingerprints", "_where")

    def __init__(self, fingerprints: Fingerprints, where: Callable[[], Sequence[str]]) -> None:
        self._fingerprints, self._where = fingerprints, where

    def placeholder(self, *value: str) -> str:
        """The placeholder of a value there."""
        return self._fingerprints.placeholder(*self._where(), *value)


def encode(placeholder: str) -> str:
    """The placeholder for a field that must hold base64, so that clients still decode it."""
    return base64.b64encode(placeholder.encode()).decode()


def is_placeholder(value: str) -> bool:
    """True for a whole placeholder, plain or in base64: masking it again would hide a change."""
    return bool(PLAIN.fullmatch(value) or ENCODED.fullmatch(value))


def contains_marker(raw: bytes) -> bool:
    """True if the bytes hold a placeholder: plain, within base64 at any offset, or compressed there as Helm does it.

    Works for protobuf too.
    """
    return _marked(raw) or any(map(_marked, unpacked(raw)))


def _marked(raw: bytes) -> bool:
    return any(form in raw for form in MARKER_FORMS)


def contains_placeholder(value: Any) -> str | None:
    """The path of the first string that holds a placeholder, such as `$.data.password`; None when there is none."""
    return next((path for path, text in _strings(value, "$") if contains_marker(text.encode("utf-8", "replace"))), None)


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, f"{path}.{index}")


def _base64_form(offset: int) -> bytes:
    """The characters that any base64 of the marker contains when it starts `offset` bytes into a group of three."""
    bits = offset * 8
    encoded = base64.b64encode(b"\0" * offset + MARKER.encode())
    return encoded[-(-bits // 6) : (bits + len(MARKER) * 8) // 6]


MARKER_FORMS = (MARKER.encode(), *(_base64_form(offset) for offset in range(3)))
