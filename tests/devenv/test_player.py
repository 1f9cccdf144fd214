"""asciinema-player is what is pinned, where the console looks for it, and fetched once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from addons.console import assets
from scripts.devenv import npm, player
from scripts.devenv.places import REPOSITORY


def test_the_console_looks_for_what_is_pinned() -> None:
    assert npm.pinned()[player.PACKAGE].version == assets.PLAYER_VERSION
    assert assets.PLAYER == player.PACKAGE


def test_a_folder_gets_what_pages_load(tmp_path: Path) -> None:
    player.fetch(tmp_path / "player")
    assert sorted(path.name for path in (tmp_path / "player").iterdir()) == [
        "LICENSE", "asciinema-player.css", "asciinema-player.min.js",
    ]  # fmt: skip


@pytest.mark.parametrize(("python", "said"), [("true", "fetching"), ("false", "as text until")])
def test_the_bootstrap_fetches_it_and_does_not_insist(tmp_path: Path, python: str, said: str) -> None:
    script = f'source "{REPOSITORY}/scripts/bootstrap.sh"; CHAPERONE_CACHE="{tmp_path}" PYTHON={python}; prepare_player'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert said in done.stderr
    again = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (again.stderr == "") is (python == "false"), "not again within an hour"
    (tmp_path / "npm").mkdir(exist_ok=True)
    (tmp_path / "npm" / f"asciinema-player-{assets.PLAYER_VERSION}").mkdir()
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stderr == ""
