"""Masking of one decoded reply: an object, a list, a Table, a partial object, a Status, or a watch event's object.

What happens in each object is in `fields`.
Sources: meta/v1 `Table`, `List`, `Status` and
https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from addons.core.masking.codec import Unmaskable
from addons.core.masking.detectors import Detectors
from addons.core.masking.fields import Fields, RulesOfKind
from addons.core.masking.placeholder import Fingerprints, owner_of
from addons.core.masking.rule import Rule

_QUOTED = re.compile(
    r"""(?P<before>\w{0,16}\W?)(?P<text>"(?:[^"\\]|\\.)*(?:"|$)|`[^`]*(?:`|$)|(?<!\w)'[^']*'|(?:\{|map\[).*)""", re.S
)
"""What Go's %q and %v write, with the word before it. No input makes it quadratic."""
_NAMING = ("field", "group", "kind", "namespace", "resource", "user", "verb", "version", "webhook", "subresource")
"""Words before a quoted name in the API server's own messages: what they quote is never a value of the object."""
_HIDDEN = '"(masked)"'


class ObjectMasker:
    """Masks the objects of one reply. Not to be shared between replies."""

    __slots__ = ("_columns", "_fields", "_guards", "_shown")

    def __init__(
        self, rules: Sequence[Rule], of_kind: RulesOfKind, detectors: Detectors, fingerprints: Fingerprints
    ) -> None:
        self._fields = Fields(rules, of_kind, detectors, fingerprints)
        self._guards = [rule for rule in rules if rule.guard]
        self._shown = frozenset.intersection(*[rule.columns for rule in self._guards]) if self._guards else frozenset()
        self._columns: list[str] = []  # of the Table: in a watch only the first event names them

    def expect(self, body: bytes) -> None:
        """Look once, in the JSON of what is masked next, for what need not be looked for in each object."""
        self._fields.expect(body)

    def changes(self, mask: Callable[[Any], None], value: Any) -> bool:
        """Whether `mask`, one of the two ways here, found something to mask in the value. Raises as that does."""
        return self._fields.changes(lambda: mask(value))

    def mask(self, value: Any) -> None:
        """Mask `value`, whatever form of reply it is. Raises Unmaskable when it is none."""
        match value:
            case {"kind": "Status", "apiVersion": "v1"}:
                self._status(value)
            case {"kind": "Table"} | {"rows": list(), "columnDefinitions": list()}:
                self._table(value)
            case {"items": list(items)} if (kind := str(value.get("kind", "List"))).endswith("List"):
                self._items(items, str(value.get("apiVersion", "")), kind.removesuffix("List"))
            case dict():
                self._fields.mask(value, str(value.get("apiVersion", "")), str(value.get("kind", "")))
            case _:
                raise Unmaskable("the reply is not a Kubernetes object")

    def event(self, value: Any) -> None:
        """Mask one watch event. Raises Unmaskable when it is none."""
        match value:
            case {"type": str(), "object": dict(inner)}:
                self.mask(inner)
            case _:
                raise Unmaskable("not a watch event")

    def items(self, head: dict[str, Any]) -> Callable[[Any], None] | None:
        """What masks items of a list, or rows of a Table, of which `head` is the rest. None if it is neither."""
        version, kind = str(head.get("apiVersion", "")), str(head.get("kind", "List"))
        if "rows" in head:
            self._table(head)
            return self._rows
        if not kind.endswith("List"):
            return None
        return lambda items: self._items(items, version, kind.removesuffix("List"))

    def _items(self, items: Iterable[Any], version: str, kind: str) -> None:
        for item in items:
            self._item(item, version, kind)

    def _item(self, item: Any, version: str, kind: str) -> None:
        """An item of a list, which names its kind only in a list of mixed kinds."""
        if isinstance(item, dict) and "kind" not in item:
            self._fields.mask(item, version, kind)
        else:
            self.mask(item)

    def _table(self, table: dict[str, Any]) -> None:
        if definitions := table.get("columnDefinitions"):
            self._columns = [str(definition["name"]) for definition in definitions]
        self._rows(table.get("rows") or ())

    def _rows(self, rows: Iterable[Any]) -> None:
        for row in rows:
            cells, shown = row["cells"], row.get("object")
            owner = owner_of(shown) if isinstance(shown, dict) else tuple(map(str, cells[:1]))
            for index in range(len(cells)):
                name = self._columns[index] if index < len(self._columns) else ""
                hidden = bool(self._guards) and name not in self._shown
                self._fields.mask_one(cells, index, (*owner, "cell", name), hidden)
            if shown is not None:
                self.mask(shown)

    def _status(self, status: dict[str, Any]) -> None:
        """A failure's messages can quote what was sent or stored: for masked resources, drop what they quote."""
        details = status.get("details")
        details = details if isinstance(details, dict) else {}
        causes = details.get("causes")
        for holder in (status, *(causes if isinstance(causes, list) else ())):
            if isinstance(holder, dict) and isinstance(holder.get("message"), str):
                if self._guards:
                    text = hide_quoted(holder["message"], str(details.get("name", "")))
                    if text != holder["message"]:
                        self._fields.put(holder, "message", text)
                self._fields.mask_one(holder, "message", ("message",))


def hide_quoted(message: str, name: str = "") -> str:
    """The message without what it quotes, except `name` and the names that the API server's own sentences quote."""

    def replace(match: re.Match[str]) -> str:
        before, text = match["before"], match["text"]
        word = before[:-1].lower()
        known = text[1:-1] in ("", name, "(masked)") or (text[0] == '"' and word in _NAMING)
        return match[0] if known else before + _HIDDEN

    return _QUOTED.sub(replace, message)
