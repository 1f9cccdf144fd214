"""What real kubectl and helm asked in an agent's ordinary work: nothing of it is refused, or needs a person."""

from __future__ import annotations

import pytest

from addons.core.explain import explain
from addons.core.guardrails import compile_guardrails
from addons.core.inquiry import Judge
from addons.core.resources import BUILTIN
from tests.core.guardrails.test_pack import DOCUMENTS
from tests.support.corpus import Question, read_corpus

QUESTIONS = read_corpus()
JUDGE = Judge(
    guardrails=compile_guardrails([document for document in DOCUMENTS if document.kind == "Guardrail"])[0],
    resources=BUILTIN,
)


@pytest.mark.parametrize("question", QUESTIONS, ids=[f"{each['method']} {each['target'][:60]}" for each in QUESTIONS])
def test_ordinary_work_passes(question: Question) -> None:
    """The one warning: plain pods do not meet the restricted standard."""
    answer = explain(question, JUDGE, 0.0)
    assert (answer["verdict"], answer["rule"]) in {("allow", ""), ("warn", "pods-without-restrictions")}, answer


def test_the_corpus_is_all_of_it() -> None:
    methods = [question["method"] for question in QUESTIONS]
    assert len(QUESTIONS) > 150
    assert {
        method: methods.count(method) >= 5 for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    } == dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), True)
