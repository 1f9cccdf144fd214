"""Masking of the fields of one decoded object, and of the objects that are written down in them.

Rules apply to an object by the request it answers and by its own kind, whichever says more. Values are replaced in
place.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from addons.core.masking import helm
from addons.core.masking.codec import Unmaskable, decode_copy
from addons.core.masking.detectors import Detectors
from addons.core.masking.managed_fields import MANAGED_FIELDS, mask_sets, may_hold_values
from addons.core.masking.manifests import mask_documents
from addons.core.masking.paths import Trail, Visit, spell, texts, visit_leaves, visit_named
from addons.core.masking.placeholder import At, Fingerprints, Owner, encode, is_placeholder, owner_of
from addons.core.masking.rule import Finder, Rule
from addons.core.masking.text import redact, redact_bytes

_BASE64 = re.compile("(?:[A-Za-z0-9+/]{4}){10,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?").fullmatch
"""Of some length: shorter ones are as likely words."""
_ENCODING = ("utf-8", "surrogatepass")

type RulesOfKind = Callable[[str, str], Sequence[Rule]]
type _Step = tuple[Finder, Visit]
type _Program = tuple[list[_Step], Visit]


class Fields:
    """Masks fields of the objects of one reply, by the rules it is asked for with and those of the objects' kinds."""

    __slots__ = (
        "_asked",
        "_changed",
        "_detectors",
        "_expects_secrets",
        "_expects_sets",
        "_fingerprints",
        "_of_kind",
        "_owner",
        "_programs",
        "_releases",
        "_replace_encoded",
    )

    def __init__(
        self, asked: Sequence[Rule], of_kind: RulesOfKind, detectors: Detectors, fingerprints: Fingerprints
    ) -> None:
        self._asked = asked
        self._of_kind = of_kind
        self._detectors = detectors
        self._fingerprints = fingerprints
        self._owner: Owner = ()
        self._changed = False
        self._replace_encoded = partial(self._replace_all, encoding=encode)
        self._programs: dict[tuple[str, str, bool], _Program] = {}
        self._releases: set[tuple[int, Any]] = set()
        self._expects_secrets = self._expects_sets = True

    def expect(self, body: bytes) -> None:
        """Look once in the JSON of what is masked next: for secrets that may be found, and values in managedFields."""
        self._expects_secrets = self._detectors.may_be_in_json(body)
        self._expects_sets = may_hold_values(body, self._expects_secrets)

    def changes(self, mask: Callable[[], None]) -> bool:
        """Whether `mask` found something to mask."""
        before, self._changed = self._changed, False
        mask()
        changed, self._changed = self._changed, self._changed or before
        return changed

    def mask(self, value: dict[str, Any], version: str, kind: str) -> None:
        """Mask an object by the rules of its kind and those the reply is asked for with."""
        self._mask_as(owner_of(value), value, version, kind, asked=True)

    def _mask_as(self, owner: Owner, value: dict[str, Any], version: str, kind: str, asked: bool) -> None:
        shape = (version, kind, asked)
        if (program := self._programs.get(shape)) is None:
            program = self._programs[shape] = self._program(*shape)
        before, self._owner, self._releases = (self._owner, self._releases), owner, set()
        for find, visit in program[0]:
            find(value, visit)
        if self._expects_sets:
            MANAGED_FIELDS(value, program[1])
        self._owner, self._releases = before

    def _program(self, version: str, kind: str, asked: bool) -> _Program:
        """What is done in an object of this kind, and at its managedFields."""
        found = (*(self._asked if asked else ()), *self._of_kind(version.rpartition("/")[0], kind))
        rules = list({rule.name: rule for rule in found}.values())
        # What is replaced as a whole need not be searched.
        steps = [step for steps in (self._replacing, self._searching) for rule in rules for step in steps(rule)]
        hidden = any(rule.whole_values for rule in rules)
        return steps, partial(self._visit_sets, hidden)

    def _replacing(self, rule: Rule) -> list[_Step]:
        visits: tuple[tuple[Sequence[Finder], Visit], ...] = (
            (rule.helm, self._visit_releases),
            (rule.paths, self._visit_plain),
            (rule.base64, self._visit_base64),
            (rule.named, partial(self._visit_named, rule.tells)),
            (rule.copies, self._visit_copies),
            (rule.manifests, self._visit_manifests),
        )
        return [(find, visit) for finders, visit in visits for find in finders]

    def _searching(self, rule: Rule) -> list[_Step]:
        return [
            *((find, self._visit_searched) for find in rule.detect),
            *((find, self._visit_searched_base64) for find in rule.detect_base64),
        ]

    def put(self, container: Any, key: Any, value: Any) -> None:
        """What masking made of a value."""
        container[key], self._changed = value, True

    def mask_one(self, container: Any, key: Any, owner: Owner, hidden: bool = False) -> None:
        """Search a value that is no field of an object, or replace it if it is to be `hidden`."""
        self._owner = owner
        (self._replace_all if hidden else self._search)(container, (key,), None)

    def _at(self, trail: Trail) -> Fingerprints:
        return self._fingerprints.of(*self._owner, spell(trail))

    def _replace_all(
        self, container: Any, keys: Iterable[Any], trail: Trail, encoding: Callable[[str], str] | None = None
    ) -> None:
        """Placeholders for values, unless they are some or there is none. Nothing here runs as often as this."""
        placeholder = self._at(trail).placeholder
        for key in keys:
            value = container[key]
            if type(value) is not str:
                if value is None:
                    continue
                value = json.dumps(value)
            elif is_placeholder(value):
                continue
            made = placeholder(f"{key}", value)
            container[key] = encoding(made) if encoding else made
            self._changed = True

    def _replace_told(self, container: Any, keys: Iterable[Any], trail: Trail) -> None:
        """What a key says is secret: no switch and nothing that is empty."""
        told = [key for key in keys if container[key] != "" and not isinstance(container[key], bool)]
        self._replace_all(container, told, trail)

    def _visit_plain(self, container: Any, keys: Iterable[Any], trail: Trail) -> None:
        visit_leaves(container, self._but_releases(container, keys), trail, self._replace_all)

    def _visit_base64(self, container: Any, keys: Iterable[Any], trail: Trail) -> None:
        visit_leaves(container, self._but_releases(container, keys), trail, self._replace_encoded)

    def _but_releases(self, container: Any, keys: Iterable[Any]) -> Iterable[Any]:
        """The keys without those of releases, which are masked inside and so not as a whole."""
        return [key for key in keys if (id(container), key) not in self._releases] if self._releases else keys

    def _visit_named(self, named: Callable[[str], bool], container: Any, keys: Iterable[Any], trail: Trail) -> None:
        visit_named(container, keys, trail, named, self._replace_told)

    def _visit_searched(self, container: Any, keys: Iterable[Any], trail: Trail) -> None:
        """Search all text at or below the keys: at once first, because there is seldom a secret."""
        if self._expects_secrets and self._detectors.may_be_in("\n".join(texts(container, keys)).encode(*_ENCODING)):
            visit_leaves(container, keys, trail, self._search)

    def _search(self, container: Any, keys: Iterable[Any], trail: Trail) -> None:
        for key in keys:
            value = container[key]
            if not isinstance(value, str):
                continue
            masked = redact(value, self._detectors, At(partial(self._at, (trail, key))))
            if masked != value and _BASE64(value):  # it stays base64, and a client can decode what holds it
                self._replace_encoded(container, (key,), trail)
            elif masked != value:
                self.put(container, key, masked)

    def _visit_searched_base64(self, container: Any, keys: Iterable[Any], trail: Trail) -> None:
        visit_leaves(container, keys, trail, self._search_base64)

    def _search_base64(self, container: Any, keys: Iterable[Any], trail: Trail) -> None:
        for key in keys:
            try:
                raw = b64decode(container[key], validate=True)
            except (TypeError, ValueError):
                continue
            masked = redact_bytes(raw, self._detectors, At(partial(self._at, (trail, key))))
            if masked != raw:
                self.put(container, key, b64encode(masked).decode())

    def _visit_sets(self, hidden: bool, container: Any, keys: Iterable[Any], trail: Trail) -> None:
        for key in keys:
            if (masked := mask_sets(container[key], hidden, self._detectors)) != container[key]:
                self.put(container, key, masked)

    def _visit_copies(self, container: Any, keys: Iterable[Any], trail: Trail) -> None:
        """Mask JSON copies inside, as places of their object's; what is no unambiguous JSON object is masked whole."""
        for key in keys:
            text = container[key]
            try:
                inner = decode_copy(text) if isinstance(text, str) else None
            except Unmaskable:
                inner = None
            if not isinstance(inner, dict):
                self._replace_all(container, (key,), trail)
            elif self._changes_inside((*self._owner, spell((trail, key))), inner, True, text):
                # kubectl ends its own copy with a newline
                end = "\n" if text.endswith("\n") else ""
                container[key] = json.dumps(inner, ensure_ascii=False, separators=(",", ":")) + end

    def _changes_inside(self, owner: Owner, inner: dict[str, Any], asked: bool, text: str = "", *kind: str) -> bool:
        """Mask an object within a value, and tell whether there was something to mask; `text`: its JSON."""
        version, kind_ = kind or (str(inner.get("apiVersion", "")), str(inner.get("kind", "")))
        known = self._expects_secrets, self._expects_sets
        self._expects_secrets = self._expects_sets = True  # nobody has looked inside
        if text:
            self.expect(text.encode(*_ENCODING))
        changed = self.changes(lambda: self._mask_as(owner, inner, version, kind_, asked))
        self._expects_secrets, self._expects_sets = known
        return changed

    def _visit_manifests(self, container: Any, keys: Iterable[Any], trail: Trail) -> None:
        """Mask objects written as YAML, by the rules of their own kinds alone."""
        for key in keys:
            text = container[key]
            if not isinstance(text, str):
                self._replace_all(container, (key,), trail)
            elif (masked := self._manifests(text, (*self._owner, spell((trail, key))))) != text:
                self.put(container, key, masked)

    def _manifests(self, text: str, owner: Owner) -> str:
        def mask(inner: dict[str, Any]) -> bool:
            return self._changes_inside((*owner, *owner_of(inner)), inner, asked=False)

        return mask_documents(text, mask, partial(self._fingerprints.of(*owner).placeholder, "document"))

    def _visit_releases(self, container: Any, keys: Iterable[Any], trail: Trail) -> None:
        """Mask releases of Helm inside."""
        for key in keys:
            if (release := helm.unpack(container[key])) is not None:
                self._releases.add((id(container), key))
                owner = (*self._owner, spell((trail, key)))
                if self._changes_inside(owner, release.value, False, "", helm.API_VERSION, helm.KIND):
                    container[key] = release.pack()
