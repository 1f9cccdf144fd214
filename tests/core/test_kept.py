"""What is compiled and tested once, and not again as long as its text stays: a reload is about what has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from addons.core.documents import Document, parse_documents
from addons.core.guardrails import compile_guardrails, ruleset
from addons.core.masking import compile, compile_masking
from addons.core.problem import Problem

RULES = Path(__file__).parents[2] / "rules"
KEY = bytes(range(16))


def read(folder: str, **changes: str) -> list[Document]:
    """The documents of a folder of ours, in some of whose files one word stands for another."""
    documents: list[Document] = []
    for file in sorted((RULES / folder).glob("*.yaml")):
        text = file.read_text()
        if (change := changes.get(file.stem.replace("-", "_"))) is not None:
            old, _, new = change.partition(" -> ")
            assert old in text
            text = text.replace(old, new)
        found, problems = parse_documents(text, str(file))
        assert problems == []
        documents += [each for each in found if each.kind != "Catalogue"]
    return documents


def names_in(documents: Sequence[Document], stem: str) -> set[str]:
    return {document.name for document in documents if Path(document.file).stem == stem}


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the documents whose tests are run."""
    names: list[str] = []

    def noted(run: Callable[..., Iterator[Problem]]) -> Callable[..., Iterator[Problem]]:
        def noting(*given: Any) -> Iterator[Problem]:
            names.extend(each.name for each in given if isinstance(each, Document))
            return run(*given)

        return noting

    for module, name in ((ruleset, "failures"), (compile, "rule_failures"), (compile, "detector_failures")):
        monkeypatch.setattr(module, name, noted(getattr(module, name)))
    return names


def test_guardrails_of_files_that_stay_are_kept(tested: list[str]) -> None:
    documents = read("guardrails")
    before, problems = compile_guardrails(documents)
    assert problems == []
    tested.clear()
    after, problems = compile_guardrails(read("guardrails", pods="reason: -> reason: indeed "))
    assert problems == []
    changed = names_in(documents, "pods") & before.rules.keys()
    assert {*tested} == changed
    assert {name for name, rule in before.rules.items() if after.rules[name] is not rule} == changed
    assert (
        before.digest
        != after.digest
        == compile_guardrails(read("guardrails", pods="reason: -> reason: indeed "))[0].digest
    )


def test_a_test_that_fails_is_told_at_every_load() -> None:
    for _ in range(2):
        _, problems = compile_guardrails(read("guardrails", pods="expect: match -> expect: no-match"))
        assert {Path(problem.file).stem for problem in problems} == {"pods"}


def test_masking_is_tested_again_with_other_detectors_and_not_with_another_key(tested: list[str]) -> None:
    documents = read("masking")
    assert compile_masking(documents, KEY)[1] == []
    tested.clear()
    compile_masking(read("masking"), KEY[::-1])
    assert tested == []
    compile_masking(read("masking", secrets="description: -> description: Indeed. "), KEY)
    assert {*tested} == {
        each.name for each in documents if Path(each.file).stem == "secrets" and each.kind == "Masking"
    }
    tested.clear()
    compile_masking(read("masking", detectors="description: -> description: Indeed. "), KEY)
    assert {*tested} == {each.name for each in documents}
