"""`chaperone rules explain`: why one request is judged as it is, drawn as a tree."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from addons.cli.asked import Asked
from addons.cli.operator import operator
from addons.cli.ruleset import NO_SECRET_KEY, Output, Rules, folders
from addons.core.access import AccessPolicy, compile_access, cross_check
from addons.core.connection import compile_connections
from addons.core.decision_tree import Access, tree_of_facts, tree_of_question
from addons.core.documents import Document
from addons.core.guardrails.record import Record
from addons.core.guardrails.replay import replay
from addons.core.identity_provider import compile_identity
from addons.core.inquiry import Judge
from addons.core.printable import printable
from addons.core.problem import InvalidConfiguration
from addons.core.resources import BUILTIN_AND_OPTIONAL
from addons.edge.archive import decisions, session
from addons.edge.rulefiles import read_rules
from addons.policy import load_judgement

_NOTHING_MORE = Asked()
_WORDS = {True: "yes", False: "no", None: "error"}


def explain(
    request: str = "",
    *,
    asked: Asked = _NOTHING_MORE,
    session: str = "",
    id: str = "",
    rules: Rules = None,
    output: Output = "text",
    conf: Path = Path("mitm.conf"),
) -> int:
    """Explain a decision: which rules are about the request, which clause decides, who wins, and who nearly matched.

    ```
    chaperone rules explain "DELETE /api/v1/namespaces/shop" --group web-agents
    chaperone rules explain "PATCH /apis/apps/v1/namespaces/a/deployments/web" --object after.yaml --old-object now.yaml
    chaperone rules explain --session 3f2a --id 0b5c9d1e-…
    ```

    A recorded request is judged by the rules given here, with the facts, the profile and the thresholds of its record.

    Parameters
    ----------
    request
        "METHOD TARGET"; the target is path and query as a client sends them.
    session
        Explain a recorded request of this session, by its id or how that begins.
    id
        The audit id of the recorded request: the reference that the agent was told.
    conf
        The gateway's configuration file, for recorded requests.
    """
    documents, _ = read_rules(folders(rules))
    guardrails, masker = load_judgement(folders(rules), NO_SECRET_KEY)
    if session or id:
        record = _recorded(conf, session, id)
        judged = record.judged
        judge = Judge(
            guardrails=guardrails, resources=BUILTIN_AND_OPTIONAL, thresholds=judged.thresholds, profile=judged.profile,
            connection=judged.facts.connection,
        )  # fmt: skip
        frozen = guardrails.frozen(judged.facts.request, judged.facts.connection, judged.facts.now)
        tree = tree_of_facts(replace(judged.facts, frozen=frozen), judge) | {"recorded": _as_recorded(record, judge)}
    else:
        judge = asked.judge(guardrails, documents)
        tree = tree_of_question(asked.question(request), judge, masker, _access(documents), time.time())
    print(json.dumps(tree, indent=2) if output == "json" else "\n".join(map(printable, drawn(tree))))
    return 0


def drawn(tree: Mapping[str, Any]) -> Iterator[str]:
    """The tree in lines for people."""
    yield from _head(tree)
    for step in tree["steps"]:
        yield f"{step['step']:<11} {step['outcome']}{': ' if step['why'] else ''}{step['why']}"
    if (decision := tree["decision"]) is not None:
        yield from _verdict(decision)
    if tree["candidates"]:
        yield f"rules about this request: {len(tree['candidates'])}"
    for candidate in tree["candidates"]:
        yield from _candidate(candidate)
    if tree["near"]:
        yield f"near misses, about the same resource: {len(tree['near'])}"
    for near in tree["near"]:
        yield f"  - {near['rule']}: {'; '.join(map(_miss, near['misses']))}"
    if decision is not None:
        yield f"rules about other resources: {tree['others']}"


def _miss(miss: Mapping[str, Any]) -> str:
    verb = "is" if miss["field"] == "excludeResources" else "is not"
    return f"{miss['asked'] or 'none'} {verb} among {miss['field']} {miss['wanted']}"


def _head(tree: Mapping[str, Any]) -> Iterator[str]:
    request = tree["request"] or {}
    yield "request     " + (" ".join(f"{name}={value}" for name, value in request.items() if value) or "not readable")
    limits = ", ".join(f"{name} from {value}" for name, value in tree["thresholds"].items())
    yield f"judged by   {tree['connection'] or 'no connection'}, profile {tree['profile']}: {limits}"
    if recorded := tree.get("recorded"):
        by = f" by {recorded['rule']}" if recorded["rule"] else ""
        same = "the same rules" if recorded["same_rules"] else "other rules"
        yield f"recorded    {recorded['verdict']}{by}, by {same}"
        if recorded["masked"]:
            yield f"masked      the answer of {', '.join(recorded['masked'])} depends on a masked value"
        if recorded["missing"]:
            yield f"unknown     a rule reads what nobody read then: {', '.join(recorded['missing'])}"


def _verdict(decision: Mapping[str, Any]) -> Iterator[str]:
    instead = f" (observed only: it would be {decision['observed']})" if decision["observed"] else ""
    by = f" by {decision['rule']}, risk {decision['risk']}" if decision["rule"] else ": no rule matches"
    yield f"verdict     {decision['verdict']}{by}{instead}"
    if decision["rule"]:
        yield f"            {decision['reason']}"
        yield f"            {decision['hint']}"


def _candidate(candidate: Mapping[str, Any]) -> Iterator[str]:
    shadow = " (shadow)" if candidate["mode"] == "shadow" else ""
    matches = {True: "matches", False: "does not match", None: "cannot be evaluated"}[candidate["holds"]]
    yield f"  - {candidate['rule']}{shadow}: {matches}   {candidate['file']}:{candidate['line']}"
    if candidate["how"]:
        yield f"      {candidate['how']}: {candidate['verdict']}; {candidate['place']}"
    if candidate["names"]:
        yield f"      the object's name is not among {candidate['names']}"
    if candidate["when"] is None:
        yield f"      {candidate['error'] or 'when: not given, so its match is enough'}"
    else:
        yield from _clause(candidate["when"], 6, True)


def _clause(clause: Mapping[str, Any], indent: int, decides: bool) -> Iterator[str]:
    mark = "*" if decides and not clause["parts"] else " "
    what = (
        "all of"
        if clause["operator"] == "&&"
        else {"||": "any of", "!": "not", "?:": "if, then, else"}.get(clause["operator"], clause["text"])
    )
    operands = "".join(f"   [{name} = {value}]" for name, value in clause["operands"].items())
    error = f"   ({clause['error']})" if clause["error"] and not clause["parts"] else ""
    yield f"{' ' * indent}{mark} {_WORDS[clause['value']]:<5} {what}{operands}{error}"
    for part in clause["parts"]:
        yield from _clause(part, indent + 4, decides and part["decides"])


def _recorded(conf: Path, of: str, id: str) -> Record:
    if not (of and id):
        raise LookupError("a recorded request needs --session and --id; `chaperone sessions audit` shows the ids")
    for record in decisions(session(operator(conf).state, of).folder):
        if record.id == id:
            return record
    raise LookupError(f"session {of} has no decision about {id}: it was refused before it was judged, or never came")


def _as_recorded(record: Record, judge: Judge) -> dict[str, Any]:
    decision, again = record.decision, replay(record, judge.guardrails)
    return {
        "id": record.id,
        "verdict": decision.verdict.word,
        "rule": decision.rule,
        "same_rules": record.judged.rules == judge.guardrails.digest,
        "masked": list(again.masked),
        "missing": list(again.missing),
    }


def _access(documents: list[Document]) -> Access | None:
    """The access rules; None where there are none. Raises InvalidConfiguration."""
    connections, problems = compile_connections(documents)
    providers, found = compile_identity(documents)
    rules, more = compile_access(documents)
    if problems := [*problems, *found, *more, *cross_check(connections, providers, rules)]:
        raise InvalidConfiguration(problems)
    if not rules:
        return None
    return Access(policy=AccessPolicy(rules, providers), issuers=[provider.issuer for provider in providers])
