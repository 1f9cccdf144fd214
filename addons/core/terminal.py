"""An exec or attach as a recording: its messages in, pieces of the cast out."""

from __future__ import annotations

from addons.core.cast import Cast
from addons.core.channels import Channel, ExitStatus, SizeReader, exit_status
from addons.core.refusal import Refusal
from addons.core.wires.message import Message

_MAX_STATUS = 64 * 1024
_MAX_COPIED = 100

NOT_RECORDED = Refusal(
    code=503,
    rule="record-unavailable",
    why="the record of this request cannot be written, and what cannot be recorded is not forwarded",
    hint="tell the people who run the gateway: its state folder is full, read-only or gone",
    retry_after_seconds=5,
)


class Terminal:
    """One session. Every method returns what to append to the cast's file; times are Unix seconds."""

    def __init__(self, json_status: bool, cast: Cast) -> None:
        self._json_status, self._cast = json_status, cast
        self._sizes = SizeReader()
        self._error = b""
        self._copied: list[str] = []
        self.status: ExitStatus | None = None

    def start(self) -> bytes:
        """The header."""
        return self._cast.header()

    def message(self, message: Message, now: float) -> bytes:
        """One message, as it is sent. Raises MalformedMessage and CastFull: the session must end."""
        self._copied += [note for note in message.notes if note.startswith("copied ")][
            : _MAX_COPIED - len(self._copied)
        ]
        notes = b"".join(self._cast.note(note, now) for note in message.notes)
        return self._recorded(message, now) + notes

    def _recorded(self, message: Message, now: float) -> bytes:
        match message.lane.channel:
            case Channel.RESIZE:
                sizes = self._sizes.feed(message.data)
                return b"".join(self._cast.resize(columns, rows, now) for columns, rows in sizes)
            case Channel.ERROR:
                self._error = (self._error + message.data)[:_MAX_STATUS]
                self.status = exit_status(self._json_status, self._error) if self._error else None
                return b""
            case channel:
                return self._cast.data(channel, message.data, now) if message.data else b""

    def end(self, now: float) -> bytes:
        """The last piece."""
        return self._cast.end(self.status, now)

    def summary(self) -> dict[str, str]:
        """Bytes per channel and the exit status, for the audit event."""
        counts = {f"{channel}-bytes": str(count) for channel, count in self._cast.seen.items()}
        if self.status is not None and self.status.code is not None:
            counts["exit-code"] = str(self.status.code)
        if self._copied:
            counts["files"] = "\n".join(self._copied)
        return counts
