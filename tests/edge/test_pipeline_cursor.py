"""What a pipeline remembers, over processes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from addons.core.pipelines.traces import Progress
from addons.edge.audit_files import Place
from addons.edge.pipeline_cursor import Cursor, InUse


def test_what_is_noted_is_there_afterwards(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "p")
    assert cursor.new
    cursor.begin({"old": Place(1, 5)})
    cursor.commit({"s": Place(2, 10)}, {"key": "s"}, {"a": Progress(1, 2), "b": None})
    cursor.commit({"s": Place(2, 20)}, {"key": "s"}, {"b": Progress(3, 0)})
    cursor.close()
    again = Cursor(tmp_path, "p")
    assert not again.new
    assert again.places() == {"old": Place(1, 5), "s": Place(2, 20)}
    assert again.fired(["key", "other"]) == {"key"}
    assert (again.call("a"), again.call("b"), again.call("c")) == (Progress(1, 2), Progress(3, 0), Progress())
    again.commit({}, {}, {"a": None})
    assert again.call("a") == Progress()
    again.close()


def test_sessions_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "p")
    cursor.begin({})
    cursor.commit({"s": Place(2, 10), "t": Place(3, 1)}, {"key": "s", "more": "t"}, {})
    cursor.forget(["s"])
    assert cursor.places() == {"t": Place(3, 1)}
    assert cursor.fired(["key", "more"]) == {"more"}
    cursor.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "p")
    with pytest.raises(InUse, match="another `chaperone ship` runs the pipeline p"):
        Cursor(tmp_path, "p")
    Cursor(tmp_path, "q").close()
    cursor.close()
    Cursor(tmp_path, "p").close()


def test_a_file_that_is_no_cursor(tmp_path: Path) -> None:
    (tmp_path / "p.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(OSError, match="cannot be used"):
        Cursor(tmp_path, "p")
    (tmp_path / "p.sqlite").unlink()
    Cursor(tmp_path, "p").close()


def test_a_cursor_of_another_version_is_not_guessed_at(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "p.sqlite", isolation_level=None)) as database:
        database.execute("PRAGMA user_version=9")
    with pytest.raises(OSError, match="written by another version"):
        Cursor(tmp_path, "p")


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    Cursor(tmp_path / "new", "p").close()
    assert {path.stat().st_mode & 0o077 for path in [tmp_path / "new", *(tmp_path / "new").iterdir()]} == {0}


def test_a_cursor_that_breaks_is_trouble_that_may_pass(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "p")
    cursor.begin({})
    with closing(sqlite3.connect(tmp_path / "p.sqlite", isolation_level=None)) as database:
        database.execute("DROP TABLE fired")
        database.execute("DROP TABLE call")
    for broken in (
        lambda: cursor.fired(["key"]),
        lambda: cursor.call("a"),
        lambda: cursor.forget(["s"]),
        lambda: cursor.commit({"s": Place(1, 1)}, {"key": "s"}, {}),
    ):
        with pytest.raises(OSError, match=r"the cursor cannot be (read|written): no such table"):
            broken()
    assert cursor.places() == {}, "nothing of it"
    cursor.close()
