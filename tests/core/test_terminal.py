"""Messages in, cast out."""

from __future__ import annotations

import json

import pytest

from addons.core.cast import Cast
from addons.core.channels import Channel, ExitStatus, MalformedMessage
from addons.core.terminal import Terminal
from addons.core.wires import Lane, Message


@pytest.fixture
def terminal() -> Terminal:
    return Terminal(True, Cast(0, ("sh",), "exec", True))


def message(channel: Channel, data: bytes = b"", ends: bool = False) -> Message:
    from_client = channel in (Channel.STDIN, Channel.RESIZE)
    return Message(lane=Lane(channel), from_client=from_client, data=data, size=len(data), ends=ends)


def test_a_session(terminal: Terminal) -> None:
    lines = terminal.start()
    lines += terminal.message(message(Channel.RESIZE, b'{"Width":90,"Hei'), 1)
    lines += terminal.message(message(Channel.RESIZE, b'ght":30}\n{"Width":91,"Height":30}'), 1)
    lines += terminal.message(message(Channel.STDIN, b"id\n"), 2)
    lines += terminal.message(message(Channel.STDOUT, b"uid=0\r\n"), 3)
    lines += terminal.message(message(Channel.STDERR, b"warning\r\n"), 4)
    lines += terminal.message(message(Channel.STDIN, ends=True), 5)
    lines += terminal.message(message(Channel.ERROR), 5)
    lines += terminal.message(message(Channel.ERROR, b'{"status":'), 6)
    lines += terminal.message(message(Channel.ERROR, b'"Success"}'), 6)
    lines += terminal.end(7)
    events = [json.loads(line)[1:] for line in lines.splitlines()[1:]]
    assert [code for code, _ in events] == ["r", "r", "i", "o", "o", "x"]
    assert [text for code, text in events if code == "r"] == ["90x30", "91x30"]
    assert terminal.status == ExitStatus(0)
    assert terminal.summary() == {"stdin-bytes": "3", "stdout-bytes": "7", "stderr-bytes": "9", "exit-code": "0"}


def test_notes_and_files(terminal: Terminal) -> None:
    noted = message(Channel.STDIN, b"x")
    noted.notes += ["warn by r: because", "copied in: file a (1 bytes, sha256 00)"]
    events = [json.loads(line)[1:] for line in terminal.message(noted, 1).splitlines()]
    assert [code for code, _ in events] == ["i", "m", "m"]
    assert terminal.summary()["files"] == "copied in: file a (1 bytes, sha256 00)"


def test_b34_a_size_that_is_none(terminal: Terminal) -> None:
    with pytest.raises(MalformedMessage):
        terminal.message(message(Channel.RESIZE, b"x}"), 1)


def test_without_a_status(terminal: Terminal) -> None:
    assert json.loads(terminal.end(1))[1] == "m"
    assert "exit-code" not in terminal.summary()
    terminal.message(message(Channel.ERROR, b"killed"), 1)
    assert "exit-code" not in terminal.summary()
