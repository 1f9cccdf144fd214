"""Following the logs: whole lines, each once, whatever a crash leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addons.edge import audit_files as module
from addons.edge.audit_files import Place, audit_logs, new_lines
from tests.edge.pipelines import append, record

MUCH = 1024 * 1024


def read(state: Path, place: Place | None = None, most: int = MUCH) -> tuple[list[str], Place]:
    lines, after = new_lines(audit_logs(state / "sessions")["s"], place, most)
    return [line.event["auditID"] for line in lines], after


def test_what_is_new(tmp_path: Path) -> None:
    append(tmp_path, "s", [record(1), record(2)])
    first, place = read(tmp_path)
    append(tmp_path, "s", [record(3)])
    second, after = read(tmp_path, place)
    assert (first, second) == (["1", "2"], ["3"])
    assert read(tmp_path, after) == ([], after)


def test_each_line_has_its_place(tmp_path: Path) -> None:
    append(tmp_path, "s", [record(1), b"torn\n", record(2)])
    lines, _ = new_lines(audit_logs(tmp_path / "sessions")["s"], None, MUCH)
    assert [read(tmp_path, line.after)[0] for line in lines] == [["2"], []]


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    append(tmp_path, "s", [record(1), record(2)[:-20]])
    found, place = read(tmp_path)
    assert found == ["1"]
    append(tmp_path, "s", [record(2)[-20:]])
    assert read(tmp_path, place)[0] == ["2"]


@pytest.mark.parametrize("torn", [b'{"kind":"Event"', b"[]", b"5", b"\xff\xfe"])
def test_what_is_no_event_is_passed_over(tmp_path: Path, torn: bytes) -> None:
    append(tmp_path, "s", [record(1), torn + b"\n", record(2)])
    assert read(tmp_path)[0] == ["1", "2"]


def test_what_was_cut_off_is_not_missed(tmp_path: Path) -> None:
    """A write that fails is undone: the file ends before what was read, and goes on from there."""
    path = append(tmp_path, "s", [record(1), record(2)])
    _, place = read(tmp_path)
    with path.open("r+b") as file:
        file.truncate(len(record(1)))
    found, back = read(tmp_path, place)
    assert (found, back.offset) == ([], len(record(1)))
    append(tmp_path, "s", [record(3), record(4)])
    assert read(tmp_path, back)[0] == ["3", "4"]
    cut = Place(place.inode, len(record(1)) + 5)
    assert read(tmp_path, cut)[0] == ["3", "4"]


def test_a_file_that_was_replaced_begins_anew(tmp_path: Path) -> None:
    path = append(tmp_path, "s", [record(1)])
    _, place = read(tmp_path)
    path.rename(path.with_name("old"))
    append(tmp_path, "s", [record(2), record(3)])
    assert read(tmp_path, place)[0] == ["2", "3"]


def test_what_has_no_end_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINE", 100)
    append(tmp_path, "s", [b"x" * 150])
    found, place = read(tmp_path, most=50)
    assert (found, place.offset) == ([], 150)


def test_a_line_longer_than_a_batch_is_read(tmp_path: Path) -> None:
    append(tmp_path, "s", [record(1), record(2)])
    assert read(tmp_path, most=10)[0] == ["1", "2"]


def test_a_long_way_back_to_the_beginning_of_a_line(tmp_path: Path) -> None:
    append(tmp_path, "s", [record(1), b'{"auditID":"2","x":"' + b"y" * 200_000 + b'"}\n'])
    _, end = read(tmp_path)
    assert read(tmp_path, Place(end.inode, end.offset - 5))[0] == ["2"]


def test_sessions(tmp_path: Path) -> None:
    assert audit_logs(tmp_path / "sessions") == {}
    append(tmp_path, "a", [record(1)])
    (tmp_path / "sessions" / "empty").mkdir()
    (tmp_path / "sessions" / "file").write_text("x")
    logs = audit_logs(tmp_path / "sessions")
    assert list(logs) == ["a"]
    size = len(record(1))
    assert logs["a"].waiting(None) == size
    assert logs["a"].waiting(Place(logs["a"].inode, size)) == 0
    assert logs["a"].waiting(Place(0, size)) == size


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(pieces=st.lists(st.integers(1, 400), max_size=12), most=st.integers(1, 2000))
def test_however_it_grows_each_line_is_read_once(tmp_path: Path, pieces: list[int], most: int) -> None:
    whole = b"".join(record(number) for number in range(6))
    path = append(tmp_path, "s", [])
    path.write_bytes(b"")
    found: list[str] = []
    place: Place | None = None
    at = 0
    for piece in [*pieces, len(whole)]:
        append(tmp_path, "s", [whole[at : at + piece]])
        at += piece
        new, place = read(tmp_path, place, most)
        found += new
    while (more := read(tmp_path, place, most))[0]:
        found, place = found + more[0], more[1]
    assert found == [str(number) for number in range(6)]
