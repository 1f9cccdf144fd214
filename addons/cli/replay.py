"""`chaperone rules replay`: what other rules would have made of what was recorded."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from addons.cli.operator import operator
from addons.cli.ruleset import NO_SECRET_KEY, Output, Rules, folders
from addons.core.connection import compile_connections
from addons.core.guardrails.record import Record
from addons.core.guardrails.replay import Replayed
from addons.core.guardrails.replay import replay as replay_record
from addons.core.printable import printable
from addons.core.problem import InvalidConfiguration
from addons.core.scope import spoken
from addons.edge.archive import decisions, refused_unjudged, session, sessions
from addons.edge.rulefiles import read_rules
from addons.policy import load_judgement

_QUIET_SECONDS = 2.0
Failure = Literal["newly-allowed", "newly-denied", "changed", "unknown"]


@dataclass(slots=True)
class Summary:
    """What came of all records. `changes` and `unknown` are kept whole, the rest counted."""

    total: int = 0
    same: int = 0
    refused: int = 0
    masked: int = 0
    changes: list[Replayed] = field(default_factory=list)
    unknown: list[Replayed] = field(default_factory=list)

    def add(self, replayed: Replayed) -> None:
        """Count one."""
        self.total += 1
        self.masked += bool(replayed.masked)
        if replayed.missing:
            self.unknown.append(replayed)
        elif replayed.changed:
            self.changes.append(replayed)
        else:
            self.same += 1

    @property
    def counts(self) -> dict[str, int]:
        """What `--fail-on` looks at."""
        return {
            "newly-allowed": sum(change.newly_allowed for change in self.changes),
            "newly-denied": sum(change.newly_denied for change in self.changes),
            "changed": len(self.changes),
            "unknown": len(self.unknown),
        }


def replay(
    *recordings: str,
    fail_on: Annotated[
        list[Failure] | None, Parameter(help="Exit with status 1 if there is one; may be repeated.")
    ] = None,
    rules: Rules = None,
    output: Output = "text",
    conf: Path = Path("mitm.conf"),
) -> int:
    """Ask rules what they would have decided about recorded requests, and show what changes.

    ```
    chaperone rules replay 3f2a --rules new-rules
    chaperone rules replay --rules rules --rules drafts --fail-on newly-allowed --fail-on newly-denied
    ```

    Needs no cluster and no secret. A connection's profile and thresholds are those in the rules, if it is there, and
    otherwise those of the record. Requests that were refused before they were judged are counted apart; so are those
    whose answer needs a fact that nobody read at that time. A change marked `masked` rests on a rule that reads a value
    which the record only has masked.

    Parameters
    ----------
    recordings
        Sessions (ids, or how they begin), folders of sessions, or decisions.jsonl files; none: all sessions.
    conf
        The gateway's configuration file, to find sessions by their ids.
    """
    guardrails, _ = load_judgement(folders(rules), NO_SECRET_KEY)
    connections, problems = compile_connections(read_rules(folders(rules))[0])
    if problems:
        raise InvalidConfiguration(problems)
    stances = {name: (connection.profile, connection.thresholds) for name, connection in connections.items()}
    paths = [_path(recording, conf) for recording in recordings] or _all(conf)
    summary = Summary()
    for record in _with_progress(record for path in paths for record in decisions(path)):
        summary.add(replay_record(record, guardrails, stances.get(record.judged.facts.connection)))
    summary.refused = sum(map(refused_unjudged, paths))
    print(json.dumps(_as_json(summary), indent=2) if output == "json" else "\n".join(_lines(summary)))
    return 1 if any(summary.counts[kind] for kind in fail_on or ()) else 0


def _path(recording: str, conf: Path) -> Path:
    return path if (path := Path(recording)).exists() else session(operator(conf).state, recording).folder


def _all(conf: Path) -> list[Path]:
    return [stored.folder for stored in sessions(operator(conf).state)]


def _with_progress(records: Iterable[Record]) -> Iterator[Record]:
    """The same records; after two seconds, how many there were so far, on standard error, once a second."""
    told = time.monotonic() + _QUIET_SECONDS
    for count, record in enumerate(records):
        if count % 256 == 0 and time.monotonic() > told:
            told = time.monotonic() + 1
            print(f"{count} decisions replayed", file=sys.stderr, flush=True)
        yield record


def _lines(summary: Summary) -> Iterator[str]:
    yield f"{summary.total} decisions replayed: {summary.same} the same, {len(summary.changes)} changed"
    counts = summary.counts
    yield f"newly allowed {counts['newly-allowed']}, newly denied {counts['newly-denied']}"
    if summary.refused:
        yield f"{summary.refused} more requests were refused before they were judged"
    if summary.masked:
        yield f"{summary.masked} decisions depend on a masked value"
    for replayed_by, title in ((_by_rule, "by rule"), (_by_agent, "by agent")):
        if summary.changes:
            yield f"{title}:"
        for (who, old, new), count in sorted(Counter(map(replayed_by, summary.changes)).items()):
            yield f"  {count:>6}  {old:>16} -> {new:<16}  {printable(who)}"
    for change in summary.changes:
        yield printable(_change_line(change))
    if summary.unknown:
        yield f"unknown, because a rule reads what nobody read then: {len(summary.unknown)}"
        for fact, count in sorted(Counter(fact for each in summary.unknown for fact in each.missing).items()):
            yield f"  {count:>6}  {fact}"


def _by_rule(change: Replayed) -> tuple[str, str, str]:
    """The rule that makes the difference: the one that decides now, or decided then and does no more."""
    then, now = change.record.decision, change.decision
    return now.rule if now.verdict > then.verdict else then.rule, then.verdict.word, now.verdict.word


def _by_agent(change: Replayed) -> tuple[str, str, str]:
    return _agent(change.record), change.record.decision.verdict.word, change.decision.verdict.word


def _agent(record: Record) -> str:
    identity = record.judged.facts.identity
    return "" if identity is None else identity.act or identity.sub


def _change_line(change: Replayed) -> str:
    then, now = change.record.decision, change.decision
    old, new = (
        f"{decision.verdict.word} {f'({decision.rule})' if decision.rule else ''}".strip() for decision in (then, now)
    )
    masked = f"  masked: {', '.join(change.masked)}" if change.masked else ""
    return f"{change.record.id}  {spoken(change.record.judged.facts.request)}: {old} -> {new}{masked}"


def _as_json(summary: Summary) -> dict[str, Any]:
    return {
        "total": summary.total,
        "same": summary.same,
        "refused_before_judged": summary.refused,
        "depend_on_masked_values": summary.masked,
        "counts": summary.counts,
        "changes": [_change(change) for change in summary.changes],
        "unknown": [{"id": each.record.id, "missing": each.missing} for each in summary.unknown],
    }


def _change(change: Replayed) -> dict[str, Any]:
    then, now = change.record.decision, change.decision
    return {
        "id": change.record.id,
        "agent": _agent(change.record),
        "connection": change.record.judged.facts.connection,
        "request": spoken(change.record.judged.facts.request),
        "old": {"verdict": then.verdict.word, "rule": then.rule, "risk": then.risk},
        "new": {"verdict": now.verdict.word, "rule": now.rule, "risk": now.risk},
        "newly_allowed": change.newly_allowed,
        "newly_denied": change.newly_denied,
        "masked": list(change.masked),
    }
