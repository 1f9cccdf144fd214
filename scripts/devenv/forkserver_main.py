"""The process that has imported everything, and forks; `forkserver.py` starts it and asks it.

`forkserver_main DESCRIPTOR [MODULE …]`: the socket for requests, and what else is to be imported before the first.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from addons.edge.machine_trust import machine_trust
from scripts.devenv import forkserver_link, processes
from scripts.devenv.forkserver import FORKING, MODULES, SERVERS, site_of
from scripts.devenv.forkserver_link import MESSAGE_BYTES, channel
from scripts.devenv.places import REPOSITORY

_LATE = ("anyio._backends._asyncio", "cyclopts.help", "httpcore", "rich.markdown")
"""What libraries import when they are first used."""
_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Names another trust store than the machine's."""


@dataclass(frozen=True, slots=True)
class _Request:
    module: str
    words: list[str]
    env: dict[str, str]
    cwd: str
    lasting: bool


@dataclass(frozen=True, slots=True)
class _Running:
    """A process whose end somebody is told."""

    pid: int
    told: socket.socket


@dataclass(frozen=True, slots=True)
class _Client:
    """Somebody who asks. What was forked for it ends with it."""

    requests: socket.socket
    running: dict[int, _Running] = field(default_factory=dict)
    """By pidfd."""


def _import_everything(more: Sequence[str]) -> None:
    gc.disable()
    for package in ("addons.cli", "addons.console"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for name in ("addons.gateway", "scripts.devenv.gateway_env", *_LATE, *more):
        importlib.import_module(name)
    # All are kept: the trust store, the rules, compiled and tested, and what botocore knows of AWS.
    machine_trust()
    rules = [str(REPOSITORY / each) for each in ("rules", "tests/e2e/rules")]
    importlib.import_module("addons.policy").load_judgement(rules, bytes(16))
    importlib.import_module("addons.edge.aws_models").read_models("sts", "s3")
    _aside.update({name: sys.modules.pop(name) for name in (*MODULES, *FORKING, *SERVERS) if name in sys.modules})
    gc.collect()
    gc.freeze()  # else each child's first collection would copy every page
    gc.enable()


_aside: dict[str, ModuleType] = {}
"""What is to run as `__main__`, each process imports itself: the first of it looks at the arguments meanwhile. pytest
is there for what it runs alone: others ask whether it is there.
"""


class _Server:
    """Forks until the first client is gone. In a child, `serve` returns what that is to do."""

    def __init__(self, first: socket.socket) -> None:
        self._waiting = selectors.DefaultSelector()
        self._first = self._listen(first)

    def serve(self) -> _Request | None:
        """None once the first client is gone."""
        while True:
            for key, _ in self._waiting.select():
                match key.data:
                    case _Client() as client if (request := self._asked(client)) is not None:
                        return request
                    case _Client() as client if client is self._first and client.requests.fileno() == -1:
                        return None
                    case (_Client() as client, int(pidfd)):
                        self._ended(client, pidfd)

    def _listen(self, requests: socket.socket) -> _Client:
        client = _Client(requests)
        self._waiting.register(requests, selectors.EVENT_READ, client)
        return client

    def _asked(self, client: _Client) -> _Request | None:
        content, descriptors, _, _ = socket.recv_fds(client.requests, MESSAGE_BYTES, 4)
        if content:
            return self._forked(client, _Request(*json.loads(content)), descriptors)
        self._waiting.unregister(client.requests)
        client.requests.close()
        others = [each.data for each in self._waiting.get_map().values() if isinstance(each.data, _Client)]
        gone = [client, *others] if client is self._first else [client]
        _end_all([each.pid for one in gone for each in one.running.values()])
        return None

    def _forked(self, client: _Client, request: _Request, descriptors: list[int]) -> _Request | None:
        told = socket.socket(fileno=descriptors.pop())
        theirs, ours = channel() if request.module in FORKING else (None, None)
        pid = os.fork()
        if pid == 0:
            told.close()
            self._close()
            if ours is not None and theirs is not None:
                ours.close()
                forkserver_link.inherit(theirs)
            return _become(request, descriptors)
        for each in descriptors:
            os.close(each)
        told.send(str(pid).encode())
        pidfd, owner = os.pidfd_open(pid), self._first if request.lasting else client
        owner.running[pidfd] = _Running(pid, told)
        self._waiting.register(pidfd, selectors.EVENT_READ, (owner, pidfd))
        if ours is not None and theirs is not None:
            theirs.close()
            self._listen(ours)
        return None

    def _ended(self, client: _Client, pidfd: int) -> None:
        self._waiting.unregister(pidfd)
        os.close(pidfd)
        running = client.running.pop(pidfd)
        code = os.waitstatus_to_exitcode(os.waitpid(running.pid, 0)[1])
        with running.told as told, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            told.send(str(code).encode())

    def _close(self) -> None:
        """In a child: nothing of what the server has is its own."""
        for key in [*self._waiting.get_map().values()]:
            match key.data:
                case _Client() as client:
                    client.requests.close()
                case (_Client() as client, int(pidfd)):
                    client.running[pidfd].told.close()
                    os.close(pidfd)
        self._waiting.close()


def _become(request: _Request, descriptors: Sequence[int]) -> _Request:
    """In the child: the files, the environment and the folder that it was given, and none of the server's."""
    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if any(os.environ.get(name) != request.env.get(name) for name in _TRUST):
        machine_trust.cache_clear()
    os.environ.clear()
    os.environ.update(request.env)
    tempfile.tempdir = None
    time.tzset()
    os.chdir(request.cwd)
    if (site := site_of(request.env)) is not None:
        sys.path.insert(0, site)
        importlib.import_module("sitecustomize")
    if request.module in SERVERS and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return request


def _end_all(pids: Iterable[int]) -> None:
    left = [*pids]
    for number, seconds in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 1.0)):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while any(map(processes.start_time, left)) and time.monotonic() < deadline:
            time.sleep(0.02)


def _run(module: str) -> None:
    status = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        raise
    finally:
        _ended_with.append(status)


_ended_with: list[int] = []
"""In a child that ends: its exit status."""


def _leave() -> None:
    """After all else that runs at exit, as it was registered first."""
    if _ended_with:
        for each in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                each.flush()
        os._exit(_ended_with[0] & 0xFF)


def main() -> None:
    """The command line of the process."""
    atexit.register(_leave)
    _import_everything(sys.argv[2:])
    request = _Server(socket.socket(fileno=int(sys.argv[1]))).serve()
    if request is not None:
        sys.argv[1:] = request.words
        sys.modules.update(_aside if request.module == "pytest" else {})
        _run(request.module)


if __name__ == "__main__":
    main()
