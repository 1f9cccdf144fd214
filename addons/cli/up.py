"""`chaperone up`: check everything, take the port, run the workers."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from addons import gateway
from addons.core.problem import InvalidConfiguration, Problem
from addons.edge.live import clear_live
from addons.settings import Settings, read_settings


def up(
    *,
    conf: Path = Path("mitm.conf"),
    workers: int | None = None,
    listen_port: int | None = None,
    check: bool = False,
    worker: Annotated[int | None, Parameter(show=False)] = None,
) -> int:
    """Start the gateway. Nothing starts unless the configuration and every rule file are without a mistake.

    Parameters
    ----------
    conf
        The configuration file.
    workers
        Processes that share the port, instead of the number in the file.
    listen_port
        Port to listen on, instead of the one in the file; 0 takes a free one.
    check
        Only check the configuration and the rules; exit status 1 if there is a mistake.
    """
    chosen: dict[str, Any] = {"workers": workers, "listen_port": listen_port}
    settings, problems = read_settings(conf, {key: value for key, value in chosen.items() if value is not None})
    prepared = _collected(problems, lambda: gateway.prepare(settings))
    listener = _collected(problems, lambda: _listener(settings, conf))
    if prepared is None or listener is None or problems:
        raise InvalidConfiguration(problems)
    with listener:
        if check:
            print(f"{conf}: no problems; {prepared.summary()}")
            return 0
        if worker is None:
            clear_live(Path(settings.state))
        if worker is None and settings.workers > 1:  # bound but not listening: it keeps the port for the workers
            return _supervise(conf, settings.workers, listener.getsockname()[1])
        listener.listen(1024)
        return asyncio.run(gateway.run(settings, prepared, listener, worker or 0))


def _collected[T](problems: list[Problem], make: Callable[[], T]) -> T | None:
    """What `make` makes; None if it found mistakes, which are added to the others."""
    try:
        return make()
    except InvalidConfiguration as error:
        problems += error.problems
        return None


def _listener(settings: Settings, conf: Path) -> socket.socket:
    """A bound socket. Workers share their port; one alone does not, so no second gateway can slip in beside it."""
    address = (settings.listen_host, settings.listen_port)
    try:
        family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        # Named IPPROTO_TCP, because asyncio turns Nagle off for those only; with it each reply waits 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.workers > 1:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        why = (
            "is in use: stop what listens there, or choose another listen_port"
            if error.errno == errno.EADDRINUSE
            else error
        )
        raise InvalidConfiguration([Problem(str(conf), 0, f"{address[0]}:{address[1]} {why}")]) from error
    return listener


def _supervise(conf: Path, count: int, port: int) -> int:
    """Run the workers until one ends; a gateway with a dead worker ends whole, for its supervisor to restart."""
    command = [
        sys.executable,
        "-m",
        "addons.cli",
        "up",
        "--conf",
        str(conf),
        "--workers",
        str(count),
        "--listen-port",
        str(port),
    ]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    workers = [subprocess.Popen([*command, "--worker", str(index)]) for index in range(count)]
    try:
        while all(worker.poll() is None for worker in workers):
            time.sleep(0.2)
    except KeyboardInterrupt:
        return _stop(workers, 0)
    print("chaperone: a worker ended; stopping the others", file=sys.stderr)
    return _stop(workers, 1)


def _stop(workers: Sequence[subprocess.Popen[bytes]], status: int) -> int:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.wait()
    return status
