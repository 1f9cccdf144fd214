from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.log_lines import lines_since


@pytest.mark.parametrize(
    ("mark", "found"),
    [(0, [b"one", b"two", b"three"]), (1, [b"two", b"three"]), (4, [b"two", b"three"]), (5, [b"three"]), (14, [])],
    ids=["from the beginning", "within a line", "between lines", "within the next", "the end of the last whole one"],
)
def test_only_whole_lines_that_were_begun_later(mark: int, found: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\ntwo\nthree\nfou")
    assert lines_since(tmp_path / "log", mark) == found


def test_nothing_yet(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    assert lines_since(tmp_path / "log", 0) == []
