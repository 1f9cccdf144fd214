"""Where pipelines send: standard output, files, syslog, webhooks, collectors. Everything raises NotSent."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from addons.core.alert import Fired
from addons.core.notify.outbox import SEND_SECONDS
from addons.core.pipelines import otlp, syslog
from addons.core.pipelines.form import batch, form
from addons.core.pipelines.known import Known
from addons.core.pipelines.pipeline import File, Otlp, Pipeline, Stdout, Syslog, Webhook
from addons.core.problem import Problem
from addons.edge.durable import append_lines
from addons.edge.notify_secrets import UnusableSecret, read_secrets
from addons.edge.post import NotSent, Poster, first_secret, signed_headers
from addons.edge.syslog import Sender, tls_context

_PIPE_BYTES = 4096
"""What a pipe that can be written takes at once: PIPE_BUF of Linux."""
HOST = socket.gethostname()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One event or alert, or the spans of an event."""

    known: Known
    alert: Fired | None = None
    spans: tuple[dict[str, Any], ...] = ()


class Receiver(Protocol):
    """For one event loop. What was not sent may have arrived all the same."""

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Returns when all were taken. Raises NotSent."""

    async def close(self) -> None:
        """Closes every connection."""


def receiver(pipeline: Pipeline) -> Receiver:
    """Of a pipeline. Raises OSError if its files cannot be used."""
    match pipeline.target:
        case Stdout():
            return _Lines(pipeline, _Stdout())
        case File(path=path):
            return _Lines(pipeline, _Appended(Path(path)))
        case Syslog() as place:
            return _Syslog(pipeline, place)
        case Webhook() as hook:
            return _Webhook(pipeline, hook)
        case Otlp() as collector:
            return _Collector(pipeline, collector)


def check_files(pipelines: Sequence[Pipeline]) -> list[Problem]:
    """Every secret and certificate that cannot be used, at the line that names it."""
    problems = []
    for pipeline in pipelines:
        for file, key in pipeline.secrets:
            try:
                _header(file) if isinstance(pipeline.target, Otlp) else read_secrets(file)
            except (NotSent, UnusableSecret) as error:
                problems.append(pipeline.document.problem(key, f"{'.'.join(map(str, key[1:]))}: {error}"))
        for file, key in pipeline.certificates:
            try:
                _try_certificates(pipeline)
            except (OSError, ValueError) as error:
                problems.append(pipeline.document.problem(key, f"{key[-1]}: {file} cannot be used: {error}"))
    return problems


def _try_certificates(pipeline: Pipeline) -> None:
    target = pipeline.target
    tls_context(target if isinstance(target, Syslog) else _as_tls(target.ca_file))  # type: ignore[union-attr]


def _as_tls(ca_file: str) -> Syslog:
    return Syslog(host="", port=0, transport="tls", facility=0, ca_file=ca_file)


class _Stdout:
    def __init__(self) -> None:
        self._torn = False

    def write(self, data: bytes) -> None:
        """In pieces that are written at once, so that a reader who stops reading holds up nothing for ever."""
        descriptor, until = sys.stdout.fileno(), time.monotonic() + SEND_SECONDS
        left = memoryview(b"\n" + data if self._torn else data)
        while left:
            if not select.select([], [descriptor], [], max(0.0, until - time.monotonic()))[1]:
                raise TimeoutError(f"nobody read standard output for {SEND_SECONDS} s")
            written = os.write(descriptor, left[:_PIPE_BYTES])
            left = left[written:]
            self._torn = bool(left)


class _Appended:
    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, data: bytes) -> None:
        """Opened each time: whoever rotates it renames it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            append_lines(descriptor, data)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


class _Lines:
    def __init__(self, pipeline: Pipeline, to: _Stdout | _Appended) -> None:
        self._pipeline, self._to = pipeline, to

    async def send(self, parcels: Sequence[Parcel]) -> None:
        option = orjson.OPT_APPEND_NEWLINE
        lines = b"".join(orjson.dumps(_document(self._pipeline, each), option=option) for each in parcels)
        try:
            await asyncio.to_thread(self._to.write, lines)
        except OSError as error:
            raise NotSent(f"it cannot be written: {error.strerror or error}") from error

    async def close(self) -> None:
        """Nothing is open."""


