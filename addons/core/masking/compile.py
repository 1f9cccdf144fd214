"""Masking documents to a Masker: every mistake at once, and every rule's own tests run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from addons.core.documents import KEPT, Document, validate
from addons.core.masking.detectors import Detector, Detectors, UnsupportedPattern, compile_detector
from addons.core.masking.masker import Masker
from addons.core.masking.models import DetectorSpec
from addons.core.masking.placeholder import Fingerprints
from addons.core.masking.rule import Rule, compile_rule
from addons.core.masking.selftest import detector_failures, rule_failures
from addons.core.problem import Problem

_KEPT_SETS = 8
_OF_TESTS = Fingerprints(bytes(16))
"""A test says where a placeholder is expected, not which: it comes out alike everywhere."""


def compile_masking(documents: Sequence[Document], fingerprint_key: bytes) -> tuple[Masker, list[Problem]]:
    """The masker of all valid rules, and every problem. The masker is only to be used when there is none.

    `fingerprint_key`: at least 16 secret bytes, the same for all workers and as long as fingerprints should compare.
    """
    fingerprints = Fingerprints(fingerprint_key)
    problems: list[Problem] = _duplicates(documents)
    detectors, mistakes = _detectors(tuple(each for each in documents if each.kind == "Detector"))
    problems += mistakes
    rules: list[Rule] = []
    for document in documents:
        match document.kind:
            case "Masking":
                rule, found = _tested(document, detectors)
                rules += [rule] if rule else []
                problems += found
            case "Detector":
                pass
            case other:
                problems.append(document.problem(("kind",), f"kind must be Masking or Detector here, not {other}"))
    problems.sort(key=lambda problem: (problem.file, problem.line))
    return Masker(rules, detectors, fingerprints), problems


@lru_cache(_KEPT_SETS)
def _detectors(documents: Sequence[Document]) -> tuple[Detectors, Sequence[Problem]]:
    tested = list(map(_tested_detector, documents))
    problems = [problem for _, found in tested for problem in found]
    return Detectors([detector for detector, _ in tested if detector]), problems


@lru_cache(KEPT)
def _tested_detector(document: Document) -> tuple[Detector | None, Sequence[Problem]]:
    detector, spec, problems = detector_of(document)
    if detector is None or spec is None:
        return None, problems
    return detector, [*detector_failures(document, detector, spec, _OF_TESTS)]


@lru_cache(KEPT)
def _tested(document: Document, detectors: Detectors) -> tuple[Rule | None, Sequence[Problem]]:
    rule, spec, problems = compile_rule(document)
    if rule is None or spec is None:
        return None, problems
    return rule, [*rule_failures(document, rule, spec, detectors, _OF_TESTS)]


def _duplicates(documents: Sequence[Document]) -> list[Problem]:
    seen: set[str] = set()
    problems = []
    for document in documents:
        if document.name in seen:
            problems.append(document.problem(("metadata", "name"), f"the name {document.name} is used twice"))
        seen.add(document.name)
    return problems


def detector_of(document: Document) -> tuple[Detector | None, DetectorSpec | None, list[Problem]]:
    """The compiled detector and its specification, or every mistake in it."""
    spec, problems = validate(document, DetectorSpec)
    if spec is None:
        return None, None, problems
    try:
        parts = (spec.start, spec.secret or "", spec.then or "", spec.until or "")
        return compile_detector(document.name, *parts, spec.entropy or 0), spec, []
    except UnsupportedPattern as error:
        return None, None, [document.problem(("spec",), str(error))]
