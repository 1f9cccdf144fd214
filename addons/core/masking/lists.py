"""Masking of a list or a Table that arrives in pieces: what is complete of its items is passed on at once.

As the API server writes them: on one line, `{"kind":"PodList",…,"items":[{…},{…}]}`, with the same key first in every
item. Where an item ends is guessed by that key, and believed if what is before it is JSON. Anything else (indented,
empty, written by somebody else) is kept and masked as a whole in the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from addons.core.masking.codec import Unmaskable, decode_json

MAX_ITEM = 16 * 1024 * 1024
_MAX_HEAD = 64 * 1024
_MAX_TRIES = 64
_HEAD = re.compile(
    rb'\{"[^{\n]{0,256}(?:"metadata":\{[^{}\n]{0,4096}\},)?(?:"columnDefinitions":\[[^\n]*?\],)?"(items|rows)":\[(?=\{)'
)
_FIRST_KEY = re.compile(rb'\{"[A-Za-z]{1,64}":')
_PARTS = frozenset({"kind", "apiVersion", "metadata", "items", "rows", "columnDefinitions"})
_ROW = b'{"cells":'
"""Nothing within a row begins so."""

type MaskItems = Callable[[bytes, bool], bytes]
"""Masks items written as `{…},{…}`. Raises NotWhole if the text ends within one; always, or if it is told to look."""


class NotWhole(Unmaskable):
    """Not JSON, or not yet."""


class ListMasker:
    """One reply. `feed` what arrives, then `finish`; both return what may be passed on and raise Unmaskable."""

    __slots__ = ("_begin", "_between", "_boundary", "_buffer", "_head", "_items", "_whole")

    def __init__(self, begin: Callable[[dict[str, Any]], MaskItems | None], whole: Callable[[bytes], bytes]) -> None:
        """`begin` gets the list without its items, and says None if it is no list; `whole` masks a complete reply."""
        self._begin, self._whole = begin, whole
        self._items: MaskItems | None = None
        self._head = self._boundary = self._between = b""
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """What may be passed on after `chunk`. Raises Unmaskable; nothing may be fed after that."""
        begins = len(self._buffer) < _MAX_HEAD
        self._buffer += chunk
        out = self._start() if self._items is None and begins else b""
        if self._items is not None:
            out += self._complete(self._items)
            if len(self._buffer) > MAX_ITEM:
                raise Unmaskable(f"an item is larger than {MAX_ITEM} bytes")
        return [out] if out else []

    def finish(self) -> list[bytes]:
        """The rest. Raises Unmaskable when it is cut off."""
        rest = bytes(self._buffer)
        if self._items is None:
            return [self._whole(rest)] if rest else []
        end, masked = self._last(rest, self._items)
        value = decode_json(self._head + rest[end:])
        if not value.keys() <= _PARTS or [value[key] for key in ("items", "rows") if key in value] != [[]]:
            raise Unmaskable("the list holds more than items")
        return [self._between + masked + rest[end:]]

    @staticmethod
    def failure(reason: str) -> bytes:
        """Ends the reply so that it is no JSON: a client takes nothing for the whole list."""
        return b"\n"

    def _start(self) -> bytes:
        """The head, once it and the first key of an item are there."""
        head = _HEAD.match(self._buffer)
        key = _FIRST_KEY.match(self._buffer, head.end()) if head else None
        if head is None or key is None:
            return b""
        try:
            self._items = self._begin(decode_json(head.group() + b"]}"))
        except Unmaskable:
            return b""
        if self._items is None:
            return b""
        self._head, self._boundary = head.group(), b"}," + key.group()
        del self._buffer[: head.end()]
        return self._head

    def _complete(self, items: MaskItems) -> bytes:
        """The items that are complete, which all but the last are."""
        look = not self._boundary.endswith(_ROW)
        for at in _backwards(self._buffer, self._boundary):
            try:
                masked = self._between + items(bytes(self._buffer[: at + 1]), look)
            except NotWhole:
                continue
            del self._buffer[: at + 2]
            self._between = b","
            return masked
        return b""

    def _last(self, rest: bytes, items: MaskItems) -> tuple[int, bytes]:
        """Where the items end, and the last of them, masked."""
        for at in _backwards(rest, b"}]"):
            try:
                return at + 1, items(rest[: at + 1], True)
            except NotWhole:
                continue
        raise Unmaskable("the list is cut off")


def _backwards(text: bytes | bytearray, what: bytes) -> Iterator[int]:
    """Where `what` is in a text, the last place first; not all of very many."""
    at = text.rfind(what)
    for _ in range(_MAX_TRIES):
        if at < 0:
            return
        yield at
        at = text.rfind(what, 0, at)
