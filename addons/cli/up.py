"""`chaperone up`: check everything, take the port, run the workers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from multiprocessing import connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from addons import gateway
from addons.core.problem import InvalidConfiguration, Problem
from addons.edge.live import clear_live
from addons.edge.no_dumps import forbid_dumps
from addons.edge.reports import clear_reports
from addons.edge.self_check import Bypass
from addons.garbage import look_as_usual
from addons.settings import Settings, read_settings


def up(
    *,
    conf: Path = Path("mitm.conf"),
    workers: int | None = None,
    listen_port: int | None = None,
    tls_listen_port: int | None = None,
    health_port: int | None = None,
    check: bool = False,
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
    tls_listen_port
        Port of the listener that speaks TLS, likewise.
    health_port
        Port of /healthz and /readyz, instead of the one in the file; 0 takes a free one.
    check
        Only check the configuration and the rules; exit status 1 if there is a mistake.
    """
    forbid_dumps()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload; workers inherit it
    chosen: dict[str, Any] = {
        "workers": workers,
        "listen_port": listen_port,
        "tls_listen_port": tls_listen_port,
        "health_port": health_port,
    }
    settings, problems = read_settings(conf, {key: value for key, value in chosen.items() if value is not None})
    prepared = _collected(problems, lambda: gateway.prepare(settings))
    with contextlib.ExitStack() as until_the_end:
        bound: dict[str, socket.socket] = {}
        for key, host, port in _listeners(settings):
            bind = partial(_bind, key, host, port, shared=settings.workers > 1, conf=conf)
            if (taken := _collected(problems, bind)) is not None:
                bound[key] = until_the_end.enter_context(taken)
        if prepared is None or problems:
            raise InvalidConfiguration(problems)
        if check:
            print(f"{conf}: no problems; {prepared.summary()}")
            return 0
        clear_live(Path(settings.state))
        clear_reports(Path(settings.state))
        if settings.workers > 1:  # bound but not listening: it keeps the ports for the workers
            return _supervise(
                lambda index: _run(settings, prepared, _bound_again(bound, conf), index), settings.workers
            )
        return _run(settings, prepared, bound, 0)


def _listeners(settings: Settings) -> Iterator[tuple[str, str, int]]:
    """The setting, host and port of each."""
    yield "listen_port", settings.listen_host, settings.listen_port
    if settings.tls_listen_port is not None:
        yield "tls_listen_port", settings.listen_host, settings.tls_listen_port
    yield "health_port", settings.health_host, settings.health_port


def _run(settings: Settings, prepared: gateway.Prepared, bound: Mapping[str, socket.socket], worker: int) -> int:
    proxy, tls_proxy, health = (bound.get(key) for key in ("listen_port", "tls_listen_port", "health_port"))
    assert proxy is not None and health is not None, "each is bound, or a problem"
    sockets = gateway.Sockets(proxy=proxy, tls_proxy=tls_proxy, health=health)
    try:
        return asyncio.run(gateway.run(settings, prepared, sockets, worker))
    except Bypass as error:
        print(f"chaperone: the gateway failed its attack on itself and serves nobody: {error}", file=sys.stderr)
        return 1


def _collected[T](problems: list[Problem], make: Callable[[], T]) -> T | None:
    """What `make` makes; None if it found mistakes, which are added to the others."""
    try:
        return make()
    except InvalidConfiguration as error:
        problems += error.problems
        return None


def _bind(key: str, host: str, port: int, *, shared: bool, conf: Path) -> socket.socket:
    """A bound socket. Workers share their ports; one alone does not, so no second gateway can slip in beside it."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # Named IPPROTO_TCP, because asyncio turns Nagle off for those only; with it each reply waits 40 ms.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        in_use = f"is in use: stop what listens there, or choose another {key}"
        why = in_use if error.errno == errno.EADDRINUSE else error
        raise InvalidConfiguration([Problem(str(conf), 0, f"{host}:{port} {why}")]) from error
    return bound


def _bound_again(bound: Mapping[str, socket.socket], conf: Path) -> dict[str, socket.socket]:
    """Sockets of a worker's own at the same ports."""
    places = {key: taken.getsockname()[:2] for key, taken in bound.items()}
    return {key: _bind(key, host, port, shared=True, conf=conf) for key, (host, port) in places.items()}


def _supervise(run: Callable[[int], int], count: int) -> int:
    """Run the workers until one ends; a gateway with a dead worker ends whole, for its supervisor to restart.

    They are forked from this process, which has one thread and no connection: what was imported and compiled is there
    at once, and in memory once. They end by themselves on the signals that end this one.
    """
    look_as_usual()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    workers = [multiprocessing.get_context("fork").Process(target=_work, args=(run, index)) for index in range(count)]
    for worker in workers:
        worker.start()
    signal.signal(signal.SIGHUP, lambda *_: _tell(workers, signal.SIGHUP))
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        connection.wait([worker.sentinel for worker in workers])
    except KeyboardInterrupt:
        return _stop(workers, 0)
    print("chaperone: a worker ended; stopping the others", file=sys.stderr)
    return _stop(workers, 1)


def _work(run: Callable[[int], int], index: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    sys.exit(run(index))


def _tell(workers: Sequence[ForkProcess], signum: signal.Signals) -> None:
    for worker in workers:
        if worker.pid is not None and worker.is_alive():
            os.kill(worker.pid, signum)


def _stop(workers: Sequence[ForkProcess], status: int) -> int:
    _tell(workers, signal.SIGTERM)
    for worker in workers:
        worker.join()
    return status
