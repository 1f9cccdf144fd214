"""Masking of one decoded reply: an object, a list, a Table, a partial object, a Status, or a watch event's object.

Rules apply to an object by the request it answers and by its own kind, whichever says more. Values are replaced in
place. `managedFields` names keys and holds no values, so it stays. Sources: meta/v1 `Table`, `List`, `Status` and
https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from addons.core.masking.codec import Unmaskable, decode_copy
from addons.core.masking.detectors import Detectors
from addons.core.masking.paths import Trail, spell, visit_leaves
from addons.core.masking.placeholder import At, Fingerprints, encode, is_placeholder
from addons.core.masking.rule import Rule
from addons.core.masking.text import redact

type Owner = tuple[str, ...]
"""The object that a value belongs to, and in a copy the place of that."""
type RulesOfKind = Callable[[str, str], Sequence[Rule]]

_QUOTED = re.compile(
    r"""(?P<before>\w{0,16}\W?)(?P<text>"(?:[^"\\]|\\.)*(?:"|$)|`[^`]*(?:`|$)|(?<!\w)'[^']*'|(?:\{|map\[).*)""", re.S
)
"""What Go's %q and %v write, with the word before it. No input makes it quadratic."""
_NAMING = ("field", "group", "kind", "namespace", "resource", "user", "verb", "version", "webhook", "subresource")
"""Words before a quoted name in the API server's own messages: what they quote is never a value of the object."""
_HIDDEN = '"(masked)"'


