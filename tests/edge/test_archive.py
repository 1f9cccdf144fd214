"""Reading sessions back, torn ends included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from addons.edge.archive import UnknownSession, session, sessions


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
