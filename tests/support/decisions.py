"""Sessions on disk, with decisions in them, for the commands that read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from addons.core.decision import Decision, Match, Thresholds, Verdict
from addons.core.guardrails import Facts, Judged, Needs
from addons.core.guardrails.record import line
from addons.core.guardrails.selftest import request_of
from addons.core.identity import Identity
from addons.core.profile import Profile


def decision(id: str, request: str, verdict: str, rule: str = "", sub: str = "agent-7", **facts: Any) -> bytes:
    """One line of decisions.jsonl, as a gateway writes it."""
    known = Facts(
        request=request_of(request),
        identity=Identity(iss="https://idp", sub=sub, aud=("x",), exp=9e9),
        connection="prod",
        now=1_800_000_000.0,
        **facts,
    )
    judged = Judged(facts=known, needs=Needs(), thresholds=Thresholds(), profile=Profile.STANDARD, rules="then")
    word = Verdict[verdict.upper()]
    matches = (Match(rule=rule, verdict=word, risk=50, reason="because"),) if rule else ()
    made = Decision(verdict=word, risk=50 if rule else 0, rule=rule, reason="because", matches=matches)
    return line(id, judged, made, lambda _, body, __: body)


def stored(state: Path, session: str, lines: Sequence[bytes], events: Sequence[dict[str, Any]] = ()) -> Path:
    """The folder of a session."""
    folder = state / "sessions" / session
    folder.mkdir(parents=True)
    (folder / "session.json").write_text(json.dumps({"id": session}))
    (folder / "decisions.jsonl").write_bytes(b"".join(lines))
    (folder / "audit.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder
