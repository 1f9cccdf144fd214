"""Writes docs/coverage.md: for each danger of the catalogue, what answers it, and how well by the rules' own tests.

python -m scripts.coverage_page
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from addons.core.guardrails import Facts, compile_guardrails
from addons.core.guardrails.catalogue import Coverage, compile_catalogue, coverage
from addons.core.guardrails.rate import rate_of_one
from addons.core.guardrails.recall import Recall, examples_of, recall
from addons.core.reading import read_target
from addons.edge.rulefiles import read_rules
from tests.support.corpus import Question, read_corpus

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "coverage.md"
TEMPLATE = Path(__file__).with_suffix(".md")


def page() -> str:
    """The whole page. Raises ValueError for rules with mistakes."""
    documents, problems = read_rules([str(ROOT / "rules" / "guardrails")])
    guardrails, mistakes = compile_guardrails([document for document in documents if document.kind == "Guardrail"])
    catalogue, found = compile_catalogue(documents)
    if problems + mistakes + found:
        raise ValueError("the rules have mistakes: chaperone rules check")
    covered = coverage(catalogue, guardrails.rules.values())
    examples = examples_of(documents)
    ordinary = [_facts(question) for question in read_corpus()]
    measured = recall(guardrails, covered, replace(examples, harmless=[*examples.harmless, *ordinary]))
    others = [item for item in covered if item.entry.elsewhere]
    return TEMPLATE.read_text().format(
        entries=len(covered),
        rules=len(guardrails.rules),
        by_rules=len(measured),
        elsewhere=sum(not item.rules for item in covered),
        dangers=len(examples.dangers),
        harmless=len(examples.harmless),
        ordinary=len(ordinary),
        table="\n".join(map(_measured, measured)),
        others="\n".join(map(_elsewhere, others)),
    )


def _facts(question: Question) -> Facts:
    request = read_target(question["method"], question["target"])
    old = question.get("old_object")
    return Facts(
        request=request, object=question.get("object"), old_object=old, frozen=(), rate=rate_of_one(request), affected=1
    )


def _measured(row: Recall) -> str:
    rules = ", ".join(f"`{name}`" for name in row.coverage.rules)
    figures = f"{row.caught}/{row.dangers} | {row.stopped}/{row.harmless} | {row.warned}/{row.harmless}"
    return f"| {_named(row.coverage)} | {rules} | {figures} |"


def _elsewhere(item: Coverage) -> str:
    elsewhere = item.entry.elsewhere
    links = [f"[{Path(path).name}](../{path.partition('::')[0]})" for path in (elsewhere.evidence if elsewhere else ())]
    return f"| {_named(item)} | {elsewhere.by if elsewhere else ''} | {', '.join(links)} |"


def _named(item: Coverage) -> str:
    return f"{item.entry.id} | {item.entry.title} | {', '.join(item.entry.default)}"


def main() -> None:
    """Write the page, and say so."""
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
