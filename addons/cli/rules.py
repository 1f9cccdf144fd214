"""`chaperone rules`: check the rule files, find and show rules, print their schema."""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from addons.cli.decision_tree import explain
from addons.cli.replay import replay
from addons.cli.rule_coverage import coverage
from addons.cli.rule_tests import test
from addons.cli.ruleset import NO_SECRET_KEY, Output, Rules, folders
from addons.cli.suggest import suggest
from addons.core.documents import Document, SpecModel, validate
from addons.core.guardrails.matching import split_resource
from addons.core.guardrails.models import GuardrailSpec
from addons.core.kinds import KINDS
from addons.core.problem import InvalidConfiguration
from addons.core.rule_schema import document_schema, rules_schema
from addons.edge.rulefiles import read_rules
from addons.policy import check_policy

app = App(name="rules", help="Check, test, find and explain rules.")
app.command(explain)
app.command(replay)
app.command(suggest)
app.command(test)
app.command(coverage)


@app.command
def check(*, rules: Rules = None, output: Output = "text") -> int:
    """Find every mistake in rule files of all kinds, with file and line; exit status 1 if there is one.

    Their form, their expressions, their tests, and what they refer to:

    ```
    chaperone rules check --rules /etc/chaperone/rules
    ```

    A whole gateway, with its certificates and its port, is checked by `chaperone up --check`.
    """
    documents, problems = check_policy(folders(rules), NO_SECRET_KEY, datetime.datetime.now(datetime.UTC))
    counts = Counter(document.kind for document in documents)
    if output == "json":
        found = [dataclasses.asdict(problem) for problem in problems]
        print(json.dumps({"problems": found, "documents": counts}, indent=2))
    elif problems:
        print("\n".join(map(str, problems)))
        print(f"{len(problems)} problem(s)")
    else:
        print(f"no problems; {', '.join(f'{count} {kind}' for kind, count in counts.items())}")
    return 1 if problems else 0


@app.command(name="list")
def list_(
    *names: str,
    kind: Annotated[str, Parameter(help="Only this kind, such as Guardrail.")] = "",
    covers: Annotated[str, Parameter(help="Only guardrails that cover this catalogue id.")] = "",
    resource: Annotated[str, Parameter(help="Only rules about this resource, such as pods/exec.")] = "",
    mode: Annotated[str, Parameter(help="Only guardrails of this mode: enforce or shadow.")] = "",
    rules: Rules = None,
    output: Output = "text",
) -> int:
    """List rules: kind, name, what happens on a match, what they cover or are for.

    ```
    chaperone rules list 'exec-*'
    chaperone rules list --resource pods/exec --kind Guardrail
    ```

    Parameters
    ----------
    names
        Only rules of these names, with `*` as wildcard.
    """
    wanted = {"kind": kind, "mode": mode}
    rows = [
        row
        for document, spec in _specs(folders(rules))
        if _named(document.name, names) and (not resource or _about(spec, resource))
        for row in [_row(document, spec)]
        if all(not value or row.get(key) == value for key, value in wanted.items())
        and (not covers or covers in row.get("covers", ()))
    ]
    print(json.dumps(rows, indent=2) if output == "json" else _table(rows))
    return 0


@app.command
def show(name: str, *, kind: str = "", rules: Rules = None, output: Output = "text") -> int:
    """Show a rule as it is written, with its file and line.

    Parameters
    ----------
    name
        Its name.
    kind
        Its kind, where rules of several kinds have this name.
    """
    documents, _ = read_rules(folders(rules))
    found = [document for document in documents if document.name == name and kind in ("", document.kind)]
    if not found:
        raise LookupError(f"no {kind or 'rule'} is named {name}; `chaperone rules list` names them")
    if output == "json":
        print(json.dumps([_as_json(document) for document in found], indent=2, default=str))
        return 0
    for document in found:
        print(f"# {document.file}:{document.line}")
        print(_source(document.file, document.line))
    return 0


@app.command
def schema(kind: str = "") -> int:
    """Print the JSON Schema of rule files, for editors: put it beside your rules and name it in their first line.

    ```
    # yaml-language-server: $schema=rules.json
    ```

    Parameters
    ----------
    kind
        Only the schema of documents of this kind, such as Guardrail.
    """
    if kind and kind not in KINDS:
        raise LookupError(f"there is no kind {kind}; known are {', '.join(KINDS)}")
    print(json.dumps(document_schema(kind, KINDS[kind]) if kind else rules_schema(KINDS), indent=1))
    return 0


def _specs(rules: list[str]) -> Iterator[tuple[Document, SpecModel]]:
    """Every document with its validated `spec`. Raises InvalidConfiguration."""
    documents, problems = read_rules(rules)
    for document in documents:
        if document.kind in KINDS:
            spec, found = validate(document, KINDS[document.kind])
            problems += found
            if spec is not None:
                yield document, spec
    if problems:
        raise InvalidConfiguration(problems)


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _about(spec: SpecModel, resource: str) -> bool:
    name, subresource = split_resource(resource)
    ways = {resource, f"*/{subresource}" if subresource else "*", f"{name}/*", "*/*"}
    match = getattr(spec, "match", None)
    return match is not None and not ways.isdisjoint(match.resources)


def _row(document: Document, spec: Any) -> dict[str, Any]:
    row = {"kind": document.kind, "name": document.name, "description": spec.description or ""}
    if isinstance(spec, GuardrailSpec):
        row |= {"verdict": spec.verdict or "", "risk": spec.risk, "mode": spec.mode, "covers": spec.covers}
        row |= {"reason": spec.reason}
    return row | {"file": document.file, "line": document.line}


def _table(rows: list[dict[str, Any]]) -> str:
    width = max((len(row["name"]) for row in rows), default=0)
    return "\n".join(
        f"{row['kind']:<16}  {row['name']:<{width}}  {_outcome(row):<24}  "
        f"{' '.join(row.get('covers') or [row['description']])}"
        for row in rows
    )


def _outcome(row: dict[str, Any]) -> str:
    if "risk" not in row:
        return ""
    shadow = " (shadow)" if row["mode"] == "shadow" else ""
    return (row["verdict"] or f"risk {row['risk']}") + shadow


def _as_json(document: Document) -> dict[str, Any]:
    place = {"file": document.file, "line": document.line}
    return {"kind": document.kind, "name": document.name, **place, "spec": document.spec}


def _source(file: str, line: int) -> str:
    lines = Path(file).read_text(encoding="utf-8").splitlines()[line - 1 :]
    end = next((index for index, text in enumerate(lines) if text.startswith("---")), len(lines))
    return "\n".join(lines[:end])
