"""What waits is counted, and small pieces of it are joined."""

from __future__ import annotations

import pytest

from addons.core.channels import Channel
from addons.core.wires import Control, Lane, Message
from addons.core.wires.side import Side, weight

LARGE = bytes(20_000)


def message(channel: Channel = Channel.STDIN, data: bytes = b"ab", **more: bool) -> Message:
    return Message(lane=Lane(channel), from_client=True, data=data, size=len(data), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second", "items"),
    [
        (message(), message(data=b"cd"), 1),
        (message(), message(ends=True), 1),
        (message(ends=True), message(), 2),
        (message(opens=True), message(), 2),
        (message(), message(opens=True), 2),
        (message(), message(ends=True, aborts=True), 2),
        (message(), message(Channel.RESIZE), 2),
        (message(Channel.TEXT), message(Channel.TEXT), 2),
        (message(Channel.BINARY), message(Channel.BINARY), 2),
        (message(data=LARGE), message(data=LARGE), 2),
        (message(), Control(True, None, closes=True), 2),
        (Control(True, None), message(), 2),
    ],
)
def test_what_is_joined(first: Message | Control, second: Message | Control, items: int) -> None:
    side, data = Side(), b"".join(each.data for each in (first, second) if isinstance(each, Message))
    counted = side.put(first) + side.put(second)
    assert len(side.queue) == items
    assert counted == sum(map(weight, side.queue))
    assert b"".join(each.data for each in side.queue if isinstance(each, Message)) == data
    assert getattr(side.queue[-1], "ends", None) == getattr(second, "ends", None)