class _Syslog:
    def __init__(self, pipeline: Pipeline, place: Syslog) -> None:
        self._pipeline, self._place, self._sender, self._sent = pipeline, place, Sender(place), 0

    async def send(self, parcels: Sequence[Parcel]) -> None:
        messages = [self._message(parcel, number) for number, parcel in enumerate(parcels, self._sent + 1)]
        try:
            await asyncio.to_thread(self._sender.send, messages)
        except (OSError, ValueError) as error:
            raise NotSent(f"it could not be reached: {error}") from error
        self._sent += len(parcels)

    async def close(self) -> None:
        self._sender.close()

    def _message(self, parcel: Parcel, number: int) -> bytes:
        document = _document(self._pipeline, parcel)
        message = self._written(parcel, number, document)
        if self._place.transport == "udp" and len(message) > syslog.MAX_DATAGRAM:
            message = self._written(parcel, number, syslog.shortened(document))[: syslog.MAX_DATAGRAM]
        return message

    def _written(self, parcel: Parcel, number: int, document: Any) -> bytes:
        return syslog.message(
            facility=self._place.facility,
            severity=syslog.severity(parcel.known, parcel.alert),
            at=str(parcel.known.event.get("stageTimestamp", "")),
            host=HOST,
            kind="alert" if parcel.alert else parcel.known.stage,
            sequence=number,
            document=document,
        )


class _Webhook:
    def __init__(self, pipeline: Pipeline, place: Webhook) -> None:
        self._pipeline, self._place, self._poster = pipeline, place, Poster(place.ca_file)

    async def send(self, parcels: Sequence[Parcel]) -> None:
        documents = [_document(self._pipeline, parcel) for parcel in parcels]
        content = orjson.dumps(batch(self._pipeline.name, documents))
        headers = signed_headers(first_secret(self._place.secret_file), content, time.time())
        await self._poster.post(self._place.url, content, headers)

    async def close(self) -> None:
        await self._poster.close()


class _Collector:
    def __init__(self, pipeline: Pipeline, place: Otlp) -> None:
        self._pipeline, self._place, self._poster = pipeline, place, Poster(place.ca_file)

    async def send(self, parcels: Sequence[Parcel]) -> None:
        headers = {"Content-Type": "application/json"}
        headers |= {name: _header(file) for name, file in self._place.header_files.items()}
        if self._pipeline.send == "traces":
            path, body = otlp.TRACES_PATH, otlp.traces([span for each in parcels for span in each.spans], HOST)
        else:
            path, body = otlp.LOGS_PATH, otlp.logs(self._records(parcels), HOST)
        answer = await self._poster.post(f"{self._place.url}{path}", orjson.dumps(body), headers)
        count, why = otlp.rejected(_parsed(answer))
        if count:  # the protocol forbids to send them again
            raise PartlyTaken(count, why)

    async def close(self) -> None:
        await self._poster.close()

    def _records(self, parcels: Sequence[Parcel]) -> list[dict[str, Any]]:
        now = time.time_ns()
        return [otlp.log_record(each.known, each.alert, _document(self._pipeline, each), now) for each in parcels]


class PartlyTaken(RuntimeError):
    """All were sent; the receiver did not take `count` of them, and will not."""

    def __init__(self, count: int, why: str) -> None:
        super().__init__(why)
        self.count = count


def _document(pipeline: Pipeline, parcel: Parcel) -> dict[str, Any]:
    return form(parcel.known, parcel.alert, pipeline.format)


def _header(file: str) -> str:
    """Raises NotSent."""
    try:
        value = Path(file).read_bytes()[:8192].strip()
    except OSError as error:
        raise NotSent(f"{file} cannot be read: {error.strerror}") from error
    if not value or not value.isascii() or not value.decode().isprintable():
        raise NotSent(f"{file} must hold the value of a header: one line in ASCII")
    return value.decode()


def _parsed(answer: bytes) -> Any:
    try:
        return orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None  # protobuf, or nothing: it was taken
