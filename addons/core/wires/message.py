"""What travels in a session, whatever protocol frames it: messages to be judged, and what only has to keep its turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from addons.core.channels import Channel, MalformedMessage
from addons.core.decision import Decision
from addons.core.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Lane:
    """One channel of a session. A port-forward has many: `pair` counts its connections, each to one `port`."""

    channel: Channel
    pair: int = 0
    port: int = 0


@dataclass(slots=True, kw_only=True)
class Message:
    """A piece of a lane. Steps may change its data, withhold it, or end the session with a refusal instead."""

    lane: Lane
    from_client: bool
    data: bytes = b""
    size: int = 0
    """Bytes that came, whatever `data` is now."""
    opens: bool = False
    """The lane begins: nothing was sent on it before."""
    ends: bool = False
    """Its sender will send nothing more on it. (In a WebSocket without channels: the message is whole.)"""
    aborts: bool = False
    """The lane is over, in both directions. It ends, too."""
    withheld: bool = False
    refusal: Refusal | None = None
    decision: Decision | None = None
    """What the guardrails make of what it completes: a line, a file, a port."""
    about: str = ""
    """What that is, for people."""
    notes: list[str] = field(default_factory=list)
    """For the record."""


@dataclass(frozen=True, slots=True)
class Control:
    """Something between the two ends of a protocol. It is judged by nobody; with `closes`, the session is over."""

    from_client: bool
    content: object
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """Bytes to be sent now, whatever else waits for its turn."""

    to_client: bool
    data: bytes
    keepalive: bool = False
    """A ping, or the answer to one: it may come later, or not at all, as it carries nothing."""


Item = Message | Control | Ready


class Wire(Protocol):
    """How one session is framed. After a Violation, or `farewell`, it must not be used again."""

    json_status: bool
    """The error channel carries a Status; otherwise it is text."""

    @property
    def owes_status(self) -> bool:
        """The server has to say yet how a command ended, and does so however it ends: else, output may be missing."""

    def receive(self, data: bytes, from_client: bool, now: float) -> Iterator[Item]:
        """What is complete after `data`. Raises Violation."""

    def send(self, item: Message | Control) -> Iterator[Ready]:
        """The bytes of a message or control, in its turn. Raises Violation."""

    def farewell(self, status: bytes, text: bytes) -> Iterator[Ready]:
        """Tells the client why the session ends, as far as the protocol has a place for it; then closes it."""


_SENDERS = {
    Channel.STDIN: (True,),
    Channel.RESIZE: (True,),
    Channel.STDOUT: (False,),
    Channel.STDERR: (False,),
}


def check_sender(lane: Lane, from_client: bool) -> None:
    """Nothing if this side may send data on this lane. Raises MalformedMessage."""
    error_from_client = lane.channel is Channel.ERROR and from_client
    if error_from_client or from_client not in _SENDERS.get(lane.channel, (True, False)):
        raise MalformedMessage(f"{lane.channel} data came from the {'client' if from_client else 'server'}")
