"""Parts of a session's log: whole together, each call once, also the ones whose end is far away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.io import tnetstring

from addons.edge import timeline
from addons.edge.goings_on import goings_on
from addons.edge.timeline import around, offset_of, window


def line(call: str, stage: str) -> str:
    return json.dumps({"auditID": call, "stage": stage, "verb": "get", "requestURI": f"/{call}"}) + "\n"


def write(folder: Path, *events: tuple[str, str]) -> list[int]:
    """The log, and where each event is."""
    text = [line(*event) for event in events]
    (folder / "audit.jsonl").write_text("".join(text))
    return [len("".join(text[:number])) for number in range(len(text))]


def calls(found: timeline.Window) -> list[str]:
    return [each.id for each in found.entries]


BEGIN, END = "RequestReceived", "ResponseComplete"


def test_parts_follow_each_other(tmp_path: Path) -> None:
    events = [(f"c{number}", stage) for number in range(7) for stage in (BEGIN, END)]
    places = write(tmp_path, *events)
    first = window(tmp_path, 0, 3)
    assert (calls(first), first.before, first.after) == (["c0", "c1", "c2"], -1, places[6])
    second = window(tmp_path, first.after, 3)
    assert (calls(second), second.before, second.after) == (["c3", "c4", "c5"], 0, places[12])
    last = window(tmp_path, second.after, 3)
    assert (calls(last), last.before, last.after) == (["c6"], places[6], -1)
    assert calls(window(tmp_path, places[6] - 3, 3)) == ["c3", "c4", "c5"], "a place within a line is that of the next"
    assert calls(window(tmp_path, 10**9)) == []


def test_a_call_is_where_it_began(tmp_path: Path) -> None:
    places = write(tmp_path, ("long", BEGIN), ("a", BEGIN), ("a", END), ("b", END), ("long", END), ("c", BEGIN))
    first = window(tmp_path, 0, 1)
    assert calls(first) == ["long"]
    assert first.entries[0].offset == 0 and first.after == places[1]
    assert calls(window(tmp_path, first.after, 9)) == ["a", "b", "c"], "and not where it ended"
    assert around(tmp_path, places[4]).here == "long"


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([BEGIN, END])), max_size=30), st.integers(1, 4))
def test_each_call_that_began_is_in_a_part(tmp_path_factory: Any, events: list[tuple[str, str]], limit: int) -> None:
    folder = tmp_path_factory.mktemp("log")
    write(folder, *events)
    found: list[str] = []
    place = 0
    while place >= 0:
        part = window(folder, place, limit)
        assert len(part.entries) <= limit and (part.after < 0 or part.after > place)
        found += calls(part)
        place = part.after
    assert set(found) == {call for call, _ in events}


def test_around_a_place(tmp_path: Path) -> None:
    places = write(tmp_path, *[(f"c{number}", BEGIN) for number in range(40)])
    found = around(tmp_path, places[30], limit=15)
    assert (found.here, calls(found)[0], len(found.entries)) == ("c30", "c20", 15)
    assert offset_of(tmp_path, "c30") == places[30]
    assert offset_of(tmp_path, "none") == 0


def test_no_log_and_a_strange_one(tmp_path: Path) -> None:
    for found in (window(tmp_path), around(tmp_path, 5)):
        assert (found.entries, found.before, found.after) == ([], -1, -1)
    assert offset_of(tmp_path, "x") == 0
    (tmp_path / "audit.jsonl").write_text('{"torn\n[]\n{"verb":"get"}\n{"auditID":"x"')
    assert [each.verb for each in window(tmp_path).entries] == ["get"]


def test_what_goes_on(tmp_path: Path) -> None:
    assert goings_on(tmp_path, 0) == []
    (tmp_path / "live").mkdir()
    told = {"audit_id": "a1", "session": "s1", "user": "u", "verb": "watch", "resource": "pods"}
    record = {"metadata": {"chaperone": told}, "timestamp_created": 5.0, "marked": "", "comment": ""}
    (tmp_path / "live" / "1.mitm").write_bytes(tnetstring.dumps(record))
    (tmp_path / "live" / "2.mitm").write_bytes(b"torn")
    (tmp_path / "live" / "3.mitm").write_bytes(tnetstring.dumps([1]))
    for name, about in (("s2", "torn"), ("s3", '{"identity": {"sub": "x"}}')):
        folder = tmp_path / "sessions" / name
        folder.mkdir(parents=True)
        (folder / "session.json").write_text(about)
        write(folder, ("a", BEGIN), ("b", BEGIN))
    now = (tmp_path / "sessions" / "s3" / "audit.jsonl").stat().st_mtime
    found = goings_on(tmp_path, now)
    assert next((each.session, each.last) for each in found) == ("s1", "")
    assert {(each.session, each.user, each.last) for each in found[1:]} == {
        ("s2", "unidentified", "get /b"), ("s3", "x", "get /b"),
    }  # fmt: skip
    assert [each.session for each in goings_on(tmp_path, now + 1000)] == ["s1"]


@pytest.mark.parametrize("name", ["s3"])
def test_a_log_without_a_session(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "sessions" / name
    folder.mkdir(parents=True)
    write(folder, ("a", BEGIN))
    assert goings_on(tmp_path, folder.stat().st_mtime) == []
