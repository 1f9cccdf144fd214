"""One direction of a session: what was read and has not been passed on."""

from __future__ import annotations

from collections import deque

from addons.core.channels import Channel
from addons.core.wires.message import Control, Message

_ITEM_BYTES = 256  # what an item takes beside its data
_JOINED_BYTES = 32 * 1024


class Side:
    """What waits for its turn, and the message that is being judged."""

    def __init__(self) -> None:
        self.queue: deque[Message | Control] = deque()
        self.judged: Message | None = None

    def put(self, item: Message | Control) -> int:
        """Bytes that wait more. Small pieces of one lane that wait anyway are judged as one."""
        last = self.queue[-1] if self.queue else None
        if isinstance(item, Message) and isinstance(last, Message) and _joins(last, item):
            last.data += item.data
            last.size += item.size
            last.ends = item.ends
            return item.size
        self.queue.append(item)
        return weight(item)


def weight(item: Message | Control) -> int:
    """What an item counts while it waits."""
    return _ITEM_BYTES + (item.size if isinstance(item, Message) else 0)


def _joins(last: Message, item: Message) -> bool:
    """True for two pieces of one stream of bytes; messages of a WebSocket without channels are more than bytes."""
    return (
        last.lane == item.lane
        and last.lane.channel not in (Channel.TEXT, Channel.BINARY)
        and not (last.opens or last.ends or item.opens or item.aborts)
        and len(last.data) + len(item.data) <= _JOINED_BYTES
    )
