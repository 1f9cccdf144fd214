"""Searching and indexing on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from addons.cli.audit import remove
from addons.cli.index import index
from addons.cli.search import search
from addons.core.session_search import Search
from addons.edge.search_query import count
from addons.edge.search_schema import NoIndex, index_folder, writing


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    file = tmp_path / "mitm.conf"
    file.write_text("state: state\n")
    folder = tmp_path / "state" / "sessions" / "5e551011"
    folder.mkdir(parents=True)
    (folder / "session.json").write_text(json.dumps({"connection": "prod", "identity": {"sub": "agent"}}))
    events = [
        {"stage": "RequestReceived", "verb": verb, "requestURI": "/a\u202e", "stageTimestamp": f"2026-01-0{day}"}
        for day, verb in enumerate(("get", "delete", "get"), 1)
    ]
    (folder / "audit.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    cast = [{"version": 3, "timestamp": 1767225600, "tags": ["tty"]}, [1, "i", "rm -rx\x7ff /\x1b[A\r"]]
    (folder / "exec-1.cast").write_text("".join(json.dumps(line) + "\n" for line in cast))
    return file


def asked(capsys: pytest.CaptureFixture[str], conf: Path, **options: Any) -> tuple[str, str]:
    search(conf=conf, **options)
    said = capsys.readouterr()
    return said.out, said.err


def test_search(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, conf, verb=("del*",)) == ("2026-01-02  5e551011  delete /a\\u202e\n", "")
    out, err = asked(capsys, conf, limit=2)
    assert [line.split()[0] for line in out.splitlines()] == ["2026-01-03", "2026-01-02"]
    after = err.removeprefix("there are more: --after ").strip()
    assert asked(capsys, conf, limit=2, after=after)[0].startswith("2026-01-01")
    assert asked(capsys, conf, text="RM -rf")[0].endswith("exec-1.cast at 1.0 s  typed: rm -rf /\n")
    found = json.loads(asked(capsys, conf, output="json", who=("agent",))[0])
    assert (len(found["found"]), found["after"], found["behind"]) == (3, "", 0)
    with pytest.raises(ValueError, match="no place"):
        search(conf=conf, after="x")


def test_while_another_process_writes_the_index(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = conf.parent / "state"
    with writing(state), pytest.raises(NoIndex, match="chaperone index"):
        search(conf=conf)
    index(conf=conf)
    assert "3 new events" in capsys.readouterr().out
    with writing(state):
        assert len(asked(capsys, conf)[0].splitlines()) == 3


def test_rebuild(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = conf.parent / "state"
    index(conf=conf)
    (before,) = index_folder(state).glob("*.sqlite")
    index(conf=conf, rebuild=True)
    (after,) = index_folder(state).glob("*.sqlite")
    assert before != after and capsys.readouterr().out.count("3 new events") == 2


def test_what_is_removed_is_in_no_index(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = conf.parent / "state"
    index(conf=conf)
    (state / "sessions" / "5e551011" / "audit.jsonl").unlink()
    remove("5e", conf=conf)
    assert "removed 5e551011" in capsys.readouterr().out
    assert count(state, Search()) == 0


def eventually(what: Any) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_it_is_followed_until_a_signal_or_the_end_of_whoever_started_it(conf: Path) -> None:
    state, log = conf.parent / "state", conf.parent / "state" / "sessions" / "5e551011" / "audit.jsonl"

    def found() -> int:
        try:
            return count(state, Search())
        except NoIndex:
            return -1

    command = [sys.executable, "-m", "addons.cli", "index", "--follow", "--conf", str(conf)]
    following = subprocess.Popen(command)
    try:
        eventually(lambda: found() == 3)
        with log.open("a") as file:
            file.write('{"verb": "watch"}\n')
        eventually(lambda: found() == 4)
        following.send_signal(signal.SIGTERM)
        assert following.wait(10) == 0
        orphan = subprocess.Popen([*command, "--beside", str(os.getppid())])
        assert orphan.wait(20) == 0, "this process is not the one it was to end with"
    finally:
        following.kill()
