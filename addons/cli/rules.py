"""`chaperone rules`: check the rule files, list and show the guardrails, print their schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from addons.cli.mask import NO_SECRET_KEY, default_rules
from addons.core.guardrails import Guardrail
from addons.core.kinds import KINDS
from addons.core.rule_schema import document_schema, rules_schema
from addons.edge.rulefiles import read_rules
from addons.policy import load_judgement

app = App(name="rules", help="Check, list and show rules.")
Rules = Annotated[list[Path] | None, Parameter(help="Folders of rule files, instead of the shipped ones.")]
Output = Annotated[Literal["text", "json"], Parameter(alias="-o", help='"text" for people, "json" for programs.')]


@app.command
def check(*, rules: Rules = None) -> int:
    """Load every guardrail and masking rule and run its tests; every mistake is reported with file and line.

    Connections, identity providers and access rules are checked by `chaperone up --check`, which knows the cluster.
    """
    guardrails, _ = load_judgement(_folders(rules), NO_SECRET_KEY)
    print(f"no problems; {len(guardrails.rules)} guardrails")
    return 0


@app.command(name="list")
def list_(*, rules: Rules = None, output: Output = "text") -> int:
    """List the guardrails: name, what happens on a match, what they cover."""
    rows = [_row(rule) for rule in load_judgement(_folders(rules), NO_SECRET_KEY)[0].rules.values()]
    if output == "json":
        print(json.dumps(rows, indent=2))
        return 0
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        outcome = row["verdict"] or f"risk {row['risk']}"
        print(f"{row['name']:<{width}}  {outcome:<16}  {' '.join(row['covers'])}")
    return 0


@app.command
def show(name: str, *, rules: Rules = None) -> int:
    """Show one rule as it is written, with its file and line."""
    documents, _ = read_rules(_folders(rules))
    for document in documents:
        if document.name == name:
            print(f"# {document.file}:{document.line}")
            print(_source(document.file, document.line))
            return 0
    raise LookupError(f"no rule is named {name}; `chaperone rules list` names them")


@app.command
def schema(kind: str = "") -> int:
    """Print the JSON Schema of rule files, for editors: put it beside your rules and name it in their first line.

    # yaml-language-server: $schema=rules.json

    Parameters
    ----------
    kind
        Only the schema of documents of this kind, such as Guardrail.
    """
    if kind and kind not in KINDS:
        raise LookupError(f"there is no kind {kind}; known are {', '.join(KINDS)}")
    print(json.dumps(document_schema(kind, KINDS[kind]) if kind else rules_schema(KINDS), indent=1))
    return 0


def _source(file: str, line: int) -> str:
    lines = Path(file).read_text(encoding="utf-8").splitlines()[line - 1 :]
    end = next((index for index, text in enumerate(lines) if text.startswith("---")), len(lines))
    return "\n".join(lines[:end])


def _row(rule: Guardrail) -> dict[str, Any]:
    return {
        "name": rule.name,
        "verdict": "" if rule.verdict is None else rule.verdict.word,
        "risk": rule.risk,
        "mode": "shadow" if rule.shadow else "enforce",
        "covers": list(rule.covers),
        "reason": rule.reason,
    }


def _folders(rules: list[Path] | None) -> list[str]:
    return [str(folder) for folder in rules or [default_rules()]]
