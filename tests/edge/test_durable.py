"""Key files: made once, whole, for their owner alone, whoever races for it."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from addons.core.problem import InvalidConfiguration
from addons.edge.durable import make_once
from addons.edge.fingerprint_key import fingerprint_key


def test_it_is_whole_and_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    file = tmp_path / "state" / "a.key"
    before = os.umask(0)
    try:
        assert make_once(file, b"one")
    finally:
        os.umask(before)
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (
        b"one", 0o600, 0o700,
    )  # fmt: skip
    assert not make_once(file, b"two")
    assert file.read_bytes() == b"one"
    assert [each.name for each in file.parent.iterdir()] == ["a.key"], "nothing else stays"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")
    assert not make_once(tmp_path / "a.key", b"secret")
    assert not (tmp_path / "elsewhere").exists()


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("addons.edge.durable.os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        make_once(tmp_path / "a.key", b"secret")
    assert list(tmp_path.iterdir()) == []


def test_processes_that_race_have_the_same_key(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, get_context("fork")) as pool:
        for number in range(20):
            keys = set(pool.map(fingerprint_key, [tmp_path / str(number)] * 8))
            assert [len(key) for key in keys] == [32]


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_key_that_is_none_stops_the_start(tmp_path: Path, content: bytes) -> None:
    """An earlier version that died at the wrong moment left it empty, and everybody could make its fingerprints."""
    (tmp_path / "fingerprint.key").write_bytes(content)
    with pytest.raises(InvalidConfiguration, match="is no key of 32 bytes"):
        fingerprint_key(tmp_path)
