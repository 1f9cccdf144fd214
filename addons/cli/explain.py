"""`chaperone explain`: what the rules make of a request, without sending it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from cyclopts import Parameter

from addons.cli.ruleset import NO_SECRET_KEY, folders
from addons.core.connection import compile_connections
from addons.core.decision import Thresholds
from addons.core.explain import Judge, UnusableQuestion
from addons.core.explain import explain as explain_request
from addons.core.problem import InvalidConfiguration
from addons.core.profile import THRESHOLDS, Profile
from addons.core.resources import BUILTIN_AND_OPTIONAL
from addons.edge.rulefiles import read_rules
from addons.policy import load_judgement


def explain(
    request: str = "",
    *,
    body: Path | None = None,
    content_type: str = "application/json",
    batch: bool = False,
    connection: str = "",
    profile: Literal["observe", "standard", "strict"] | None = None,
    rules: list[Path] | None = None,
    output: Annotated[Literal["text", "json"], Parameter(alias="-o")] = "text",
) -> int:
    """Explain one request, as in: chaperone explain "DELETE /api/v1/namespaces/shop".

    Without a connection it needs no cluster: the built-in kinds of Kubernetes 1.37, the profile standard, and a caller
    whose role may do everything, so that only reading and guardrails speak.

    Parameters
    ----------
    request
        "METHOD TARGET"; the target is path and query as a client sends them.
    body
        File with the request body.
    content_type
        Content type of the body.
    batch
        Read one JSON object a line ({"id", "method", "target", "headers", "body", "body_base64", "object",
        "old_object", "now", "frozen", "rate", "affected"}; the last six as in a rule's tests) from standard input and
        write one answer a line.
    connection
        Judge by the profile, the thresholds and the rules of this connection.
    profile
        Judge as if the connection had this profile and no thresholds of its own.
    rules
        Folders of rule files, instead of the ones this command was shipped with.
    output
        "text" for people, "json" for programs.
    """
    judge = _judge(folders(rules), connection, profile)
    if batch:
        return _batch(judge)
    method, _, target = request.partition(" ")
    question: dict[str, Any] = {"method": method, "target": target}
    if body is not None:
        question |= {"body": body.read_text(encoding="utf-8"), "headers": {"Content-Type": content_type}}
    answer = explain_request(question, judge, time.time())
    print(json.dumps(answer, indent=2) if output == "json" else _text(answer))
    return 0


def _judge(rules: list[str], connection: str, profile: str | None) -> Judge:
    guardrails, _ = load_judgement(rules, NO_SECRET_KEY)
    chosen, thresholds = _stance(rules, connection)
    if profile is not None:
        chosen = Profile(profile)
        thresholds = THRESHOLDS[chosen]
    return Judge(
        guardrails=guardrails,
        resources=BUILTIN_AND_OPTIONAL,
        profile=chosen,
        thresholds=thresholds,
        connection=connection,
    )


def _stance(rules: list[str], connection: str) -> tuple[Profile, Thresholds]:
    if not connection:
        return Profile.STANDARD, THRESHOLDS[Profile.STANDARD]
    connections, problems = compile_connections(read_rules(rules)[0])
    if problems:
        raise InvalidConfiguration(problems)
    if connection not in connections:
        raise LookupError(f"no connection is named {connection}; known are: {', '.join(connections) or 'none'}")
    return connections[connection].profile, connections[connection].thresholds


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
