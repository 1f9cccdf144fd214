"""Reading sessions back, torn ends included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from addons.core.session_search import Search
from addons.edge.archive import UnknownSession, search, session, sessions


def _session(state: Path, name: str, about: str = '{"identity": {"sub": "agent"}}') -> Path:
    folder = state / "sessions" / name
    folder.mkdir(parents=True)
    (folder / "session.json").write_text(about)
    return folder


def test_sessions(tmp_path: Path) -> None:
    _session(tmp_path, "aa11")
    _session(tmp_path, "ab22", "torn {")
    _session(tmp_path, "list", "[]")
    assert {stored.id: stored.user for stored in sessions(tmp_path)} == {
        "aa11": "agent", "ab22": "unidentified", "list": "unidentified",
    }  # fmt: skip
    assert sessions(tmp_path / "nowhere") == []


@pytest.mark.parametrize(("name", "found"), [("aa1", "aa1"), ("aa11", "aa11"), ("ab", "ab22"), ("a", ""), ("x", "")])
def test_one_session(tmp_path: Path, name: str, found: str) -> None:
    for each in ("aa1", "aa11", "ab22"):
        _session(tmp_path, each)
    if found:
        assert session(tmp_path, name).id == found
    else:
        with pytest.raises(UnknownSession, match="chaperone sessions list"):
            session(tmp_path, name)


def test_events_skip_only_what_is_torn(tmp_path: Path) -> None:
    folder = _session(tmp_path, "s")
    assert [*session(tmp_path, "s").events()] == []
    (folder / "audit.jsonl").write_text('{"a":1}\n{"torn\n[]\n{"a":2}\n')
    assert [event["a"] for event in session(tmp_path, "s").events()] == [1, 2]


def test_files_of_a_session(tmp_path: Path) -> None:
    folder = _session(tmp_path, "s")
    for name in ("exec-1.cast", "flows-a.mitm", "audit.jsonl"):
        (folder / name).write_text(json.dumps({}))
    stored = session(tmp_path, "s")
    assert [path.name for path in stored.casts] == ["exec-1.cast"]
    assert [path.name for path in stored.flow_files] == ["flows-a.mitm"]


def test_sessions_are_searched(tmp_path: Path) -> None:
    for name, verb, printed in (("a", "get", "one"), ("b", "delete", "two")):
        folder = _session(tmp_path, name)
        (folder / "audit.jsonl").write_text(f'{{"verb":"{verb}"}}\n{{"verb":"watch"}}\n')
        (folder / "exec-1.cast").write_text(f'{{"version":3}}\n[0,"o","{printed}"]\n')

    def found(**options: Any) -> dict[str, int]:
        return {stored.id: count for stored, count in search(tmp_path, Search(**options))}

    assert found() == {"a": 0, "b": 0}
    assert found(verb=["get", "watch"]) == {"a": 2, "b": 1}
    assert found(verb=["delete"]) == {"b": 1}
    assert found(text="TWO") == {"b": 0}
    assert found(text="two", verb=["get"]) == {}
    assert found(since="2999-01-01T00:00:00.000000Z") == {}
    assert found(who=["nobody"]) == {}