class ObjectMasker:
    """Masks the objects of one reply; `changed` tells whether anything was. Not to be shared between replies."""

    __slots__ = ("_columns", "_detectors", "_fingerprints", "_guards", "_of_kind", "_rules", "_shown", "changed")

    def __init__(
        self, rules: Sequence[Rule], of_kind: RulesOfKind, detectors: Detectors, fingerprints: Fingerprints
    ) -> None:
        self._rules = rules
        self._of_kind = of_kind
        self._detectors = detectors
        self._fingerprints = fingerprints
        self._guards = [rule for rule in rules if rule.guard]
        self._shown = frozenset.intersection(*[rule.columns for rule in self._guards]) if self._guards else frozenset()
        self._columns: list[str] = []  # of the Table: in a watch only the first event names them
        self.changed = False

    def mask(self, value: Any) -> None:
        """Mask `value`, whatever form of reply it is. Raises Unmaskable when it is none."""
        match value:
            case {"kind": "Status", "apiVersion": "v1"}:
                self._status(value)
            case {"kind": "Table"} | {"rows": list(), "columnDefinitions": list()}:
                self._table(value)
            case {"items": list(items)} if (kind := str(value.get("kind", "List"))).endswith("List"):
                for item in items:
                    self._item(item, str(value.get("apiVersion", "")), kind.removesuffix("List"))
            case dict():
                self._object(value, str(value.get("apiVersion", "")), str(value.get("kind", "")))
            case _:
                raise Unmaskable("the reply is not a Kubernetes object")

    def event(self, value: Any) -> None:
        """Mask one watch event. Raises Unmaskable when it is none."""
        match value:
            case {"type": str(), "object": dict(inner)}:
                self.mask(inner)
            case _:
                raise Unmaskable("not a watch event")

    def _item(self, item: Any, version: str, kind: str) -> None:
        """An item of a list, which names its kind only in a list of mixed kinds."""
        if isinstance(item, dict) and "kind" not in item:
            self._object(item, version, kind)
        else:
            self.mask(item)

    def _object(self, value: dict[str, Any], version: str, kind: str, owner: Owner = ()) -> None:
        rules = {rule.name: rule for rule in (*self._rules, *self._of_kind(version.rpartition("/")[0], kind))}
        owner = owner or _owner(value)
        for rule in rules.values():
            self._apply(rule, value, owner)

    def _apply(self, rule: Rule, value: dict[str, Any], owner: Owner) -> None:
        def plain(container: Any, key: Any, trail: Trail) -> None:
            visit_leaves(container, key, trail, lambda at, last, path: self._replace(at, last, (*owner, spell(path))))

        def base64(container: Any, key: Any, trail: Trail) -> None:
            visit_leaves(
                container, key, trail, lambda at, last, path: self._replace(at, last, (*owner, spell(path)), encode)
            )

        def copy(container: Any, key: Any, trail: Trail) -> None:
            self._copy(container, key, (*owner, spell(trail)))

        def detect(container: Any, key: Any, trail: Trail) -> None:
            visit_leaves(container, key, trail, lambda at, last, path: self._search(at, last, owner, path))

        for finders, visit in (
            (rule.paths, plain),
            (rule.base64, base64),
            (rule.copies, copy),
            (rule.detect, detect),
        ):
            for find in finders:
                find(value, visit)

    def _replace(self, container: Any, key: Any, where: Owner, encoding: Callable[[str], str] | None = None) -> None:
        value = container[key]
        if value is None or (isinstance(value, str) and is_placeholder(value)):
            return
        placeholder = self._fingerprints.placeholder(*where, value if isinstance(value, str) else json.dumps(value))
        self._put(container, key, encoding(placeholder) if encoding else placeholder)

    def _put(self, container: Any, key: Any, value: Any) -> None:
        container[key] = value
        self.changed = True

    def _copy(self, container: Any, key: Any, where: Owner) -> None:
        """Mask a JSON copy inside, as a place of its object's; what is no unambiguous JSON object is masked whole."""
        text = container[key]
        try:
            inner = decode_copy(text) if isinstance(text, str) else None
        except Unmaskable:
            inner = None
        if not isinstance(inner, dict):
            self._replace(container, key, where)
            return
        before, self.changed = self.changed, False
        self._object(inner, str(inner.get("apiVersion", "")), str(inner.get("kind", "")), where)
        if self.changed:
            # kubectl ends its own copy with a newline
            end = "\n" if text.endswith("\n") else ""
            container[key] = json.dumps(inner, ensure_ascii=False, separators=(",", ":")) + end
        self.changed = self.changed or before

    def _search(self, container: Any, key: Any, owner: Owner, trail: Trail) -> None:
        value = container[key]
        if not isinstance(value, str):
            return
        masked = redact(value, self._detectors, At(self._fingerprints, lambda: (*owner, spell(trail))))
        if masked != value:
            self._put(container, key, masked)

    def _table(self, table: dict[str, Any]) -> None:
        if definitions := table.get("columnDefinitions"):
            self._columns = [str(definition["name"]) for definition in definitions]
        for row in table.get("rows") or ():
            cells, shown = row["cells"], row.get("object")
            owner = _owner(shown) if isinstance(shown, dict) else tuple(map(str, cells[:1]))
            for index in range(len(cells)):
                self._cell(cells, index, owner)
            if shown is not None:
                self.mask(shown)

    def _cell(self, cells: list[Any], index: int, owner: Owner) -> None:
        name = self._columns[index] if index < len(self._columns) else ""
        if self._guards and name not in self._shown:
            self._replace(cells, index, (*owner, f"cell {name}"))
        else:
            self._search(cells, index, (*owner, f"cell {name}"), None)

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
                        self._put(holder, "message", text)
                self._search(holder, "message", ("message",), None)


def _owner(value: dict[str, Any]) -> Owner:
    """What tells an object from every other, of the same name or later."""
    metadata = value.get("metadata")
    whose = metadata if isinstance(metadata, dict) else {}
    return tuple(str(whose.get(key, "")) for key in ("uid", "namespace", "name"))


def hide_quoted(message: str, name: str = "") -> str:
    """The message without what it quotes, except `name` and the names that the API server's own sentences quote."""

    def replace(match: re.Match[str]) -> str:
        before, text = match["before"], match["text"]
        word = before[:-1].lower()
        known = text[1:-1] in ("", name, "(masked)") or (text[0] == '"' and word in _NAMING)
        return match[0] if known else before + _HIDDEN

    return _QUOTED.sub(replace, message)
