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

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO

from scripts.devenv import forkserver_link as link
from scripts.devenv import processes
from scripts.devenv.places import REPOSITORY
from scripts.devenv.processes import Child

CHAPERONE = (sys.executable, "-m", "addons.cli")
SECONDS = 90.0
MODULES = ("addons.cli", "scripts.devenv.gateway_env", "scripts.devenv.mitmdump")
"""What `run` and `spawn` fork."""
FORKING = ("pytest", "scripts.devenv.demo")
"""What has processes forked itself: by the server that it was forked from."""
SERVERS = ("moto.server", "oidc_provider_mock", "scripts.devenv.sts_front", "scripts.devenv.watcher", "http.server")
"""What clusters consist of, beside programs in Go, and what tests talk to."""
_READ_EARLY = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "OPENSSL_", "SSLKEYLOGFILE", "MITMPROXY_", "LANG", "LC_")
"""What begins like this may matter before the first line of ours: such a process is started, not forked, but for a
sitecustomize (`site_of`).
"""
_WAIT_SECONDS = 60.0
_OF_TESTS = (
    *("pytest_asyncio", "pytest_timeout", "hypothesis", "schemathesis", "jsonschema"),
    *("playwright.sync_api", "mitmproxy.tools.main", "websockets.sync.client", *FORKING, *SERVERS),
)
"""What tests import, and what they talk to."""


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    cwd: Path | None = None,
    timeout: float = SECONDS,
    merged: bool = False,
    starting: bool = True,
) -> subprocess.CompletedProcess[str]:
    """What a command printed, and its exit status. Raises subprocess.TimeoutExpired.

    `merged` is as on a terminal: both outputs are the standard output. Without `starting` it is forked only where this
    process has a server anyway.
    """
    words, whole = [str(each) for each in argv], dict(os.environ if env is None else env)
    if not (starting or link.is_there()) or not _forks(words, whole, MODULES + FORKING):
        error = subprocess.STDOUT if merged else subprocess.PIPE
        return subprocess.run(
            words, input=stdin, stdout=subprocess.PIPE, stderr=error, text=True, check=False, timeout=timeout,
            env=whole, cwd=cwd,
        )  # fmt: skip
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        files = (given, out, out if merged else err)
        with _server_for(words[2]).fork(words, whole, cwd or Path.cwd(), files) as forked:
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
    *,
    lasting: bool = False,
) -> Child:
    """As `processes.spawn`; a forked process is ended when this one has ended.

    A `lasting` one is not: it is forked where this process has a server anyway, and ends with that at the latest.
    """
    words, whole = [str(each) for each in argv if each != "-u"], processes.environment(env or {}, without)
    if (lasting and not link.is_there()) or not _forks(words, whole, MODULES + SERVERS):
        return processes.spawn(name, argv, log, env, without)
    with (
        log.open("ab") as output,
        Path(os.devnull).open("rb") as nothing,
        link.server().fork(words, whole, Path.cwd(), (nothing, output, output), lasting=lasting) as forked,
    ):
        started = processes.start_time(forked.pid) or ""
        return Child(name=name, pid=forked.pid, started=started, log=str(log), tied=not lasting)


def popen(
    argv: Sequence[str], env: Mapping[str, str], output: IO[bytes], *, fresh: bool = False
) -> Process | subprocess.Popen[bytes]:
    """A process of tests, or for tests, with nothing on its standard input; a `fresh` one is not forked."""
    if fresh or not _forks(argv, env, MODULES + FORKING + SERVERS):
        return subprocess.Popen(
            argv, env=env, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    with Path(os.devnull).open("rb") as nothing:
        return Process(_server_for(argv[2]).fork(argv, env, REPOSITORY, (nothing, output, output)))


class Process:
    """As much of subprocess.Popen as somebody needs who waits for a forked one."""

    def __init__(self, forked: link.Forked) -> None:
        self._forked, self.pid = forked, forked.pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._asked(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended. Raises subprocess.TimeoutExpired."""
        while (code := self._asked(_WAIT_SECONDS if timeout is None else timeout)) is None:
            if timeout is not None:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return code

    def _asked(self, seconds: float) -> int | None:
        if self.returncode is None:
            self.returncode = self._forked.wait(seconds)
            if self.returncode is not None:
                self._forked.close()
        return self.returncode

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Nothing happens once it has ended."""
        if self.poll() is None:
            os.kill(self._forked.pid, number)


def site_of(env: Mapping[str, str]) -> str | None:
    """The folder, before the repository on the path, of a sitecustomize that changes what is looked up when it is used.

    A forked process imports it first. One that changes what is imported has to stand behind the repository.
    """
    folder, _, rest = env.get("PYTHONPATH", "").partition(os.pathsep)
    return folder if rest == str(REPOSITORY) and Path(folder, "sitecustomize.py").is_file() else None


def _server_for(module: str) -> link.Server:
    return link.server(*(_OF_TESTS if module in FORKING else ()))


def _forks(words: Sequence[str], env: Mapping[str, str], modules: Collection[str]) -> bool:
    own = () if site_of(env) is None else ("PYTHONPATH",)
    early = [(name, value) for name, value in env.items() if name.startswith(_READ_EARLY) and name not in own]
    usual = all(value in (os.environ.get(name), link.OURS.get(name)) for name, value in early)
    return sys.platform == "linux" and words[:2] == [sys.executable, "-m"] and words[2] in modules and usual
