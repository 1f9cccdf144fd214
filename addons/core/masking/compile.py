"""Masking documents to a Masker: every mistake at once, and every rule's own tests run."""

from __future__ import annotations

from collections.abc import Sequence

from addons.core.documents import Document, validate
from addons.core.masking.detectors import Detector, Detectors, UnsupportedPattern, compile_detector
from addons.core.masking.masker import Masker
from addons.core.masking.models import DetectorSpec, MaskingSpec
from addons.core.masking.placeholder import Fingerprints
from addons.core.masking.rule import Rule, compile_rule
from addons.core.masking.selftest import detector_failures, rule_failures
from addons.core.problem import Problem


def compile_masking(documents: Sequence[Document], fingerprint_key: bytes) -> tuple[Masker, list[Problem]]:
    """The masker of all valid rules, and every problem. The masker is only to be used when there is none.

    `fingerprint_key`: at least 16 secret bytes, the same for all workers and as long as fingerprints should compare.
    """
    fingerprints = Fingerprints(fingerprint_key)
    problems: list[Problem] = _duplicates(documents)
    rules: list[tuple[Document, Rule, MaskingSpec]] = []
    detectors: list[tuple[Document, Detector, DetectorSpec]] = []
    for document in documents:
        match document.kind:
            case "Masking":
                rule, masking, found = compile_rule(document)
                if rule and masking:
                    rules.append((document, rule, masking))
            case "Detector":
                detector, spec, found = detector_of(document)
                if detector and spec:
                    detectors.append((document, detector, spec))
            case other:
                found = [document.problem(("kind",), f"kind must be Masking or Detector here, not {other}")]
        problems += found
    everything = Detectors([detector for _, detector, _ in detectors])
    for document, detector, spec in detectors:
        problems += detector_failures(document, detector, spec, fingerprints)
    for document, rule, masking in rules:
        problems += rule_failures(document, rule, masking, everything, fingerprints)
    problems.sort(key=lambda problem: (problem.file, problem.line))
    return Masker([rule for _, rule, _ in rules], everything, fingerprints), problems


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
