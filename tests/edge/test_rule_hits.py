"""What the rules page counts is what the record says, within a day and a week."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from addons.core.audit import timestamp
from addons.edge.rule_hits import Hits, rule_hits
from addons.edge.search_keeper import catch_up
from addons.edge.search_schema import NoIndex
from tests.edge.test_search import event, quietly

NOW = 1767225600.0


def recorded(state: Path, session: str, *events: tuple[float, str, str]) -> None:
    folder = state / "sessions" / session
    folder.mkdir(parents=True)
    (folder / "session.json").write_text("{}")
    lines = [
        json.dumps(event("get", "pods", "", "a", verdict, rule, timestamp(NOW - ago), f"{session}-{number}"))
        for number, (ago, verdict, rule) in enumerate(events)
    ]
    (folder / "audit.jsonl").write_text("".join(f"{line}\n" for line in lines))


def test_by_rule_and_verdict(tmp_path: Path) -> None:
    recorded(tmp_path, "one", (60, "deny", "a"), (90_000, "deny", "a"), (700_000, "deny", "a"), (5, "allow", ""))
    recorded(tmp_path, "two", (30, "warn", "a"), (86_400, "warn", "b"), (604_800, "deny", "b"), (604_801, "deny", "c"))
    catch_up(tmp_path, quietly)
    assert rule_hits(tmp_path, NOW) == {
        "a": Hits(day={"deny": 1, "warn": 1}, week={"deny": 2, "warn": 1}, last_at=timestamp(NOW - 30), session="two"),
        "b": Hits(day={"warn": 1}, week={"warn": 1, "deny": 1}, last_at=timestamp(NOW - 86_400), session="two"),
    }


def test_without_an_index_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoIndex):
        rule_hits(tmp_path, NOW)
