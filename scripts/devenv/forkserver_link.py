"""How a process asks for forked ones; `forkserver_main.py` answers."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn, Self

from scripts.devenv.places import REPOSITORY

OURS = {"PYTHONPATH": str(REPOSITORY), "PYTHONSAFEPATH": "1"}
"""Variables that Python reads early, as the server itself has them."""
MESSAGE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Forked:
    """A process that the server started."""

    pid: int
    _ended: socket.socket

    def wait(self, seconds: float) -> int | None:
        """Its exit status as subprocess has it, or None if it still runs after that time."""
        self._ended.settimeout(seconds)
        try:
            code = self._ended.recv(MESSAGE_BYTES)
        except (TimeoutError, BlockingIOError):
            return None
        return int(code) if code else _has_ended()

    def close(self) -> None:
        """It may run on: nobody is told of its end."""
        self._ended.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(slots=True)
class Server:
    """The process that has imported everything. It ends, and with it all that it started, when this one does.

    What it forked for a process that it forked itself (`process` is None there) ends with that, or lasts as long as it.
    """

    process: subprocess.Popen[bytes] | None
    requests: socket.socket

    def end(self) -> None:
        """Ends it, and what still runs of it."""
        self.requests.close()
        if self.process is not None:
            self.process.wait()

    def fork(
        self,
        words: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        files: Sequence[IO[bytes]],
        *,
        lasting: bool = False,
    ) -> Forked:
        """A new process of it; `files` are its standard input, output, error. A `lasting` one ends with the server."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps([words[2], words[3:], dict(env), str(cwd), lasting]).encode()
        with theirs:
            socket.send_fds(self.requests, [request], [*(each.fileno() for each in files), theirs.fileno()])
        return Forked(int(ours.recv(MESSAGE_BYTES) or 0) or _has_ended(), ours)


_starting = threading.Lock()
_servers: list[Server] = []


def server(*more: str) -> Server:
    """This process's; it is started if need be, and imports `more`, too."""
    with _starting:
        if not _servers:
            _servers.append(_started(more))
            atexit.register(_servers[0].end)
        return _servers[0]


def is_there() -> bool:
    """Whether this process has one."""
    return bool(_servers)


def inherit(requests: socket.socket) -> None:
    """In a process that was forked: the server that has done it goes on."""
    _servers.append(Server(None, requests))


def _has_ended() -> NoReturn:
    raise RuntimeError("the fork server has ended: see its standard error")


def channel() -> tuple[socket.socket, socket.socket]:
    """For requests: the end of who asks, and the server's."""
    asking, answering = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_BYTES)
    return asking, answering


def _started(more: Sequence[str]) -> Server:
    ours, theirs = channel()
    with theirs:
        command = [sys.executable, "-m", "scripts.devenv.forkserver_main", str(theirs.fileno()), *more]
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], start_new_session=True, stdin=subprocess.DEVNULL,
            cwd=REPOSITORY, env={**os.environ, **OURS},
        )  # fmt: skip
    return Server(process, ours)
