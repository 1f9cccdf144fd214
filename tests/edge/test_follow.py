"""Following a gateway that writes, removes, tears and is killed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.io import tnetstring

from addons.edge import follow
from addons.edge.follow import LiveTail, Tail, complete_records
from addons.edge.live import live_folder


def _session(state: Path, name: str) -> Path:
    folder = state / "sessions" / name
    folder.mkdir(parents=True)
    return folder


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


def test_a_file_that_vanishes_takes_nothing_else_with_it(tmp_path: Path) -> None:
    gone, stays = (_session(tmp_path, name) / "flows-w-1.mitm" for name in ("a", "b"))
    gone.symlink_to(tmp_path / "nowhere")
    stays.write_bytes(tnetstring.dumps(b"one"))
    assert Tail(tmp_path, from_start=True).new_records() == [tnetstring.dumps(b"one")]


def test_a_long_history_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_MAX_AT_ONCE", 20)
    monkeypatch.setattr(follow, "MAX_RECORD", 10)
    one = tnetstring.dumps(b"one")
    for name in ("a", "b", "c"):
        (_session(tmp_path, name) / "flows-w-1.mitm").write_bytes(one * 4)
    (_session(tmp_path, "d") / "flows-w-1.mitm").write_bytes(tnetstring.dumps(b"longer than any record"))
    tail = Tail(tmp_path, from_start=True)
    parts = []
    while part := tail.new_records():
        parts.append(part)
    assert sum(parts, []) == [one] * 12  # noqa: RUF017 - a dozen
    assert max(map(len, parts)) <= 4


def test_what_goes_on_is_told_once_each_time_it_changes(tmp_path: Path) -> None:
    tail, folder = LiveTail(tmp_path), live_folder(tmp_path)
    assert [*tail.changes()] == []
    folder.mkdir()
    (folder / "a.partial").write_bytes(b"half")
    (folder / "a.mitm").write_bytes(b"1")
    assert [*tail.changes()] == [("a", b"1")]
    assert [*tail.changes()] == []
    (folder / "a.partial").write_bytes(b"2")
    (folder / "a.partial").rename(folder / "a.mitm")
    (folder / "b.mitm").symlink_to(tmp_path / "nowhere")
    assert [*tail.changes()] == [("a", b"2")]
    (folder / "a.mitm").unlink()
    assert [*tail.changes()] == [("a", None)]
    assert [*tail.changes()] == []
