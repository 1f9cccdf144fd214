"""`chaperone rules coverage`: which rules answer which danger of the catalogue."""

from __future__ import annotations

import json
import sys
from typing import Any

from addons.cli.ruleset import NO_SECRET_KEY, Output, Rules, folders
from addons.core.guardrails.catalogue import Coverage, compile_catalogue
from addons.core.guardrails.catalogue import coverage as coverage_of
from addons.edge.rulefiles import read_rules
from addons.policy import load_judgement


def coverage(*, rules: Rules = None, output: Output = "text") -> int:
    """Say for each danger of the catalogue which rules answer it, or what else does; exit status 1 if nothing does.

    ```
    chaperone rules coverage
    chaperone rules coverage --rules rules --rules /etc/chaperone/rules -o json
    ```

    The catalogue is every document of kind Catalogue in the folders; a guardrail refers to its ids with `covers`.
    """
    guardrails, _ = load_judgement(folders(rules), NO_SECRET_KEY)
    catalogue, _ = compile_catalogue(read_rules(folders(rules))[0])
    found = coverage_of(catalogue, guardrails.rules.values())
    if output == "json":
        print(json.dumps([_as_json(item) for item in found], indent=2))
    else:
        for item in found:
            print(f"{item.entry.id:<7}  {'/'.join(item.entry.default):<12}  {_answer(item)}")
    gaps = [item.entry.id for item in found if item.gap]
    if gaps:
        print(f"chaperone: nothing answers {', '.join(gaps)}", file=sys.stderr)
    return 1 if gaps else 0


def _answer(item: Coverage) -> str:
    elsewhere = item.entry.elsewhere
    parts = [", ".join(item.rules)] if item.rules else []
    if elsewhere is not None:
        parts.append(f"elsewhere: {elsewhere.by} ({', '.join(elsewhere.evidence)})")
    return "; ".join(parts) or f"NOTHING: {item.entry.title}"


def _as_json(item: Coverage) -> dict[str, Any]:
    return {**item.entry.model_dump(), "rules": list(item.rules), "gap": item.gap}
