"""Masking of the fields of one decoded object, and of the objects that are written down in them.

Rules apply to an object by the request it answers and by its own kind, whichever says more. Values are replaced in
place.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from addons.core.masking import helm
from addons.core.masking.codec import Unmaskable, decode_copy
from addons.core.masking.detectors import Detectors
from addons.core.masking.manifests import mask_documents
from addons.core.masking.paths import Trail, all_keys, spell, visit_leaves, visit_named
from addons.core.masking.placeholder import At, Fingerprints, encode, is_placeholder
from addons.core.masking.rule import Rule
from addons.core.masking.text import redact, redact_bytes

_BASE64 = re.compile("(?:[A-Za-z0-9+/]{4}){10,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?").fullmatch
"""Of some length: shorter ones are as likely words."""

type Owner = tuple[str, ...]
"""The object that a value belongs to, and in a copy the place of that."""
type RulesOfKind = Callable[[str, str], Sequence[Rule]]


def owner_of(value: dict[str, Any]) -> Owner:
    """What tells an object from every other, of the same name or later."""
    metadata = value.get("metadata")
    whose = metadata if isinstance(metadata, dict) else {}
    return tuple(str(whose.get(key, "")) for key in ("uid", "namespace", "name"))


class Fields:
    """Masks fields of the objects of one reply, by the rules it is asked for with and those of the objects' kinds."""

    __slots__ = ("_changed", "_detectors", "_of_kind", "asked", "fingerprints")

    def __init__(
        self, asked: Sequence[Rule], of_kind: RulesOfKind, detectors: Detectors, fingerprints: Fingerprints
    ) -> None:
        self.asked = asked
        self.fingerprints = fingerprints
        self._of_kind = of_kind
        self._detectors = detectors
        self._changed = False

    def changes(self, mask: Callable[[], None]) -> bool:
        """Whether `mask` found something to mask."""
        before, self._changed = self._changed, False
        mask()
        changed, self._changed = self._changed, self._changed or before
        return changed

    def mask(self, value: dict[str, Any], version: str, kind: str) -> None:
        """Mask an object by all its rules."""
        self.mask_as(value, version, kind, owner_of(value), self.asked)

    def mask_as(self, value: dict[str, Any], version: str, kind: str, owner: Owner, asked: Sequence[Rule] = ()) -> None:
        """Mask an object by `asked` and the rules of its kind, for fingerprints as part of `owner`."""
        rules = {rule.name: rule for rule in (*asked, *self._of_kind(version.rpartition("/")[0], kind))}
        for rule in rules.values():
            _Visits(self, rule, owner).run(value)

    def replace(self, container: Any, key: Any, where: Owner, encoding: Callable[[str], str] | None = None) -> None:
        """A placeholder for a value, unless it is one."""
        value = container[key]
        if value is None or (isinstance(value, str) and is_placeholder(value)):
            return
        placeholder = self.fingerprints.placeholder(*where, value if isinstance(value, str) else json.dumps(value))
        self.put(container, key, encoding(placeholder) if encoding else placeholder)

    def put(self, container: Any, key: Any, value: Any) -> None:
        """What masking made of a value."""
        container[key] = value
        self._changed = True

    def search(self, container: Any, key: Any, owner: Owner, trail: Trail) -> None:
        """Search all text at or below `key`. What holds no start of a secret, written as JSON, is passed over whole."""
        value = container[key]
        if isinstance(value, str):
            masked = redact(value, self._detectors, self._at(owner, trail))
            if masked != value and _BASE64(value):  # it stays base64, and a client can decode what holds it
                self.replace(container, key, (*owner, spell(trail)), encode)
            elif masked != value:
                self.put(container, key, masked)
        elif self._detectors.may_be_in(value):
            for inner in all_keys(value):
                self.search(value, inner, owner, (trail, inner))

    def search_base64(self, container: Any, key: Any, owner: Owner, trail: Trail) -> None:
        """Search what is in base64 at `key`."""
        try:
            raw = b64decode(container[key], validate=True)
        except (TypeError, ValueError):
            return
        masked = redact_bytes(raw, self._detectors, self._at(owner, trail))
        if masked != raw:
            self.put(container, key, b64encode(masked).decode())

    def _at(self, owner: Owner, trail: Trail) -> At:
        return At(self.fingerprints, lambda: (*owner, spell(trail)))


