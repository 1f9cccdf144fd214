"""A masking rule, compiled: which objects it is about and the walkers that find what is masked in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from addons.core.documents import Document, Path, validate
from addons.core.masking.detectors import UnsupportedPattern, compile_re2
from addons.core.masking.models import MaskingSpec
from addons.core.masking.paths import UnsupportedPath, Visit, compile_path
from addons.core.problem import Problem

type Finder = Callable[[Any, Visit], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Nothing here depends on a request: one rule serves every thread of replies at once."""

    name: str
    groups: frozenset[str]
    resources: frozenset[str]
    paths: tuple[Finder, ...]
    base64: tuple[Finder, ...]
    copies: tuple[Finder, ...]
    detect: tuple[Finder, ...]
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
        return bool(self.paths or self.base64 or self.copies)


def compile_rule(document: Document) -> tuple[Rule | None, MaskingSpec | None, list[Problem]]:
    """The compiled rule and its specification, or every mistake in it."""
    spec, problems = validate(document, MaskingSpec)
    if spec is None:
        return None, None, problems
    finders = {
        name: _finders(document, name, paths, problems)
        for name, paths in (
            ("paths", spec.paths),
            ("base64", spec.base64),
            ("json", spec.copies),
            ("detect", spec.detect),
        )
    }
    if spec.mention:
        try:
            compile_re2(spec.mention)
        except UnsupportedPattern as error:
            problems.append(document.problem(("spec", "mention"), f"mention: {error}"))
    if problems:
        return None, None, problems
    rule = Rule(
        name=document.name,
        groups=frozenset(spec.match.api_groups),
        resources=frozenset(spec.match.resources),
        paths=finders["paths"],
        base64=finders["base64"],
        copies=finders["json"],
        detect=finders["detect"],
        guard=spec.guard and bool(spec.paths or spec.base64 or spec.copies),
        columns=frozenset(spec.columns),
        mention=spec.mention or "",
    )
    return rule, spec, []


def _finders(document: Document, name: str, paths: Sequence[str], problems: list[Problem]) -> tuple[Finder, ...]:
    found: list[Finder] = []
    for index, path in enumerate(paths):
        where: Path = ("spec", name, index)
        try:
            found.append(compile_path(path))
        except UnsupportedPath as error:
            problems.append(document.problem(where, f"{name}: {path}: {error}"))
    return tuple(found)
