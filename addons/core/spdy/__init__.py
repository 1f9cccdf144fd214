"""SPDY/3.1, sans-I/O, as far as Kubernetes speaks it: exec, attach and port-forward before WebSocket, and inside it.

`reader` and `writer` turn bytes into `frames` and back, `headers` does their compressed header blocks, `streams` knows
what may happen on a stream, and `windows` keeps flow control right when what is passed on is not as long as what came.
Nothing here knows Kubernetes. Source: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from addons.core.spdy.frames import (
    Data,
    Frame,
    GoAway,
    Headers,
    Ping,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)
from addons.core.spdy.headers import Fields, HeaderDesync
from addons.core.spdy.reader import FrameReader, MalformedFrame, OversizedFrame
from addons.core.spdy.streams import ReusedStream, Streams, UnknownStream
from addons.core.spdy.windows import Windows
from addons.core.spdy.writer import FrameWriter

__all__ = [
    "Data",
    "Fields",
    "Frame",
    "FrameReader",
    "FrameWriter",
    "GoAway",
    "HeaderDesync",
    "Headers",
    "MalformedFrame",
    "OversizedFrame",
    "Ping",
    "ReusedStream",
    "RstStream",
    "Settings",
    "Streams",
    "SynReply",
    "SynStream",
    "UnknownStream",
    "WindowUpdate",
    "Windows",
]
