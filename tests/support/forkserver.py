"""Our own Python commands without the seconds that each of their processes spends on the same imports.

`run` and `spawn` start `python -m MODULE …` as `subprocess.run` and `processes.spawn` do, with arguments, environment,
working folder and files of its own; but where nothing forbids it, the process is forked from one that has imported
everything before.  What runs in it is that module as `__main__`, from its first line, and it ends as an interpreter
ends, but that modules are not taken apart, which would copy most of the memory.  What is not tested that way is how an
interpreter starts: a test about that starts one itself, the workers of a gateway are always started by the gateway, and
so is every process whose environment Python or a library may read before our first line.  On other systems than Linux,
both start Python each time.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn, Self

from addons.edge.machine_trust import machine_trust
from scripts.devenv import processes
from scripts.devenv.places import REPOSITORY
from scripts.devenv.processes import Child

CHAPERONE = (sys.executable, "-m", "addons.cli")
SECONDS = 90.0
_MODULES = ("addons.cli", "scripts.devenv.gateway_env")
_READ_EARLY = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "OPENSSL_", "SSLKEYLOGFILE", "MITMPROXY_", "LANG", "LC_")
"""What begins like this may matter before the first line of ours: such a process is started, not forked."""
_TRUST = {"SSL_CERT_FILE", "SSL_CERT_DIR"}
"""Names another trust store than the machine's."""
_OURS = {"PYTHONPATH": str(REPOSITORY), "PYTHONSAFEPATH": "1"}
"""What the server itself has of that."""
_MESSAGE_BYTES = 1 << 20


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    cwd: Path | None = None,
    timeout: float = SECONDS,
) -> subprocess.CompletedProcess[str]:
    """What a command printed, and its exit status. Raises subprocess.TimeoutExpired."""
    words, whole = [str(each) for each in argv], dict(os.environ if env is None else env)
    if not _forks(words, whole):
        return subprocess.run(
            words, input=stdin, capture_output=True, text=True, check=False, timeout=timeout, env=whole, cwd=cwd
        )
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        with _server().fork(words, whole, cwd or Path.cwd(), (given, out, err)) as forked:
            code = forked.wait(timeout)
        if code is None:
            os.kill(forked.pid, signal.SIGKILL)
        for each in (out, err):
            each.seek(0)
        texts = [each.read().decode() for each in (out, err)]
        if code is None:
            raise subprocess.TimeoutExpired(words, timeout, *texts)
        return subprocess.CompletedProcess(words, code, *texts)


def spawn(
    name: str,
    argv: Sequence[str | Path],
    log: Path,
    env: Mapping[str, str] | None = None,
    without: Collection[str] = (),
) -> Child:
    """As `processes.spawn`; a forked process is ended when this one has ended."""
    words, whole = [str(each) for each in argv], processes.environment(env or {}, without)
    if not _forks(words, whole):
        return processes.spawn(name, argv, log, env, without)
    with (
        log.open("ab") as output,
        Path(os.devnull).open("rb") as nothing,
        _server().fork(words, whole, Path.cwd(), (nothing, output, output)) as forked,
    ):
        return Child(name=name, pid=forked.pid, started=processes.start_time(forked.pid) or "", log=str(log))


def _forks(words: Sequence[str], env: Mapping[str, str]) -> bool:
    early = [(name, value) for name, value in env.items() if name.startswith(_READ_EARLY)]
    usual = all(value in (os.environ.get(name), _OURS.get(name)) for name, value in early)
    return sys.platform == "linux" and words[:2] == [sys.executable, "-m"] and words[2] in _MODULES and usual


@dataclass(frozen=True, slots=True)
class Forked:
    """A process that the server started."""

    pid: int
    _ended: socket.socket

    def wait(self, seconds: float) -> int | None:
        """Its exit status as subprocess has it, or None if it still runs after that time."""
        self._ended.settimeout(seconds)
        try:
            code = self._ended.recv(_MESSAGE_BYTES)
        except TimeoutError:
            return None
        return int(code) if code else _has_ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """It may run on: nobody is told of its end."""
        self._ended.close()


