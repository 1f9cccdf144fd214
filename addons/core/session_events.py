"""What happens inside a session, for rules and records: lines, files that are copied, ports that are reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from addons.core.argv import read_command_line
from addons.core.channels import Channel
from addons.core.decision import Decision
from addons.core.kube_request import KubeRequest
from addons.core.tar import TarReader, UnreadableArchive
from addons.core.typed import LineReader
from addons.core.wires import Message

Each = Literal["line", "output", "file", "port"]


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was typed, or printed."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Copied:
    """A member of an archive on its way: `in`to the pod, or `out` of it. `unreadable` when it cannot be told."""

    name: str
    direction: str
    size: int = 0
    kind: str = "file"
    link: str = ""


@dataclass(frozen=True, slots=True)
class Reached:
    """A connection of a port-forward."""

    port: int


Event = Line | Copied | Reached


def each_of(event: Event) -> Each:
    """What rules call this event."""
    match event:
        case Line(source=source):
            return "line" if source == "stdin" else "output"
        case Copied():
            return "file"
        case _:
            return "port"


def told(event: Event) -> str:
    """An event in one line, for people."""
    match event:
        case Line(text, source):
            return f"{source}: {text}"
        case Copied(name, direction, size, kind):
            return f"copy {direction}: {kind} {name} ({size} bytes)"
        case _:
            return f"port {event.port}"


def notes_of(decision: Decision, event: Event) -> list[str]:
    """What the record says of the rules that matched an event, those on trial included."""
    return [
        f"{'shadow: ' if match.shadow else ''}{match.verdict.word} by {match.rule}: {match.reason}: {told(event)}"
        for match in decision.matches
    ]


class SessionReader:
    """One session. `wanted` are the kinds of event that somebody reads; files are always read, for the record."""

    def __init__(self, request: KubeRequest, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._ports = request.ports
        command = read_command_line(request.argv)
        self._lines = {
            Channel.STDIN: LineReader(request.tty),
            Channel.STDOUT: LineReader(False),
            Channel.STDERR: LineReader(False),
        }
        self._archives: dict[Channel, _Archive] = {}
        if not request.tty:
            tar = "tar" in command.programs
            self._archives = {
                Channel.STDIN: _Archive("in", tar and "in" in command.transfers),
                Channel.STDOUT: _Archive("out", tar and "out" in command.transfers),
            }

    def read(self, message: Message) -> list[Event]:
        """What this message completes. Raises PathTraversal."""
        channel = message.lane.channel
        if channel is Channel.DATA and message.opens and message.lane.port not in self._ports:
            return [Reached(message.lane.port)]
        events: list[Event] = []
        if channel in self._archives:
            events += self._archives[channel].feed(message.data)
        if channel in self._lines and ("line" if channel is Channel.STDIN else "output") in self._wanted:
            lines = self._lines[channel].feed(message.data, message.ends)
            events += [Line(text, channel.value) for text in lines]
        return events

    def copied(self) -> list[str]:
        """Files that have passed whole since it was last asked: direction, name, size and digest of each."""
        found: list[str] = []
        for archive in self._archives.values():
            found += archive.copied()
        return found


class _Archive:
    """A stream that may be a tar archive: it is one if its first block is a header, or the command says so."""

    def __init__(self, direction: str, expected: bool) -> None:
        self._direction, self._expected = direction, expected
        self._reader: TarReader | None = TarReader()

    def feed(self, data: bytes) -> list[Event]:
        if self._reader is None:
            return []
        events: list[Event] = []
        try:
            for entry in self._reader.feed(data):
                self._expected = True
                events.append(Copied(entry.name, self._direction, entry.size, entry.kind, entry.link))
        except UnreadableArchive:
            self._reader = None
            if self._expected:
                events.append(Copied("", self._direction, kind="unreadable"))
        return events

    def copied(self) -> list[str]:
        if self._reader is None:
            return []
        done, self._reader.copied = self._reader.copied, []
        return [
            f"copied {self._direction}: {entry.kind} {entry.name} ({entry.size} bytes, sha256 {digest})"
            for entry, digest in done
        ]
