"""Reading sessions back, torn ends included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.io import tnetstring

from addons.edge.archive import Tail, UnknownSession, complete_records, session, sessions


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


@given(st.lists(st.binary(max_size=20), max_size=4), st.integers(0, 200))
def test_records_at_any_cut(values: list[bytes], cut: int) -> None:
    encoded = [tnetstring.dumps(value) for value in values]
    whole = b"".join(encoded)
    first, rest = complete_records(whole[:cut])
    second, left = complete_records(rest + whole[cut:])
    assert first + second == encoded
    assert left == b""


@pytest.mark.parametrize("data", [b"x", b"-1:a,", b":a", b"9999999999999:"])
def test_other_bytes_are_no_records(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a flow file"):
        complete_records(data)


def test_following(tmp_path: Path) -> None:
    file = _session(tmp_path, "s") / "flows-w-1.mitm"
    one, two = tnetstring.dumps(b"one"), tnetstring.dumps(b"two")
    file.write_bytes(one)
    tail, from_start = Tail(tmp_path), Tail(tmp_path, from_start=True)
    assert (tail.new_records(), from_start.new_records()) == ([], [one])
    with file.open("ab") as writer:
        writer.write(two[:3])
    assert tail.new_records() == []
    with file.open("ab") as writer:
        writer.write(two[3:])
    assert (tail.new_records(), from_start.new_records()) == ([two], [two])
    later = _session(tmp_path, "t") / "flows-w-1.mitm"
    later.write_bytes(one)
    assert tail.new_records() == [one]
    later.write_bytes(one + b"garbage")
    assert tail.new_records() == []
    assert tail.new_records() == []


def test_files_of_a_session(tmp_path: Path) -> None:
    folder = _session(tmp_path, "s")
    for name in ("exec-1.cast", "flows-a.mitm", "audit.jsonl"):
        (folder / name).write_text(json.dumps({}))
    stored = session(tmp_path, "s")
    assert [path.name for path in stored.casts] == ["exec-1.cast"]
    assert [path.name for path in stored.flow_files] == ["flows-a.mitm"]
