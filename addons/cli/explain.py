"""`chaperone explain`: what the rules make of a request, without sending it."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated, Any

import orjson
from cyclopts import Parameter

from addons.cli.asked import Asked
from addons.cli.ruleset import NO_SECRET_KEY, Output, Rules, folders
from addons.core.explain import explain as explain_request
from addons.core.inquiry import Judge, UnusableQuestion
from addons.edge.rulefiles import read_rules
from addons.policy import load_judgement

_NOTHING_MORE = Asked()


def explain(
    request: str = "",
    *,
    asked: Asked = _NOTHING_MORE,
    batch: Annotated[bool, Parameter(negative="")] = False,
    rules: Rules = None,
    output: Output = "text",
) -> int:
    """Say what the rules make of a request, without sending it. `chaperone rules explain` says why, rule by rule.

    ```
    chaperone explain "DELETE /api/v1/namespaces/shop"
    chaperone explain "POST /api/v1/namespaces/shop/pods" --body pod.json --connection prod --group web-agents
    ```

    Without a connection it needs no cluster: the built-in kinds of Kubernetes 1.37, the profile standard, and a caller
    whose role may do everything, so that only reading and guardrails speak.

    Parameters
    ----------
    request
        "METHOD TARGET"; the target is path and query as a client sends them.
    batch
        Read one JSON object a line ({"id", "method", "target", "headers", "body", "body_base64", "object",
        "old_object", "identity", "grant", "now", "frozen", "rate", "affected", "answers"}; from "identity" on as in a
        rule's tests, the answers of webhooks by rule) from standard input and write one answer a line.
    """
    documents, _ = read_rules(folders(rules))
    judge = asked.judge(load_judgement(folders(rules), NO_SECRET_KEY)[0], documents)
    if batch:
        return _batch(judge)
    answer = explain_request(asked.question(request), judge, time.time())
    print(json.dumps(answer, indent=2) if output == "json" else _text(answer))
    return 0


def _batch(judge: Judge) -> int:
    """One answer for each line, in order; a line that is no question gets an answer that says so."""
    answers = (_answer(line, judge) for line in sys.stdin.buffer if line.strip())
    failed = 0
    for answer in answers:
        failed = failed or int("error" in answer)
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
    sys.stdout.buffer.flush()
    return failed


def _answer(line: bytes, judge: Judge) -> dict[str, Any]:
    try:
        question = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return {"id": None, "error": f"not a question: {error}"}
    if not isinstance(question, dict):
        return {"id": None, "error": "not a question: not a JSON object"}
    try:
        return explain_request(question, judge, time.time())
    except UnusableQuestion as error:
        return {"id": question.get("id"), "error": f"not a question: {error}"}


def _text(answer: dict[str, Any]) -> str:
    instead = f", observed only: it would be {answer['observed']}" if answer["observed"] else ""
    lines = [f"{answer['verdict']} (risk {answer['risk']}){instead}"]
    if answer["request"]:
        lines += [f"  {name}: {value}" for name, value in answer["request"].items() if value]
    lines += [f"  {name}: {answer[name]}" for name in ("rule", "reason", "hint") if answer[name]]
    if others := [rule for rule in answer["rules"] if rule != answer["rule"]]:
        lines.append(f"  also matched: {', '.join(others)}")
    return "\n".join(lines)
