"""What a session's messages complete."""

from __future__ import annotations

import pytest

from addons.core.channels import Channel
from addons.core.decision import Decision, Match, Verdict
from addons.core.kube_request import KubeRequest
from addons.core.session_events import Copied, Event, Line, Reached, SessionReader, each_of, notes_of, told
from addons.core.tar import PathTraversal
from addons.core.wires import Lane, Message
from tests.core.test_tar import archive

ALL = frozenset({"line", "output", "file", "port"})


def reader(*argv: str, tty: bool = False, ports: tuple[int, ...] = (), wanted: frozenset[str] = ALL) -> SessionReader:
    request = KubeRequest(method="GET", path="/", argv=argv, tty=tty, ports=ports)
    return SessionReader(request, wanted)


def message(channel: Channel, data: bytes = b"", port: int = 0, opens: bool = False, ends: bool = False) -> Message:
    lane = Lane(channel, 1 if port else 0, port)
    return Message(lane=lane, from_client=channel is Channel.STDIN, data=data, size=len(data), opens=opens, ends=ends)


def test_lines() -> None:
    session = reader("sh", tty=True)
    assert session.read(message(Channel.STDIN, b"rm -rf")) == []
    assert session.read(message(Channel.STDIN, b" /\r")) == [Line("rm -rf /", "stdin")]
    assert session.read(message(Channel.STDOUT, b"# \r\ngone\r\n")) == [Line("# ", "stdout"), Line("gone", "stdout")]
    assert session.read(message(Channel.STDERR, b"oops\n")) == [Line("oops", "stderr")]
    assert session.read(message(Channel.STDIN, b"exit", ends=True)) == [Line("exit", "stdin")]
    assert reader("sh", wanted=frozenset()).read(message(Channel.STDIN, b"ls\n")) == []
    assert session.read(message(Channel.ERROR, b"{}")) == []


@pytest.mark.parametrize(("channel", "direction"), [(Channel.STDIN, "in"), (Channel.STDOUT, "out")])
def test_archives_are_known_by_their_content(channel: Channel, direction: str) -> None:
    session = reader("sh", "-c", "whatever", wanted=frozenset())
    data = archive({"d/a.txt": b"content"})
    assert session.read(message(channel, data[:700])) == [Copied("d/a.txt", direction, 7)]
    assert session.copied() == []
    session.read(message(channel, data[700:]))
    (found,) = session.copied()
    assert found.startswith(f"copied {direction}: file d/a.txt (7 bytes, sha256 ed7002b4")
    assert session.copied() == []


def test_what_is_no_archive_is_none_unless_the_command_says_so() -> None:
    plain = reader("cat", wanted=frozenset())
    assert plain.read(message(Channel.STDIN, b"x" * 600)) == []
    assert plain.read(message(Channel.STDIN, archive({"a": b""}))) == []
    assert plain.copied() == []
    packed = reader("tar", "xzf", "-", wanted=frozenset())
    assert packed.read(message(Channel.STDIN, b"\x1f\x8b" + b"x" * 600)) == [Copied("", "in", kind="unreadable")]
    broken = reader("cat", wanted=frozenset())
    assert broken.read(message(Channel.STDIN, archive({"a": b""})[:512] + b"x" * 512)) == [
        Copied("a", "in"),
        Copied("", "in", kind="unreadable"),
    ]


def test_names_that_lead_elsewhere() -> None:
    with pytest.raises(PathTraversal):
        reader("tar", "xf", "-").read(message(Channel.STDIN, archive({"../x": b""})))


def test_a_terminal_holds_no_archives() -> None:
    assert reader("sh", tty=True, wanted=frozenset()).read(message(Channel.STDOUT, archive({"a": b""}))) == []


def test_ports_that_nobody_named() -> None:
    assert reader().read(message(Channel.DATA, port=22, opens=True)) == [Reached(22)]
    assert reader(ports=(80,)).read(message(Channel.DATA, port=80, opens=True)) == []
    assert reader().read(message(Channel.DATA, b"x", port=22)) == []


@pytest.mark.parametrize(
    ("event", "each", "text"),
    [
        (Line("ls", "stdin"), "line", "stdin: ls"),
        (Line("ls", "stderr"), "output", "stderr: ls"),
        (Copied("a", "in", 3), "file", "copy in: file a (3 bytes)"),
        (Reached(22), "port", "port 22"),
    ],
)
def test_names(event: Event, each: str, text: str) -> None:
    assert (each_of(event), told(event)) == (each, text)


def test_notes() -> None:
    matches = (Match(rule="r", verdict=Verdict.WARN, risk=30, reason="because"),
               Match(rule="s", verdict=Verdict.DENY, risk=99, reason="trial", shadow=True))  # fmt: skip
    assert notes_of(Decision(verdict=Verdict.WARN, matches=matches), Line("ls", "stdin")) == [
        "warn by r: because: stdin: ls",
        "shadow: deny by s: trial: stdin: ls",
    ]
