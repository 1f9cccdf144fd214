"""The tests that masking rules and detectors carry, run whenever they are loaded."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from addons.core.documents import Document
from addons.core.masking.codec import Unmaskable
from addons.core.masking.detectors import Detector, Detectors, as_kubernetes_json, compile_re2
from addons.core.masking.models import DetectorExample, DetectorSpec, MaskingExample, MaskingSpec
from addons.core.masking.objects import ObjectMasker
from addons.core.masking.placeholder import PLAIN, Fingerprints
from addons.core.masking.rule import Rule
from addons.core.masking.text import TextMasker, redact
from addons.core.problem import Problem

MASKED = "MASKED"


def detector_failures(
    document: Document, detector: Detector, spec: DetectorSpec, fingerprints: Fingerprints
) -> Iterator[Problem]:
    """One problem for each test that does not come out as expected, and one if they cannot tell anything."""
    changed = [example.given != example.expect for example in spec.tests]
    if all(changed) or not any(changed):
        yield document.problem(("spec", "tests"), "tests: at least one must mask something and one must not")
    for index, example in enumerate(spec.tests):
        if mistake := detector_failure(detector, fingerprints, example):
            yield document.problem(("spec", "tests", index), f"test {index + 1}: {mistake}")


def detector_failure(detector: Detector, fingerprints: Fingerprints, example: DetectorExample) -> str:
    """What is wrong with one example, in every way of cutting it in two; "" when it passes."""
    detectors = Detectors([detector])
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


def rule_failures(
    document: Document, rule: Rule, spec: MaskingSpec, detectors: Detectors, fingerprints: Fingerprints
) -> Iterator[Problem]:
    """One problem for each test that does not come out as expected, and one if they cannot tell anything."""
    unchanged = [example.expect == "unchanged" for example in spec.tests]
    if all(unchanged) or not any(unchanged):
        yield document.problem(("spec", "tests"), "tests: at least one must mask something and one be unchanged")
    for index, example in enumerate(spec.tests):
        if mistake := rule_failure(rule, detectors, fingerprints, example):
            yield document.problem(("spec", "tests", index), f"test {index + 1}: {mistake}")


def rule_failure(rule: Rule, detectors: Detectors, fingerprints: Fingerprints, example: MaskingExample) -> str:
    """What is wrong with one example; "" when it passes."""
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
        if unread.changes(unread.mask, json.loads(json.dumps(example.given))):
            return "mention is not found in what the rule changes"
    return ""


def _shown(value: Any) -> Any:
    """The value with MASKED in place of every placeholder."""
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, str):
        return PLAIN.sub(MASKED, _in_base64(value))
    return value


def _in_base64(text: str) -> str:
    """As `_shown`, of a text in base64: in base64 still, unless it was a placeholder and nothing else."""
    try:
        shown = PLAIN.sub(MASKED, raw := base64.b64decode(text, validate=True).decode())
    except ValueError:
        return text
    if shown == MASKED:
        return shown
    return text if shown == raw else base64.b64encode(shown.encode()).decode()
