"""Masking documents to a Masker: every mistake at once, and every rule's own tests run."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from addons.core.documents import Document, validate
from addons.core.masking.codec import Unmaskable
from addons.core.masking.detectors import (
    Detector,
    Detectors,
    UnsupportedPattern,
    as_kubernetes_json,
    compile_detector,
    compile_re2,
)
from addons.core.masking.masker import Masker
from addons.core.masking.models import DetectorExample, DetectorSpec, MaskingExample, MaskingSpec
from addons.core.masking.objects import ObjectMasker
from addons.core.masking.placeholder import ENCODED, PLAIN, Fingerprints
from addons.core.masking.rule import Rule, compile_rule
from addons.core.masking.text import TextMasker, redact
from addons.core.problem import Problem

MASKED = "MASKED"


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
                detector, spec, found = _detector(document)
                if detector and spec:
                    detectors.append((document, detector, spec))
            case other:
                found = [document.problem(("kind",), f"kind must be Masking or Detector here, not {other}")]
        problems += found
    everything = Detectors([detector for _, detector, _ in detectors])
    for document, detector, spec in detectors:
        problems += _test_detector(document, detector, spec, fingerprints)
    for document, rule, masking in rules:
        problems += _test_rule(document, rule, masking, everything, fingerprints)
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


def _detector(document: Document) -> tuple[Detector | None, DetectorSpec | None, list[Problem]]:
    spec, problems = validate(document, DetectorSpec)
    if spec is None:
        return None, None, problems
    try:
        return (
            compile_detector(document.name, spec.start, spec.secret or "", spec.then or "", spec.until or ""),
            spec,
            [],
        )
    except UnsupportedPattern as error:
        return None, None, [document.problem(("spec",), str(error))]


def _test_detector(
    document: Document, detector: Detector, spec: DetectorSpec, fingerprints: Fingerprints
) -> Iterator[Problem]:
    alone = Detectors([detector])
    changed = [example.given != example.expect for example in spec.tests]
    if all(changed) or not any(changed):
        yield document.problem(("spec", "tests"), "tests: at least one must mask something and one must not")
    for index, example in enumerate(spec.tests):
        if mistake := _detector_mistake(alone, fingerprints, example):
            yield document.problem(("spec", "tests", index), f"test {index + 1}: {mistake}")


def _detector_mistake(detectors: Detectors, fingerprints: Fingerprints, example: DetectorExample) -> str:
    """What is wrong with one example, in every way of cutting it in two; "" when it passes."""
    masked = redact(example.given, detectors, fingerprints)
    if _shown(masked) != example.expect:
        return f"gives {_shown(masked)!r}"
    if redact(masked, detectors, fingerprints) != masked:
        return f"masks its own result again: {masked!r}"
    raw = example.given.encode()
    for cut in range(len(raw)):
        masker = TextMasker(detectors, fingerprints)
        pieces = [*masker.feed(raw[:cut]), *masker.feed(raw[cut:]), *masker.finish()]
        if b"".join(pieces).decode() != masked:
            return f"gives {b''.join(pieces).decode()!r} when cut after {cut} bytes"
    in_json = compile_re2(detectors.in_json)
    if masked != example.given and not in_json.search(as_kubernetes_json(example.given)):
        return "start is not found in JSON, where quotes, <, > and & are escaped"
    return ""


def _test_rule(
    document: Document, rule: Rule, spec: MaskingSpec, detectors: Detectors, fingerprints: Fingerprints
) -> Iterator[Problem]:
    unchanged = [example.expect == "unchanged" for example in spec.tests]
    if all(unchanged) or not any(unchanged):
        yield document.problem(("spec", "tests"), "tests: at least one must mask something and one be unchanged")
    for index, example in enumerate(spec.tests):
        if mistake := _rule_mistake(rule, detectors, fingerprints, example):
            yield document.problem(("spec", "tests", index), f"test {index + 1}: {mistake}")


def _rule_mistake(rule: Rule, detectors: Detectors, fingerprints: Fingerprints, example: MaskingExample) -> str:
    value = json.loads(json.dumps(example.given))
    masker = ObjectMasker([rule], lambda group, kind: (), detectors, fingerprints)
    try:
        masker.mask(value)
    except Unmaskable as error:
        return str(error)
    expected = example.given if example.expect == "unchanged" else example.expect
    if _shown(value) != expected:
        return f"gives {_shown(value)}"
    if rule.mention and not compile_re2(rule.mention).search(as_kubernetes_json(example.given)):
        unread = ObjectMasker([rule], lambda group, kind: (), Detectors([]), fingerprints)
        unread.mask(json.loads(json.dumps(example.given)))
        if unread.changed:
            return "mention is not found in what the rule changes"
    return ""


def _shown(value: Any) -> Any:
    """The value with MASKED in place of every placeholder."""
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, str):
        return PLAIN.sub(MASKED, ENCODED.sub(_decoded, value))
    return value


def _decoded(match: Any) -> str:
    return base64.b64decode(match[0]).decode()