@dataclass(slots=True)
class Server:
    """The process that has imported everything. It ends, and with it all that it started, when this one does."""

    process: subprocess.Popen[bytes]
    requests: socket.socket

    def end(self) -> None:
        """Ends it, and what still runs of it."""
        self.requests.close()
        self.process.wait()

    def fork(self, words: Sequence[str], env: Mapping[str, str], cwd: Path, files: Sequence[IO[bytes]]) -> Forked:
        """A new process of it; `files` are its standard input, output and error."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps([*words[2:3], words[3:], dict(env), str(cwd)]).encode()
        with theirs:
            socket.send_fds(self.requests, [request], [*(each.fileno() for each in files), theirs.fileno()])
        return Forked(int(ours.recv(_MESSAGE_BYTES) or 0) or _has_ended(), ours)


_starting = threading.Lock()
_servers: list[Server] = []


def _server() -> Server:
    with _starting:
        if not _servers:
            _servers.append(_started())
            atexit.register(_servers[0].end)
        return _servers[0]


def _has_ended() -> NoReturn:
    raise RuntimeError("the fork server has ended: see its standard error")


def _started() -> Server:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _MESSAGE_BYTES)
    with theirs:
        command = [sys.executable, "-m", "tests.support.forkserver", str(theirs.fileno())]
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], start_new_session=True, stdin=subprocess.DEVNULL,
            cwd=REPOSITORY, env={**os.environ, **_OURS},
        )  # fmt: skip
    return Server(process, ours)


# ---- In the server. ----


@dataclass(frozen=True, slots=True)
class _Request:
    module: str
    words: list[str]
    env: dict[str, str]
    cwd: str


def _import_everything() -> None:
    gc.disable()
    for package in ("addons.cli", "addons.console"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    importlib.import_module("addons.gateway")
    importlib.import_module("scripts.devenv.gateway_env")
    # Both are kept: the trust store, and the compiled conditions of the rules.
    machine_trust()
    importlib.import_module("addons.policy").load_judgement([str(REPOSITORY / "rules")], bytes(16))
    for name in _MODULES:  # each process does that itself: the first of them looks at the arguments meanwhile
        del sys.modules[name]
    gc.collect()
    gc.freeze()  # else each child's first collection would copy every page
    gc.enable()


def _serve(requests: socket.socket) -> _Request | None:
    """Forks until the other end is closed: None; in each child, what it is to do."""
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as waiting:
        waiting.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is requests:
                    content, descriptors, _, _ = socket.recv_fds(requests, _MESSAGE_BYTES, 4)
                    if not content:
                        _end_all([pid for pid, _ in running.values()])
                        return None
                    told = socket.socket(fileno=descriptors.pop())
                    pid = os.fork()
                    if pid == 0:
                        for other in (requests, told, *(socket for _, socket in running.values())):
                            other.close()
                        return _become(_Request(*json.loads(content)), descriptors, list(running))
                    for each in descriptors:
                        os.close(each)
                    told.send(str(pid).encode())
                    pidfd = os.pidfd_open(pid)
                    running[pidfd] = (pid, told)
                    waiting.register(pidfd, selectors.EVENT_READ)
                else:
                    waiting.unregister(key.fd)
                    pid, told = running.pop(key.fd)
                    os.close(key.fd)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    with told, contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        told.send(str(code).encode())


def _become(request: _Request, descriptors: Sequence[int], others: Sequence[int]) -> _Request:
    """In the child: the files, the environment and the folder that it was given, and none of the server's."""
    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for pidfd in others:
        os.close(pidfd)
    os.environ.clear()
    os.environ.update(request.env)
    if _TRUST & request.env.keys():
        machine_trust.cache_clear()
    time.tzset()
    os.chdir(request.cwd)
    return request


def _end_all(pids: Sequence[int]) -> None:
    for number, seconds in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 1.0)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while any(map(processes.start_time, pids)) and time.monotonic() < deadline:
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
    """`forkserver DESCRIPTOR`"""
    atexit.register(_leave)
    _import_everything()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        request = _serve(requests)
    if request is not None:
        sys.argv[1:] = request.words
        _run(request.module)


if __name__ == "__main__":
    main()