@dataclass(slots=True)
class _Visits:
    """One rule in one object: what is done at each place that its paths select."""

    fields: Fields
    rule: Rule
    owner: Owner
    releases: set[tuple[int, Any]] = field(default_factory=set)
    """Places of releases, which are masked inside and so not as a whole."""

    def run(self, value: dict[str, Any]) -> None:
        rule = self.rule
        for finders, visit in (
            (rule.helm, self._release),
            (rule.paths, self._plain),
            (rule.base64, self._base64),
            (rule.named, self._named),
            (rule.copies, self._copy),
            (rule.manifests, self._manifests),
            (rule.detect, self._detect),
            (rule.detect_base64, self._detect_base64),
        ):
            for find in finders:
                find(value, visit)

    def _where(self, trail: Trail) -> Owner:
        return (*self.owner, spell(trail))

    def _replace(self, container: Any, key: Any, trail: Trail) -> None:
        self.fields.replace(container, key, self._where(trail))

    def _replace_encoded(self, container: Any, key: Any, trail: Trail) -> None:
        self.fields.replace(container, key, self._where(trail), encode)

    def _replace_told(self, container: Any, key: Any, trail: Trail) -> None:
        """What a key says is secret: no switch and nothing that is empty."""
        if container[key] != "" and not isinstance(container[key], bool):
            self._replace(container, key, trail)

    def _plain(self, container: Any, key: Any, trail: Trail) -> None:
        if (id(container), key) not in self.releases:
            visit_leaves(container, key, trail, self._replace)

    def _base64(self, container: Any, key: Any, trail: Trail) -> None:
        if (id(container), key) not in self.releases:
            visit_leaves(container, key, trail, self._replace_encoded)

    def _named(self, container: Any, key: Any, trail: Trail) -> None:
        visit_named(container, key, trail, self.rule.tells, self._replace_told)

    def _detect(self, container: Any, key: Any, trail: Trail) -> None:
        self.fields.search(container, key, self.owner, trail)

    def _detect_base64(self, container: Any, key: Any, trail: Trail) -> None:
        visit_leaves(container, key, trail, self._search_base64)

    def _search_base64(self, container: Any, key: Any, trail: Trail) -> None:
        self.fields.search_base64(container, key, self.owner, trail)

    def _copy(self, container: Any, key: Any, trail: Trail) -> None:
        """Mask a JSON copy inside, as a place of its object's; what is no unambiguous JSON object is masked whole."""
        text = container[key]
        try:
            inner = decode_copy(text) if isinstance(text, str) else None
        except Unmaskable:
            inner = None
        if not isinstance(inner, dict):
            self._replace(container, key, trail)
        elif self._inside(inner, self._where(trail), self.fields.asked):
            # kubectl ends its own copy with a newline
            end = "\n" if text.endswith("\n") else ""
            container[key] = json.dumps(inner, ensure_ascii=False, separators=(",", ":")) + end

    def _inside(self, inner: dict[str, Any], where: Owner, asked: Sequence[Rule] = ()) -> bool:
        """Mask an object within a value, and tell whether there was something to mask."""
        version, kind = str(inner.get("apiVersion", "")), str(inner.get("kind", ""))
        return self.fields.changes(lambda: self.fields.mask_as(inner, version, kind, where, asked))

    def _manifests(self, container: Any, key: Any, trail: Trail) -> None:
        """Mask objects written as YAML, by the rules of their own kinds alone."""
        text, where = container[key], self._where(trail)
        if not isinstance(text, str):
            self._replace(container, key, trail)
            return
        masked = mask_documents(
            text,
            lambda inner: self._inside(inner, (*where, *owner_of(inner))),
            lambda piece: self.fields.fingerprints.placeholder(*where, piece),
        )
        if masked != text:
            self.fields.put(container, key, masked)

    def _release(self, container: Any, key: Any, trail: Trail) -> None:
        """Mask a release of Helm inside."""
        if (release := helm.unpack(container[key])) is None:
            return
        self.releases.add((id(container), key))
        mask_as, where = self.fields.mask_as, self._where(trail)
        if self.fields.changes(lambda: mask_as(release.value, helm.API_VERSION, helm.KIND, where)):
            container[key] = release.pack()
