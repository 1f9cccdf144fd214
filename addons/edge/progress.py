"""How far the record of one exchange is: what has been kept of it, and what has been written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from addons.edge.durable import Folder
from addons.edge.flow_file import MessageState
from addons.edge.sample import Sample
from addons.edge.tape import Tape

_NONE: Mapping[str, str] = {}


@dataclass(slots=True, weakref_slot=True)
class Progress:
    """One exchange's; empty at first."""

    folder: Folder | None = None  # where all of it goes, whatever grows large meanwhile
    sample: Sample | None = None
    tape: Tape | None = None
    told: bool = False  # the last audit event is written
    over: bool = False  # the flow record is written

    def end(self, now: float) -> Mapping[str, str]:
        """What the last audit event says about a stream."""
        if self.tape is not None:
            return self.tape.end(now)
        return _NONE if self.sample is None else {"streamed-bytes": str(self.sample.total)}

    @property
    def messages(self) -> Sequence[MessageState]:
        """The first messages of a session."""
        return () if self.tape is None else self.tape.messages

    @property
    def size(self) -> int:
        """How much is kept of a stream: it only grows."""
        return (0 if self.sample is None else self.sample.size) + len(self.messages)
