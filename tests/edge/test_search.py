"""The index says what the record says, however it grew; it is made anew when it must be, and forgets what is gone."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addons.core.audit import timestamp
from addons.core.cast_text import cast_has
from addons.core.session_search import Search
from addons.core.timeline import seconds
from addons.edge import archive, search_rows
from addons.edge.search_follow import Follower
from addons.edge.search_keeper import catch_up, forget, keep_up
from addons.edge.search_query import Found, count, search
from addons.edge.search_schema import IndexInUse, NoIndex, SearchTooLong, index_folder, open_to_write, writing

WORDS = st.sampled_from(["", "get", "pods", "a*b", "%", "_", "[x]", 'x"y', "ß", "\u202e", "O'x", "é\x00"])
TIMES = st.integers(0, 5).map(lambda at: timestamp(1767225600 + at)) | st.sampled_from(["", "x"])


def quietly(_: object) -> None:
    """Nobody wants to know how far it is."""


def event(
    verb: str, resource: str, sub: str, namespace: str, verdict: str, rule: str, when: str, call: str
) -> dict[str, Any]:
    return {
        "auditID": call, "verb": verb, "stageTimestamp": when,
        "objectRef": {"resource": resource, "subresource": sub, "namespace": namespace},
        "annotations": {"chaperone.dev/decision": verdict, "chaperone.dev/rule": rule},
    }  # fmt: skip


CALLS = st.sampled_from(["c1", "c2"])
EVENTS = st.builds(event, WORDS, WORDS, st.sampled_from(["", "exec"]), WORDS, WORDS, WORDS, TIMES, CALLS)
LINES = st.one_of(EVENTS.map(json.dumps), st.sampled_from(["", "{torn", "[]", "1", '"x"', "\x00"]))
TEXTS = st.text(st.sampled_from('aB"*ß%\x1b[m\n\x00'), max_size=8)
CAST_EVENTS = st.lists(st.tuples(st.floats(0, 2), st.sampled_from("io"), TEXTS).map(list), max_size=6)
PATTERNS = st.lists(WORDS | st.sampled_from(["*", "?*", "g*", "[!a]*"]), max_size=2)
SEARCHES = st.builds(
    Search, who=st.lists(st.sampled_from(["agent-1", "agent-*", "own"]), max_size=1), verb=PATTERNS, resource=PATTERNS,
    namespace=PATTERNS, verdict=PATTERNS, rule=PATTERNS, since=TIMES, until=TIMES,
)  # fmt: skip
SESSIONS = st.lists(
    st.tuples(st.lists(LINES, max_size=8), st.dictionaries(CALLS, CAST_EVENTS, max_size=2)), min_size=1, max_size=3
)


def make_session(state: Path, name: str, lines: list[str], casts: dict[str, list[Any]], owner: str = "") -> Path:
    folder = state / "sessions" / name
    folder.mkdir(parents=True, exist_ok=True)
    about = {"identity": {"sub": f"agent-{name}", "owner": owner}, "connection": "prod"}
    (folder / "session.json").write_text(json.dumps(about))
    (folder / "audit.jsonl").write_text("".join(f"{line}\n" for line in lines))
    for call, events in casts.items():
        header = {"version": 3, "timestamp": 1767225600, "command": "sh %_", "tags": ["tty"]}
        (folder / f"exec-{call}.cast").write_text("".join(json.dumps(line) + "\n" for line in (header, *events)))
    return folder


def indexed(state: Path, anew: bool = False) -> None:
    catch_up(state, quietly, anew)


def all_of(state: Path, look_for: Search, limit: int) -> list[Found]:
    """Page by page."""
    found: list[Found] = []
    after = ""
    while True:
        page = search(state, look_for, after, limit)
        assert len(page.found) <= limit and page.behind == 0
        found += page.found
        if not (after := page.after):
            return found


def by_files(state: Path, look_for: Search) -> list[tuple[str, str, dict[str, Any]]]:
    """The straightforward way."""
    return [
        (stored.id, str(each.get("stageTimestamp", "")), each)
        for stored in archive.sessions(state) if look_for.session(stored.about)
        for each in stored.events() if look_for.event(each)
    ]  # fmt: skip


def casts_by_files(state: Path, look_for: Search) -> set[tuple[str, str]]:
    """Casts that hold the text, and belong to a call of which one event is what is looked for, whenever it was."""
    calls = Search(**{name: getattr(look_for, name) for name in ("verb", "resource", "namespace", "verdict", "rule")})
    return {
        (stored.id, cast.name)
        for stored in archive.sessions(state) if look_for.session(stored.about)
        for cast in stored.casts
        if cast_has(look_for.text, cast.read_bytes().decode().split("\n")[:-1])
        and (not any(calls.patterns) or any(
            cast.name == f"exec-{each.get('auditID')}.cast" and calls.event(each) and "exec" in str(each["objectRef"])
            for each in stored.events()))
    }  # fmt: skip


def key(found: Any) -> str:
    return json.dumps(found, sort_keys=True)


@settings(deadline=None)
@given(SESSIONS, st.lists(SEARCHES, min_size=1, max_size=3), st.integers(1, 3), TEXTS.filter(bool))
def test_the_index_answers_as_the_files_do(sessions: list[Any], look_for: list[Search], limit: int, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        for number, (lines, casts) in enumerate(sessions):
            make_session(state, str(number), lines, casts, "own" if number else "")
        indexed(state)
        for each in look_for:
            found = all_of(state, each, limit)
            assert sorted(key([one.session, one.time, one.event]) for one in found) == sorted(
                map(key, by_files(state, each))
            )
            assert [one.time for one in found] == sorted((one.time for one in found), reverse=True)
            assert count(state, each) == len(found)
            timeless = Search(**{name: getattr(each, name) for name in ("who", "verb", "resource", "namespace",
                                                                      "verdict", "rule")}, text=text)  # fmt: skip
            places = all_of(state, timeless, limit)
            assert {(one.session, one.cast) for one in places} == casts_by_files(state, timeless)


@settings(deadline=None, max_examples=50)
@given(SESSIONS, st.lists(st.integers(0, 400), max_size=4), st.booleans())
def test_however_the_files_grew_it_is_the_same(sessions: list[Any], stops: list[int], crash: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole, growing = Path(folder) / "whole", Path(folder) / "growing"
        for number, (lines, casts) in enumerate(sessions):
            make_session(whole, str(number), lines, casts)
        for stop in sorted(stops):
            for path in sorted(whole.glob("sessions/*/*")):
                to = growing / path.relative_to(whole)
                to.parent.mkdir(parents=True, exist_ok=True)
                content = path.read_bytes()
                with to.open("ab") as file:  # the same file goes on
                    file.write(content if path.name == "session.json" and not to.stat().st_size else b"")
                    file.write(content[to.stat().st_size : stop] if path.name != "session.json" else b"")
            if crash:
                interrupted(growing)
            else:
                indexed(growing)
        for path in whole.glob("sessions/*/*"):
            to = growing / path.relative_to(whole)
            to.parent.mkdir(parents=True, exist_ok=True)
            with to.open("ab") as file:
                file.write(path.read_bytes()[to.stat().st_size :])
        indexed(growing)
        indexed(whole)
        assert contents(growing) == contents(whole)


def interrupted(state: Path) -> None:
    """As if the process had been killed within the second part of what it writes."""
    with writing(state):
        connection = open_to_write(state)
        follower = Follower(state, connection)
        parts = 0

        def told(_: object) -> None:
            nonlocal parts
            parts += 1
            if parts == 2:
                connection.execute("BEGIN")
                connection.execute("DELETE FROM event")
                raise InterruptedError

        with contextlib.suppress(InterruptedError):
            follower.catch_up(told)
        connection.close()


def contents(state: Path) -> dict[str, list[Any]]:
    """All that an index says, whatever numbers it has given."""
    (file,) = index_folder(state).glob("*.sqlite")
    connection = sqlite3.connect(file)
    words = dict(connection.execute("SELECT id, names FROM word"))
    found: dict[str, list[Any]] = {
        table: sorted(
            (*place, *(words[word] for word in row[3:]))
            for row in connection.execute(f"SELECT * FROM {table}") for place in [row[:3]]
        )
        for table in ("event", "stream")
    }  # fmt: skip
    pieces = connection.execute("SELECT id, file, number, time, until, kind, data FROM piece ORDER BY file, number")
    names = dict(
        connection.execute("SELECT f.id, s.name || '/' || f.name FROM file f JOIN session s ON s.id = f.session")
    )
    found["piece"] = []
    for piece_id, file_id, *rest, data in pieces:
        piece = search_rows.unpacked("", data)
        for start in range(len(piece.text) - 2):
            gram = piece.text[start : start + 3].casefold()[:3].replace('"', '""')
            hits = connection.execute("SELECT rowid FROM gram WHERE gram MATCH ?", (f'"{gram}"',))
            assert (piece_id,) in hits.fetchall(), gram
        found["piece"].append((names[file_id], rest, piece))
    found["piece"].sort(key=str)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return found


def log_of(*verbs: str) -> list[str]:
    return [json.dumps(event(verb, "pods", "", "a", "allow", "r", timestamp(1767225600 + number), f"c{number}"))
            for number, verb in enumerate(verbs)]  # fmt: skip


def test_a_line_that_is_torn_waits_and_counts_when_it_is_whole(tmp_path: Path) -> None:
    folder = make_session(tmp_path, "1", log_of("get"), {})
    with (folder / "audit.jsonl").open("a") as file:
        file.write(line := log_of("list")[0])
        file.flush()
        indexed(tmp_path)
        assert count(tmp_path, Search()) == 1
        file.write("\n")
    indexed(tmp_path)
    assert [each.event for each in search(tmp_path, Search(verb=["list"])).found] == [json.loads(line)]


def test_another_file_by_the_same_name_is_read_anew(tmp_path: Path) -> None:
    cast = {"c": [[0, "o", "first text"]]}
    folder = make_session(tmp_path, "1", log_of("get", "get"), cast)
    indexed(tmp_path)
    (folder / "new").write_text(log_of("delete")[0] + "\n")
    (folder / "new").rename(folder / "audit.jsonl")
    indexed(tmp_path)
    assert [each.event["verb"] for each in search(tmp_path, Search()).found if each.event] == ["delete"]
    assert len(search(tmp_path, Search(text="first text")).found) == 1
    (folder / "exec-c.cast").write_text("{}\n")
    indexed(tmp_path)
    assert search(tmp_path, Search(text="first text")).found == []


def test_what_is_removed_is_not_found_and_not_in_the_file(tmp_path: Path) -> None:
    secret = "removed-needle-0123456789"
    make_session(tmp_path, "1", log_of("get"), {"c": [[0, "o", secret]]})
    folder = make_session(tmp_path, "2", log_of(secret), {"c": [[0, "o", secret], [0, "i", f"{secret}\r"]]})
    indexed(tmp_path)
    assert len(search(tmp_path, Search(text=secret)).found) == 3
    shutil.rmtree(folder)
    assert len(search(tmp_path, Search(text=secret)).found) == 1, "before the index knows"
    assert search(tmp_path, Search(verb=[secret])).found == []
    forget(tmp_path, "2")
    indexed(tmp_path)
    assert (count(tmp_path, Search()), len(search(tmp_path, Search(text=secret)).found)) == (1, 1)
    (file,) = index_folder(tmp_path).glob("*.sqlite")
    connection = sqlite3.connect(file)
    hits = connection.execute('SELECT rowid FROM gram WHERE gram MATCH \'"eed" AND "dle"\'').fetchall()
    assert len(hits) == 1
    assert connection.execute("SELECT count(*) FROM session").fetchone() == (1,)
    connection.close()


def other_version(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def overwritten(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(100)
        opened.write(b"\xff" * (size - 100))


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def not_one(file: Path) -> None:
    file.write_bytes(b"this is no database" * 1000)


def of_an_older_program(file: Path) -> None:
    file.rename(file.with_name("index-v0-abc.sqlite"))


@pytest.mark.parametrize("fault", [other_version, overwritten, emptied, not_one, of_an_older_program])
def test_an_index_that_is_no_good_is_made_anew(tmp_path: Path, fault: Callable[[Path], None]) -> None:
    make_session(tmp_path, "1", log_of("get"), {})
    indexed(tmp_path)
    (file,) = index_folder(tmp_path).glob("*.sqlite")
    fault(file)
    if fault is not other_version:
        with pytest.raises(NoIndex):
            search(tmp_path, Search())
    indexed(tmp_path)
    assert count(tmp_path, Search()) == 1
    assert len(list(index_folder(tmp_path).glob("*.sqlite"))) == 1


def test_damage_that_a_reader_finds_ends_with_an_index_made_anew(tmp_path: Path) -> None:
    make_session(tmp_path, "1", log_of("get"), {})
    indexed(tmp_path)
    (file,) = index_folder(tmp_path).glob("*.sqlite")
    waits: list[float] = []

    def stopped(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 3:
            overwritten(file)
            with pytest.raises(NoIndex, match=r"damaged|cannot be read"):
                search(tmp_path, Search())
        if len(waits) == 6:
            assert count(tmp_path, Search()) == 1
        return len(waits) > 6

    keep_up(tmp_path, stopped, quietly)
    (made,) = index_folder(tmp_path).glob("*.sqlite")
    assert made != file


def test_one_process_writes(tmp_path: Path) -> None:
    with writing(tmp_path), pytest.raises(IndexInUse), writing(tmp_path):
        pass
    assert index_folder(tmp_path).stat().st_mode & 0o77 == 0


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    make_session(tmp_path, "1", log_of("get"), {})
    indexed(tmp_path)
    assert [path for path in index_folder(tmp_path).iterdir() if path.stat().st_mode & 0o77] == []


def test_a_search_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    make_session(tmp_path, "1", log_of(*["get"] * 20_000), {})
    indexed(tmp_path)
    with pytest.raises(SearchTooLong):
        count(tmp_path, Search(verb=["get"]), seconds=-1)


def test_a_place_in_a_list_stays_when_the_index_is_made_anew(tmp_path: Path) -> None:
    for name in "abc":
        make_session(tmp_path, name, log_of("get", "list", "get"), {"c": [[0, "o", "text"]]})
    indexed(tmp_path)
    for look_for in (Search(), Search(text="text")):
        first = search(tmp_path, look_for, limit=2)
        second = search(tmp_path, look_for, first.after, limit=2)
        indexed(tmp_path, anew=True)
        assert search(tmp_path, look_for, first.after, limit=2).found == second.found
        assert second.found and not [each for each in first.found if each in second.found]


def test_a_page_and_what_is_new_meanwhile(tmp_path: Path) -> None:
    make_session(tmp_path, "1", log_of("get", "list", "watch"), {})
    indexed(tmp_path)
    first = search(tmp_path, Search(), limit=2)
    make_session(tmp_path, "2", log_of("get", "list", "watch", "delete"), {})
    indexed(tmp_path)
    (last, *_) = search(tmp_path, Search(who=["agent-1"]), first.after, limit=2).found
    assert last.event is not None and last.event["verb"] == "get"


def test_text_of_a_time(tmp_path: Path) -> None:
    events = [[10, "o", "tick "] for _ in range(5)]
    make_session(tmp_path, "1", [], {"c": events})
    indexed(tmp_path)

    def found(**times: str) -> list[float]:
        return [each.seconds for each in search(tmp_path, Search(text="tick", **times)).found]

    start = seconds("2026-01-01T00:00:00Z")
    assert found() == [10]
    assert found(since=timestamp(start + 25)) == [30]
    assert found(until=timestamp(start + 5)) == []
    assert found(since=timestamp(start + 60)) == []


def test_a_line_longer_than_any_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_rows, "MAX_LINE", 600)
    folder = make_session(tmp_path, "1", [log_of("get")[0], "x" * 1200, "y" * 1299, log_of("list")[0], "z" * 600], {})
    indexed(tmp_path)
    assert [each.event["verb"] for each in search(tmp_path, Search()).found if each.event] == ["list", "get"]
    with (folder / "audit.jsonl").open("a") as file:
        file.write("t" * 1800)
    indexed(tmp_path)
    assert count(tmp_path, Search()) == 2


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(log_of("get")[0] + "\n")
    folder = make_session(tmp_path, "1", [], {})
    (folder / "audit.jsonl").unlink()
    (folder / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    (folder / "exec-a.cast").symlink_to(tmp_path / "elsewhere")
    indexed(tmp_path)
    assert (count(tmp_path, Search()), search(tmp_path, Search(text="allow")).found) == (0, [])
