"""An exec or attach over WebSocket as a recording: its messages in, pieces of the cast out.

Data on a channel that its sender may not use ends the session: what cannot be read one way is not forwarded.
"""

from __future__ import annotations

from addons.core.cast import Cast
from addons.core.channels import Channel, ExitStatus, MalformedMessage, Protocol, decode, exit_status, terminal_size
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal

_FROM_CLIENT = frozenset({Channel.STDIN, Channel.RESIZE, Channel.CLOSE})
_FROM_SERVER = frozenset({Channel.STDOUT, Channel.STDERR, Channel.ERROR, Channel.CLOSE})


class UnrecordableUpgrade(RuntimeError):
    """The server switched to a protocol that nobody here can read."""


def unrecordable(request: KubeRequest) -> Refusal | None:
    """Why a session cannot be recorded and so must not be opened; None for everything else."""
    return None if request.upgrade in ("", "websocket") else _UPGRADE


NOT_RECORDED = Refusal(
    code=503,
    rule="record-unavailable",
    why="the record of this request cannot be written, and what cannot be recorded is not forwarded",
    hint="tell the people who run the gateway: its state folder is full, read-only or gone",
    retry_after_seconds=30,
)
_UPGRADE = Refusal(
    code=403,
    rule="upgrade-not-recorded",
    why="only WebSocket sessions can be recorded, and what cannot be recorded is not forwarded",
    hint="use kubectl 1.31 or newer, which opens exec, attach and port-forward over WebSocket; if yours is, its first\n"
    "    try was refused by the cluster: kubectl auth can-i create pods/exec, and -v=6, say more",
)


class Terminal:
    """One session. Every method returns what to append to the cast's file; times are Unix seconds."""

    def __init__(self, protocol: Protocol, cast: Cast) -> None:
        self._protocol, self._cast = protocol, cast
        self._error = b""
        self.status: ExitStatus | None = None

    def start(self) -> bytes:
        """The header."""
        return self._cast.header()

    def message(self, content: bytes, from_client: bool, now: float) -> bytes:
        """One WebSocket message. Raises MalformedMessage and CastFull: the session must end."""
        decoded = decode(self._protocol, content)
        if decoded is None or not decoded[1]:
            return b""
        channel, data = decoded
        if channel not in (_FROM_CLIENT if from_client else _FROM_SERVER):
            raise MalformedMessage(f"{channel} data came from the {'client' if from_client else 'server'}")
        match channel:
            case Channel.CLOSE:
                return b""
            case Channel.RESIZE:
                return self._cast.resize(*terminal_size(data), now)
            case Channel.ERROR:
                self._error = (self._error + data)[:65536]
                self.status = exit_status(self._protocol, self._error)
                return b""
            case _:
                return self._cast.data(channel, data, now)

    def end(self, now: float) -> bytes:
        """The last piece."""
        return self._cast.end(self.status, now)

    def summary(self) -> dict[str, str]:
        """Bytes per channel and the exit status, for the audit event."""
        counts = {f"{channel}-bytes": str(count) for channel, count in self._cast.seen.items()}
        if self.status is not None and self.status.code is not None:
            counts["exit-code"] = str(self.status.code)
        return counts
