"""Writes docs/coverage.md: for each danger of the catalogue, what answers it, and how well by the rules' own tests.

python -m scripts.coverage_page
"""

from __future__ import annotations

import sys
from pathlib import Path

from addons.core.guardrails import compile_guardrails
from addons.core.guardrails.catalogue import Coverage, compile_catalogue, coverage
from addons.core.guardrails.recall import Recall, examples_of, recall
from addons.edge.rulefiles import read_rules

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
    measured = recall(guardrails, covered, examples)
    others = [item for item in covered if item.entry.elsewhere]
    return TEMPLATE.read_text().format(
        entries=len(covered),
        rules=len(guardrails.rules),
        by_rules=len(measured),
        elsewhere=sum(not item.rules for item in covered),
        dangers=len(examples.dangers),
        harmless=len(examples.harmless),
        table="\n".join(map(_measured, measured)),
        others="\n".join(map(_elsewhere, others)),
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
