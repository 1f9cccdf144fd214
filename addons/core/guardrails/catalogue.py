"""The catalogue: every danger the guardrails are to be complete against, by an id that rules and documents share.

An entry that is no guardrail's business says what answers it instead, with evidence that somebody can look up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from addons.core.documents import Document, SpecModel, validate
from addons.core.guardrails.guardrail import KIND as GUARDRAIL
from addons.core.guardrails.guardrail import Guardrail
from addons.core.guardrails.models import CatalogueId, Text
from addons.core.problem import Problem

KIND = "Catalogue"
Answer = Literal["deny", "approve", "mask", "warn", "log"]


class ElsewhereSpec(SpecModel):
    """What answers the danger, when no rule does."""

    by: Text = Field(description="which step, in a sentence")
    evidence: list[Text] = Field(min_length=1, description="tests (`path::name`) or files that show it")


class EntrySpec(SpecModel):
    """One danger."""

    id: CatalogueId = Field(description="what `covers` of a guardrail refers to")
    title: Text = Field(description="the danger, in a few words")
    default: list[Answer] = Field(
        min_length=1, description="what should follow; of several, the mildest for any match and the strictest for some"
    )
    references: list[Text] = Field(default=[], description="where to read about it")
    elsewhere: ElsewhereSpec | None = None


class CatalogueSpec(SpecModel):
    """One section of the catalogue."""

    description: Text = Field(description="what its entries have in common")
    entries: list[EntrySpec] = Field(min_length=1, description="in any order; an id occurs once")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One entry, and the names of the rules that cover it."""

    entry: EntrySpec
    rules: tuple[str, ...]

    @property
    def gap(self) -> bool:
        """True if nothing answers this danger."""
        return not self.rules and self.entry.elsewhere is None


def compile_catalogue(documents: Sequence[Document]) -> tuple[dict[str, EntrySpec], list[Problem]]:
    """Every entry of the Catalogue documents among these, by id, and every mistake in them."""
    entries: dict[str, EntrySpec] = {}
    problems: list[Problem] = []
    for document in (document for document in documents if document.kind == KIND):
        spec, found = validate(document, CatalogueSpec)
        problems += found
        for index, entry in enumerate(spec.entries if spec else ()):
            if entry.id in entries:
                path = ("spec", "entries", index)
                problems.append(document.problem(path, f"{entry.id} is in the catalogue already"))
            entries.setdefault(entry.id, entry)
    return entries, problems


def uncatalogued(documents: Iterable[Document], catalogue: Mapping[str, EntrySpec]) -> Iterator[Problem]:
    """One problem for each id that a guardrail covers and no entry has, at its line."""
    for document in documents:
        covers = document.spec.get("covers") if document.kind == GUARDRAIL else None
        for index, name in enumerate(covers if isinstance(covers, list) else ()):
            if name not in catalogue:
                message = f"covers: no Catalogue document has {name}; add it there, or leave it out"
                yield document.problem(("spec", "covers", index), message)


def coverage(catalogue: Mapping[str, EntrySpec], rules: Iterable[Guardrail]) -> list[Coverage]:
    """Every entry in the catalogue's order, with the rules in force that cover it. Rules on trial cover nothing."""
    covering: dict[str, list[str]] = {name: [] for name in catalogue}
    for rule in rules:
        for name in rule.covers if not rule.shadow else ():
            covering[name].append(rule.name)
    return [Coverage(entry=entry, rules=tuple(covering[name])) for name, entry in catalogue.items()]
