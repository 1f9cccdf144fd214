"""What a decision was made of, written down so that other rules can be asked the same: one line of JSON each.

A line holds every fact a rule could read and nothing it could not. Objects are masked as everywhere in the record, what
is shaped like a token is replaced, and the caller's token was gone long before. Facts are written field by field as
they are declared, so a new one is in the record as soon as it is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from addons.core.audit import line as line_of
from addons.core.decision import Decision, Match, Thresholds, Verdict
from addons.core.grant import Grant
from addons.core.guardrails.facts import Facts, Needs
from addons.core.kube_request import KubeRequest
from addons.core.profile import Profile
from addons.core.redaction import holds_token, scrub_pairs, scrub_target, scrub_values

FORMAT = "chaperone.dev/decision/v1"
MAX_OBJECT = 256 * 1024
"""Bytes of a masked object that are kept; a larger one is left out whole, because half an object is another one."""
_OBJECTS = ("object", "old_object")

Scrub = Callable[[KubeRequest, bytes, str], bytes]
"""Masks a body of a content type; what comes back of an object in JSON is no object if it cannot be masked."""


class UnreadableRecord(ValueError):
    """A line that holds no decision in a format known here."""


class TornRecord(UnreadableRecord):
    """A line that was not written to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a decision was made of. `needs` is what was asked of the cluster, `rules` the digest of the rule set."""

    facts: Facts
    needs: Needs
    thresholds: Thresholds
    profile: Profile
    rules: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line, read. `left_out` are facts that were known and could not be kept; `matches` carry no hints."""

    id: str
    judged: Judged
    decision: Decision
    left_out: tuple[str, ...] = ()


def line(audit_id: str, judged: Judged, decision: Decision, scrub: Scrub) -> bytes:
    """The line of one decision, newline included. Holds no credential and no masked value."""
    facts, left_out = _facts(judged.facts, scrub)
    record = {
        "format": FORMAT,
        "id": audit_id,
        "facts": facts,
        "needs": judged.needs,
        "thresholds": judged.thresholds,
        "profile": judged.profile,
        "rules": judged.rules,
        "decision": _decision(decision),
    }
    return _dump(record | ({"left_out": left_out} if left_out else {}))


def read(text: bytes) -> Record:
    """The record of a line. Raises TornRecord for what is no JSON, UnreadableRecord for what is something else."""
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise TornRecord("not a whole line") from error
    try:
        if content["format"] != FORMAT:
            raise UnreadableRecord(f"this version reads {FORMAT}, not {content['format']}")
        facts = content["facts"]
        if (grant := facts.get("grant")) is not None:
            grant["identity"] = facts["identity"]
        return Record(
            id=content["id"],
            judged=_JUDGED.validate_python(content),
            decision=_read_decision(content["decision"]),
            left_out=tuple(content.get("left_out", ())),
        )
    except (ValidationError, LookupError, TypeError, AttributeError) as error:
        raise UnreadableRecord(f"not a decision: {type(error).__name__}") from error


_JUDGED = TypeAdapter(Judged)


def _facts(facts: Facts, scrub: Scrub) -> tuple[dict[str, Any], list[str]]:
    """Field by field; the grant without the identity, which is written once."""
    values = {name: getattr(facts, name) for name in _FACTS}
    left_out = []
    for name in _OBJECTS:
        if (content := values[name]) is not None:
            values[name] = _masked(facts.request, content, scrub)
            left_out += [name] if values[name] is None else []
    target, query = scrub_target(facts.request.target), scrub_pairs(facts.request.query)
    if (target, query) != (facts.request.target, facts.request.query):
        values["request"] = replace(facts.request, target=target, query=query)
    if facts.grant is not None:
        values["grant"] = {name: getattr(facts.grant, name) for name in _GRANT}
    return values, left_out


_FACTS = tuple(field.name for field in fields(Facts))
_GRANT = tuple(field.name for field in fields(Grant) if field.name != "identity")


def _masked(request: KubeRequest, content: Mapping[str, Any], scrub: Scrub) -> orjson.Fragment | None:
    try:
        masked = scrub(request, orjson.dumps(content), "application/json")
    except orjson.JSONEncodeError:
        return None
    return orjson.Fragment(masked) if masked.startswith(b"{") and len(masked) <= MAX_OBJECT else None


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict.word,
        "observed": None if decision.observed is None else decision.observed.word,
        "risk": decision.risk,
        "rule": decision.rule,
        "reason": decision.reason,
        "matches": [
            {
                "rule": match.rule,
                "verdict": match.verdict.word,
                "risk": match.risk,
                "reason": match.reason,
                "shadow": match.shadow,
                "fixed": match.fixed,
                "unevaluable": match.unevaluable,
            }
            for match in decision.matches
        ],
    }


def _read_decision(content: Mapping[str, Any]) -> Decision:
    matches = tuple(Match(**{**match, "verdict": _verdict(match["verdict"])}) for match in content["matches"])
    observed = content["observed"]
    return Decision(
        verdict=_verdict(content["verdict"]),
        observed=None if observed is None else _verdict(observed),
        risk=content["risk"],
        rule=content["rule"],
        reason=content["reason"],
        matches=matches,
    )


def _verdict(word: str) -> Verdict:
    return Verdict[word.upper()]


def _dump(record: Mapping[str, Any]) -> bytes:
    """As JSON, with whatever is shaped like a token replaced, wherever it stands."""
    text = line_of(record)
    if holds_token(text):
        return orjson.dumps(scrub_values(orjson.loads(text)), option=orjson.OPT_APPEND_NEWLINE)
    return text
