"""Another set takes the place of the one in force when it is good, complete and at rest; whatever else happens, not."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from addons.core.problem import InvalidConfiguration, Problem
from addons.edge import reload as module
from addons.edge.reload import Reload
from addons.edge.rulefiles import parse_files, read_files, read_rules, signature, version_of

GOOD = "apiVersion: chaperone/v1\nkind: K\nmetadata: {name: n}\nspec: {}\n"


class World:
    """Rule files, and what is in force: the text of all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "a.yaml").write_text("one")
        self.in_force = "one"
        self.loads = 0
        self.during: Callable[[], None] = lambda: None
        self.unreachable: list[str] = []
        self.loaded = self.signature()
        self.reload = Reload(self.load, self.put, lambda: {"policy": self.in_force}, self.signature, self.loaded)

    def signature(self) -> tuple[tuple[str, int, int, int], ...]:
        return signature([str(self.folder)])

    def load(self) -> str:
        assert threading.current_thread() is not threading.main_thread()
        self.loads += 1
        files, problems = read_files([str(self.folder)])
        self.during()
        if problems or any(file.text == "bad" for file in files):
            raise InvalidConfiguration(problems or [Problem(str(self.folder / "a.yaml"), 3, "is bad")])
        return "+".join(file.text for file in files)

    async def put(self, text: str) -> list[str]:
        self.in_force = text
        return self.unreachable

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.03)
    found = World(tmp_path)
    watching = asyncio.ensure_future(found.reload.watch())
    yield found
    assert not watching.done()
    watching.cancel()


async def test_a_changed_file_is_loaded_by_itself_and_an_unchanged_one_is_not(world: World) -> None:
    await asyncio.sleep(0.15)
    assert world.loads == 0
    (world.folder / "a.yaml").write_text("two")
    await world.until(lambda: world.in_force == "two")
    await asyncio.sleep(0.15)
    assert world.loads == 1
    assert world.reload.last is not None
    assert (world.reload.last.problems, world.reload.counts) == ((), {"loaded": 1, "failed": 0})


async def test_a_new_and_a_removed_file_are_changes(world: World) -> None:
    (world.folder / "b.yaml").write_text("two")
    await world.until(lambda: world.in_force == "one+two")
    (world.folder / "a.yaml").unlink()
    await world.until(lambda: world.in_force == "two")


async def test_a_mistake_keeps_what_is_in_force_and_says_where_it_is(world: World) -> None:
    (world.folder / "a.yaml").write_text("bad")
    await world.until(lambda: world.reload.last is not None)
    assert world.in_force == "one"
    assert world.reload.last is not None
    assert world.reload.last.problems == (f"{world.folder / 'a.yaml'}:3: is bad",)
    await asyncio.sleep(0.15)
    assert world.loads == 1, "the same mistake is not tried again and again"
    (world.folder / "a.yaml").write_text("mended")
    await world.until(lambda: world.reload.counts == {"loaded": 1, "failed": 1})
    assert world.in_force == "mended"


async def test_a_folder_that_is_gone_keeps_what_is_in_force(world: World) -> None:
    (world.folder / "a.yaml").unlink()
    world.folder.rmdir()
    await world.until(lambda: world.reload.last is not None)
    assert (world.in_force, world.reload.counts["failed"]) == ("one", 1)


async def test_a_fault_of_our_own_keeps_what_is_in_force_and_the_watch_going(world: World) -> None:
    def fault() -> None:
        raise RecursionError("too deep")

    world.during = fault
    (world.folder / "a.yaml").write_text("two")
    await world.until(lambda: world.reload.last is not None)
    assert world.reload.last is not None
    assert (world.in_force, world.reload.last.problems) == ("one", ("RecursionError: too deep",))
    world.during = lambda: None
    world.reload.ask()
    await world.until(lambda: world.in_force == "two")


async def test_what_changes_while_it_is_read_is_read_again(world: World) -> None:
    def once() -> None:
        world.during = lambda: None
        (world.folder / "b.yaml").write_text("late")

    world.during = once
    (world.folder / "a.yaml").write_text("two")
    await world.until(lambda: world.reload.counts == {"loaded": 1, "failed": 1})
    assert world.in_force == "two+late"


async def test_files_that_do_not_rest_are_not_read(world: World) -> None:
    for number in range(10):
        (world.folder / "a.yaml").write_text(f"draft {number}")
        await asyncio.sleep(0.02)
    assert world.loads == 0
    await world.until(lambda: world.in_force == "draft 9")


async def test_who_asks_gets_it_at_once_changed_or_not(world: World) -> None:
    world.unreachable = ["https://idp"]
    world.reload.ask()
    await world.until(lambda: world.loads == 1)
    await world.until(lambda: world.reload.counts["loaded"] == 1)


def test_a_signature_tells_every_change(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("one")
    seen = {signature([str(tmp_path)])}
    file.write_text("two")
    os.utime(file, ns=(1, 1))
    seen.add(signature([str(tmp_path)]))
    other = tmp_path / "b.tmp"
    other.write_text("two")
    os.utime(other, ns=(1, 1))
    other.rename(file)  # the same size and time, another file
    seen.add(signature([str(tmp_path)]))
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    seen.add(signature([str(tmp_path)]))
    file.unlink()
    seen.add(signature([str(tmp_path)]))
    assert len(seen) == 5
    assert signature([str(tmp_path / "nowhere")]) == ()


def test_the_version_is_that_of_the_texts(tmp_path: Path) -> None:
    versions: list[str] = []
    for name, text in (("a.yaml", "1"), ("a.yaml", "2"), ("b.yaml", "2"), ("a.yaml", "1")):
        folder = tmp_path / str(len(versions))
        folder.mkdir()
        (folder / name).write_text(text)
        versions.append(version_of(read_files([str(folder)])[0]))
    assert (len(set(versions)), versions[0]) == (3, versions[3])


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    """Kubernetes mounts `rules/x.yaml -> ..data/x.yaml` and `..data -> ..2026_01_01`."""
    data = tmp_path / "..2026_01_01"
    data.mkdir()
    (data / "x.yaml").write_text(GOOD)
    (tmp_path / "..data").symlink_to(data.name)
    (tmp_path / "x.yaml").symlink_to("..data/x.yaml")
    documents, problems = read_rules([str(tmp_path)])
    assert ([document.file for document in documents], problems) == ([str(tmp_path / "x.yaml")], [])


def test_what_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff")
    files, problems = read_files([str(tmp_path), str(tmp_path / "nowhere")])
    assert parse_files(files) == ([], [])
    assert [problem.message.partition(":")[0] for problem in problems] == ["no such rules folder", "cannot be read"]
