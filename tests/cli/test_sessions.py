"""The investigator's commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from addons.cli import sessions as command
from addons.edge.archive import UnknownSession


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    file = tmp_path / "mitm.conf"
    file.write_text("state: state\n")
    folder = tmp_path / "state" / "sessions" / "5e551011"
    folder.mkdir(parents=True)
    about = {"id": "5e551011", "connection": "prod", "identity": {"sub": "agent\x1b[2J"}, "intent": "INC-1"}
    (folder / "session.json").write_text(json.dumps(about))
    events = [
        {"stage": "RequestReceived", "verb": "get", "requestURI": "/a"},
        {"stage": "ResponseComplete", "verb": "get", "requestURI": "/a\u202e", "responseStatus": {"code": 403},
         "annotations": {"chaperone.dev/decision": "deny", "chaperone.dev/rule": "no-a"}},
    ]  # fmt: skip
    (folder / "audit.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return file


def _folder(conf: Path) -> Path:
    return conf.parent / "state" / "sessions" / "5e551011"


def test_list(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.list_sessions(conf=conf)
    shown = capsys.readouterr().out
    assert re.match(r"5e551011 .*Z  agent\\x1b\[2J on prod  INC-1\n", shown)
    command.list_sessions(conf=conf, output="json")
    assert json.loads(capsys.readouterr().out)[0]["id"] == "5e551011"


def test_show(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.show("5e", conf=conf)
    shown = capsys.readouterr().out
    assert "agent\\x1b[2J" in shown
    assert "/a\\u202e  403  deny  (no-a)" in shown
    assert shown.count("ResponseComplete") == 1
    assert "RequestReceived" not in shown


def test_audit(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.audit("5e551011", conf=conf)
    assert len(capsys.readouterr().out.splitlines()) == 2
    command.audit("5e551011", conf=conf, output="json")
    assert [json.loads(line)["stage"] for line in capsys.readouterr().out.splitlines()] == [
        "RequestReceived", "ResponseComplete",
    ]  # fmt: skip


def test_play(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [{"version": 3, "title": "exec n/p", "command": "sh"}, [0.1, "o", "hi\x1b[2J\r\n"], [0, "x", "3"]]
    (_folder(conf) / "exec-1.cast").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command.play("5e551011", conf=conf, raw=True)
    assert capsys.readouterr().out == "--- exec-1.cast: exec n/p: sh\nhi\\x1b[2J\n\n[exit status 3]\n"
    with pytest.raises(UnknownSession, match="no recording named zzz"):
        command.play("5e551011", cast="zzz", conf=conf)


def test_sessions_are_found_by_what_was_done(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [{"version": 3, "command": "sh", "tags": ["tty"]}, [0.1, "i", "rm -rx\x7ff /\r"], [0, "x", "3"]]
    (_folder(conf) / "exec-1.cast").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def found(**options: Any) -> str:
        command.list_sessions(conf=conf, **options)
        return capsys.readouterr().out

    assert found(who=("agent*",), verdict=("deny",), rule=("no-*",)).endswith("  INC-1  1 events\n")
    assert found(text="RM -rf").endswith("  INC-1\n")
    assert json.loads(found(verb=("get",), output="json"))[0]["events"] == 2
    for options in ({"who": ("x",)}, {"connection": ("x",)}, {"verb": ("list",)}, {"text": "rm -rx"}, {"since": "1d"}):
        assert found(**options) == ""
    with pytest.raises(ValueError, match="is no time"):
        found(since="yesterday")
