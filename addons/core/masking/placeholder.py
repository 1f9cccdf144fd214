"""What stands in place of a masked value: a marker and a keyed fingerprint.

The fingerprint (keyed BLAKE2b, RFC 7693, of 64 bits) covers the cluster, the object by its uid, the field and the
value, of free text the session instead of the object: a change of the value shows, equal values in two places do not,
and without the key no guess can be checked, not even by writing it elsewhere or into an object made anew. Replies to
dry runs carry none, because there the caller chooses the value and could compare.
"""

from __future__ import annotations

import base64
import hashlib
import re
from binascii import b2a_base64
from collections.abc import Callable, Iterator
from typing import Any

from addons.core.masking.helm import unpacked

MARKER = "masked:v1:"
NO_FINGERPRINT = MARKER + "0" * 16
ENCODED = re.compile(r"bWFza2VkOnYxO[A-Za-z0-9+/]{22}=")
"""A placeholder in base64."""
PLAIN = re.compile(MARKER + "[0-9a-f]{16}")

_BEGINNINGS = (MARKER, base64.b64encode(MARKER[:9].encode()).decode())
_MINIMUM_KEY_BYTES = 16
FINGERPRINT_BYTES = 8

type Owner = tuple[str, ...]
"""The object that a value belongs to, and in a copy the place of that."""


def owner_of(value: dict[str, Any]) -> Owner:
    """What tells an object from every other, of the same name or later."""
    metadata = value.get("metadata")
    whose = metadata if isinstance(metadata, dict) else {}
    return str(whose.get("uid", "")), str(whose.get("namespace", "")), str(whose.get("name", ""))


class Fingerprints:
    """Makes placeholders that compare with what is bound to the same, and with nothing else.

    Without a key (`silent`) they are all the same.
    """

    __slots__ = ("_state",)

    def __init__(self, key: bytes) -> None:
        if len(key) < _MINIMUM_KEY_BYTES:
            raise ValueError(f"a fingerprint key needs at least {_MINIMUM_KEY_BYTES} bytes")
        self._state: hashlib.blake2b | None = hashlib.blake2b(
            key=hashlib.sha256(key).digest(), digest_size=FINGERPRINT_BYTES
        )

    def silent(self) -> Fingerprints:
        """The same, without fingerprints."""
        twin = Fingerprints.__new__(Fingerprints)
        twin._state = None
        return twin

    def of(self, *bound: str) -> Fingerprints:
        """The same, bound to these as well."""
        if self._state is None:
            return self
        twin = Fingerprints.__new__(Fingerprints)
        twin._state = state = self._state.copy()
        state.update(repr(bound).encode())  # as Python writes it, no two are the same
        return twin

    def placeholder(self, where: str, value: str) -> str:
        """The placeholder of a value in a place that is part of what this is bound to."""
        if self._state is None:
            return NO_FINGERPRINT
        state = self._state.copy()
        state.update(f"{len(where)}:{where}{len(value)}:{value}".encode("utf-8", "surrogatepass"))
        return MARKER + state.hexdigest()


class At:
    """Fingerprints of one place, whose name is only spelled when one is needed."""

    __slots__ = ("_there",)

    def __init__(self, there: Callable[[], Fingerprints]) -> None:
        self._there = there

    def placeholder(self, where: str, value: str) -> str:
        """The placeholder of a value there."""
        return self._there().placeholder(where, value)


def encode(placeholder: str) -> str:
    """The placeholder for a field that must hold base64, so that clients still decode it."""
    return b2a_base64(placeholder.encode(), newline=False).decode()


def is_placeholder(value: str) -> bool:
    """True for a whole placeholder, plain or in base64: masking it again would hide a change."""
    return value.startswith(_BEGINNINGS) and bool(PLAIN.fullmatch(value) or ENCODED.fullmatch(value))


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
