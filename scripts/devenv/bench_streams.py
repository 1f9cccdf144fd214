"""What lasts, through a gateway: the memory of many watches that wait, and the memory and rate of one long log.

mitmproxy holds a reply back until it is whole, so its watches would never show anything: the arm it is compared with is
mitmproxy with one addon that streams every reply, and looks at none.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.devenv import bench_machine
from scripts.devenv.bench_arms import Arm, Bench
from scripts.devenv.bench_scenarios import WrongAnswers

WATCHES = 200
AIM_KILOBYTES = 150.0
"""Of an idle watch, beyond what bare mitmproxy needs for it."""
LOG_BYTES = 200_000_000
SECONDS = 60.0
_SETTLE_SECONDS = 1.0
_WATCH = "/api/v1/namespaces/default/events?watch=true"
_LOG = "/api/v1/namespaces/default/pods/web-7d9f8c6b5-00000/log?limitBytes=%d"
_FIRST = b'"message":"started"'
_STREAMING = "def responseheaders(flow):\n    flow.response.stream = True\n"

type Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def measure(bench: Bench, folder: Path, watches: int = WATCHES, log_bytes: int = LOG_BYTES) -> dict[str, Any]:
    """The report. Raises WrongAnswers if anything but the whole stream came."""
    arms = [streaming_mitmproxy(bench, folder), bench.chaperone(http2=False)]
    found = {arm.name: asyncio.run(measure_arm(arm, bench.token, watches, log_bytes)) for arm in arms}
    added = found["chaperone"]["kilobytes_per_watch"] - found["mitmproxy"]["kilobytes_per_watch"]
    aims = {"aim_kilobytes_added": AIM_KILOBYTES, "kilobytes_added": round(added, 1), "met": added <= AIM_KILOBYTES}
    return {"watches": watches, "log_bytes": log_bytes, **aims, "arms": found}


def streaming_mitmproxy(bench: Bench, folder: Path) -> Arm:
    """mitmproxy that passes on what comes when it comes."""
    script = folder / "streaming.py"
    script.write_text(_STREAMING)
    return bench.mitmproxy("-s", script)


async def measure_arm(arm: Arm, token: str, watches: int, log_bytes: int) -> dict[str, Any]:
    """One arm's part of the report. Raises WrongAnswers."""
    await _watching(arm, token, watches)  # what the first ones need is kept
    each = await _watching(arm, token, watches)
    grown, seconds = await _log(arm, token, log_bytes)
    return {
        "kilobytes_per_watch": round(each, 1),
        "log_megabytes_grown": round(grown, 1),
        "log_megabytes_per_second": round(log_bytes / 1e6 / seconds, 1),
    }


async def _watching(arm: Arm, token: str, watches: int) -> float:
    """Kilobytes of memory for each watch, when all have shown their first event and wait."""
    before = _resident(arm)
    opened: list[Connection] = []
    try:
        for _ in range(watches):
            connection = await _ask(arm, token, _WATCH)
            opened.append(connection)
            await _until(connection[0], _FIRST)
        await asyncio.sleep(_SETTLE_SECONDS)
        return (_resident(arm) - before) / watches
    finally:
        await _close(opened)
        await asyncio.sleep(_SETTLE_SECONDS)


async def _log(arm: Arm, token: str, log_bytes: int) -> tuple[float, float]:
    """Megabytes that the peak of memory rose by, and the seconds that a whole log took."""
    child = _child(arm)
    bench_machine.forget_peak(child)
    before, began = _resident(arm), time.monotonic()
    connection = await _ask(arm, token, _LOG % log_bytes)
    got = 0
    try:
        while got < log_bytes:  # chunk sizes and the head count too, by a thousandth
            chunk = await _soon(connection[0].read(1 << 20), f"the log after {got} bytes of {log_bytes}")
            if not chunk:
                raise WrongAnswers(f"{arm.name}: the log ended after {got} bytes of {log_bytes}")
            got += len(chunk)
    finally:
        await _close([connection])
    seconds, used = time.monotonic() - began, bench_machine.usage(child)
    return ((used.peak_mb * 1024 - before) / 1024 if used else 0.0), seconds


async def _ask(arm: Arm, token: str, path: str) -> Connection:
    """A connection of its own, as kubectl makes one, on which this was asked."""
    proxy, authority = urlsplit(arm.target.proxy), arm.target.authority
    host, _, port = authority.partition(":")
    target = f"{host}:{port or 443}"
    reader, writer = await asyncio.open_connection(proxy.hostname, proxy.port)
    writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    await _until(reader, b"\r\n\r\n")
    await writer.start_tls(ssl.create_default_context(cafile=arm.target.ca_file), server_hostname=host)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    return reader, writer


async def _until(reader: asyncio.StreamReader, text: bytes) -> None:
    await _soon(reader.readuntil(text), repr(text))


async def _soon[T](what: Awaitable[T], name: str) -> T:
    try:
        async with asyncio.timeout(SECONDS):
            return await what
    except (TimeoutError, asyncio.IncompleteReadError) as error:
        raise WrongAnswers(f"{name} did not come: {error!r}") from None


async def _close(connections: Sequence[Connection]) -> None:
    for _, writer in connections:
        writer.close()
    for _, writer in connections:
        with suppress(OSError):
            await writer.wait_closed()


def _child(arm: Arm) -> int:
    assert arm.child is not None
    return arm.child.pid


def _resident(arm: Arm) -> int:
    """Kilobytes in memory now."""
    return bench_machine.resident_kb(_child(arm))
