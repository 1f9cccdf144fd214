"""A masking rule, compiled: which objects it is about and the walkers that find what is masked in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from addons.core.documents import Document, Path, validate
from addons.core.masking.detectors import UnsupportedPattern, compile_re2
from addons.core.masking.models import WHOLE, MaskingSpec
from addons.core.masking.paths import UnsupportedPath, Visit, compile_path
from addons.core.problem import Problem

_SEARCHED = ("detect", "detect_base64")
_PATTERNS = ("names", "unless", "mention")

type Finder = Callable[[Any, Visit], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Nothing here depends on a request: one rule serves every thread of replies at once."""

    name: str
    groups: frozenset[str]
    resources: frozenset[str]
    paths: tuple[Finder, ...]
    base64: tuple[Finder, ...]
    named: tuple[Finder, ...]
    names: Any
    unless: Any
    copies: tuple[Finder, ...]
    manifests: tuple[Finder, ...]
    helm: tuple[Finder, ...]
    detect: tuple[Finder, ...]
    detect_base64: tuple[Finder, ...]
    guard: bool
    columns: frozenset[str]
    mention: str

    def about(self, group: str, resource: str, subresource: str) -> bool:
        """True for the replies to requests of this shape. A subresource often answers with the object itself."""
        if "*" not in self.groups and group not in self.groups:
            return False
        names = {"*", resource, f"{resource}/{subresource}", f"*/{subresource}"}
        return not names.isdisjoint(self.resources)

    def about_kind(self, group: str, kind: str) -> bool:
        """True for objects of this kind: a kind is its resource's name in the singular."""
        word = kind.lower()
        return any(self.about(group, plural, "") for plural in (word, word + "s", word + "es", word[:-1] + "ies"))

    @property
    def whole_values(self) -> bool:
        """True if fields are masked whatever they hold, rather than searched."""
        return any(getattr(self, name) for name in WHOLE)

    def tells(self, key: str) -> bool:
        """True for a key that says that its value is secret."""
        raw = key.encode("utf-8", "surrogatepass")
        return self.names.search(raw) is not None and self.unless.search(raw) is None


def compile_rule(document: Document) -> tuple[Rule | None, MaskingSpec | None, list[Problem]]:
    """The compiled rule and its specification, or every mistake in it."""
    spec, problems = validate(document, MaskingSpec)
    if spec is None:
        return None, None, problems
    finders = {name: _finders(document, name, getattr(spec, name), problems) for name in (*WHOLE, *_SEARCHED)}
    patterns = {name: _pattern(document, name, getattr(spec, name) or "", problems) for name in _PATTERNS}
    if problems:
        return None, None, problems
    rule = Rule(
        name=document.name,
        groups=frozenset(spec.match.api_groups),
        resources=frozenset(spec.match.resources),
        names=patterns["names"],
        unless=patterns["unless"],
        guard=spec.guard and any(getattr(spec, name) for name in WHOLE),
        columns=frozenset(spec.columns),
        mention=spec.mention or "",
        **finders,
    )
    return rule, spec, []


def _pattern(document: Document, name: str, pattern: str, problems: list[Problem]) -> Any:
    try:
        return compile_re2(pattern)
    except UnsupportedPattern as error:
        problems.append(document.problem(("spec", name), f"{name}: {error}"))


def _finders(document: Document, field: str, paths: Sequence[str], problems: list[Problem]) -> tuple[Finder, ...]:
    found: list[Finder] = []
    name = MaskingSpec.model_fields[field].alias or field
    for index, path in enumerate(paths):
        where: Path = ("spec", name, index)
        try:
            found.append(compile_path(path))
        except UnsupportedPath as error:
            problems.append(document.problem(where, f"{name}: {path}: {error}"))
    return tuple(found)
