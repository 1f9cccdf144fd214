"""The tests that rules carry, one by one. Loading a rule runs the same tests, and tells only what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from addons.core.documents import Document
from addons.core.guardrails.guardrail import compile_guardrail
from addons.core.guardrails.selftest import failure as guardrail_failure
from addons.core.masking.compile import detector_of
from addons.core.masking.detectors import Detectors
from addons.core.masking.placeholder import Fingerprints
from addons.core.masking.rule import compile_rule
from addons.core.masking.selftest import detector_failure, rule_failure
from addons.core.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One test, counted from 1. `about` is what it tests, in a few words; `failure` is empty when it passed."""

    number: int
    line: int
    about: str
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One rule with the outcome of each of its tests, or with the mistakes that keep it from being tested."""

    document: Document
    outcomes: tuple[Outcome, ...]
    problems: tuple[Problem, ...]

    @property
    def failed(self) -> int:
        """How many tests failed."""
        return sum(1 for outcome in self.outcomes if outcome.failure)


_Results = tuple[list[tuple[str, str]], list[Problem]]
"""What each test is about and why it failed, and the mistakes in the rule."""


def run_tests(documents: Sequence[Document], fingerprint_key: bytes) -> list[Tried]:
    """Every guardrail, masking rule and detector, tested; other kinds carry no tests."""
    fingerprints = Fingerprints(fingerprint_key)
    found = [detector_of(document)[0] for document in documents if document.kind == "Detector"]
    detectors = Detectors([detector for detector in found if detector is not None])
    tested = []
    for document in documents:
        match document.kind:
            case "Guardrail":
                tested.append(_tested(document, _guardrail(document)))
            case "Masking":
                tested.append(_tested(document, _masking(document, detectors, fingerprints)))
            case "Detector":
                tested.append(_tested(document, _detector(document, fingerprints)))
    return tested


def _tested(document: Document, results: _Results) -> Tried:
    tests, problems = results
    outcomes = [
        Outcome(number=index + 1, line=document.line_of(("spec", "tests", index)), about=about, failure=failure)
        for index, (about, failure) in enumerate(tests)
    ]
    return Tried(document=document, outcomes=tuple(outcomes), problems=tuple(problems))


def _guardrail(document: Document) -> _Results:
    rule, spec, problems = compile_guardrail(document)
    if rule is None or spec is None:
        return [], problems
    return [(f"{test.expect} {test.request}", guardrail_failure(rule, test)) for test in spec.tests], problems


def _masking(document: Document, detectors: Detectors, fingerprints: Fingerprints) -> _Results:
    rule, spec, problems = compile_rule(document)
    if rule is None or spec is None:
        return [], problems
    return [
        (
            f"{'unchanged' if test.expect == 'unchanged' else 'masks'} {test.given.get('kind', 'object')}",
            rule_failure(rule, detectors, fingerprints, test),
        )
        for test in spec.tests
    ], problems


def _detector(document: Document, fingerprints: Fingerprints) -> _Results:
    detector, spec, problems = detector_of(document)
    if detector is None or spec is None:
        return [], problems
    return [
        (
            f"{'unchanged' if test.given == test.expect else 'masks'} {test.given[:60]!r}",
            detector_failure(detector, fingerprints, test),
        )
        for test in spec.tests
    ], problems
