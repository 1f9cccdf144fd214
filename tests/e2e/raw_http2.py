"""HTTP/2 by hand, through a gateway: header blocks that no client library would send."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import hpack
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.raw import target, tunnel

Fields = Sequence[tuple[str, str]]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = 9


@dataclass(slots=True)
class Outcome:
    """What became of one stream: an answer, or why there is none."""

    status: int = 0
    body: bytes = b""
    ended: list[str] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        """True unless the request was answered with success."""
        return 400 <= self.status < 500 or (self.status == 0 and bool(self.ended))


def get(
    gateway: GatewayEnv, path: str, /, *more: tuple[str, str], token: str = "", **pseudo: str | None
) -> list[tuple[str, str]]:
    """The fields of a request; `pseudo` replaces pseudo-headers by their name, None leaves one out."""
    whole: dict[str, str | None] = {"method": "GET", "scheme": "https", "authority": target(gateway), "path": path}
    fields = [(f":{name}", value) for name, value in (whole | pseudo).items() if value is not None]
    return [*fields, *([("authorization", f"Bearer {token}")] if token else []), *more]


def ask(
    gateway: GatewayEnv, *requests: Fields, body: bytes | None = None, trailers: Fields = (), pause: float = 0
) -> list[Outcome]:
    """The outcomes of requests on one connection, one after the other, each after a pause of so many seconds."""
    with tunnel(gateway, protocols=["h2"]) as tls:
        assert tls.selected_alpn_protocol() == "h2"
        tls.settimeout(5)
        tls.sendall(PREFACE + SettingsFrame(0).serialize())
        encoder, decoder, frames = hpack.Encoder(), hpack.Decoder(), _frames(tls)
        outcomes = []
        for number, fields in enumerate(requests):
            stream = 2 * number + 1
            time.sleep(pause)
            with suppress(OSError):
                tls.sendall(b"".join(_request(encoder, stream, fields, body, trailers)))
            outcomes.append(_outcome(frames, decoder, stream))
        return outcomes


def _request(
    encoder: hpack.Encoder, stream: int, fields: Fields, body: bytes | None, trailers: Fields
) -> Iterator[bytes]:
    yield _headers(encoder, stream, fields, last=body is None)
    if body is not None:
        yield _flagged(DataFrame(stream, body), [] if trailers else ["END_STREAM"])
        if trailers:
            yield _headers(encoder, stream, trailers, last=True)


def _headers(encoder: hpack.Encoder, stream: int, fields: Fields, last: bool) -> bytes:
    block = encoder.encode([(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields])
    return _flagged(HeadersFrame(stream, block), ["END_HEADERS", *(["END_STREAM"] if last else [])])


def _flagged(frame: Frame, flags: Sequence[Any]) -> bytes:
    for flag in flags:
        frame.flags.add(flag)
    return bytes(frame.serialize())


def _frames(tls: ssl.SSLSocket) -> Iterator[Frame]:
    """Until the connection ends, or is silent for long."""
    received = b""
    with suppress(OSError):
        while True:
            while len(received) < _HEAD or len(received) < _HEAD + int.from_bytes(received[:3]):
                if not (piece := tls.recv(65536)):
                    return
                received += piece
            frame, length = Frame.parse_frame_header(memoryview(received[:_HEAD]))
            frame.parse_body(memoryview(received[_HEAD : _HEAD + length]))
            received = received[_HEAD + length :]
            yield frame


def _outcome(frames: Iterator[Frame], decoder: hpack.Decoder, stream: int) -> Outcome:
    outcome = Outcome()
    for frame in frames:
        match frame:
            case HeadersFrame() if frame.stream_id == stream:
                fields = decoder.decode(frame.data, raw=True)
                outcome.status = next(int(value) for name, value in fields if name == b":status")
            case DataFrame() if frame.stream_id == stream:
                outcome.body += frame.data
            case RstStreamFrame() if frame.stream_id == stream:
                outcome.ended.append(f"reset {frame.error_code}")
                return outcome
            case GoAwayFrame():
                outcome.ended.append(f"goaway {frame.error_code}")
                return outcome
        if frame.stream_id == stream and "END_STREAM" in frame.flags:
            return outcome
    outcome.ended.append("closed")
    return outcome
