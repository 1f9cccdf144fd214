"""Servers of others, in processes of their own, that tests talk to."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from scripts.devenv import forkserver, processes

LOOPBACK = "127.0.0.1"
SECONDS = 60.0


@contextmanager
def moto() -> Iterator[int]:
    """AWS: its port on this machine."""
    with _server("moto.server", "-H", LOOPBACK, "-p") as port:
        yield port


@contextmanager
def openid_provider() -> Iterator[str]:
    """A real OpenID provider; its issuer URL. Tokens: `scripts.devenv.oidc.mint`."""
    with _server("oidc_provider_mock", "--no-refresh-token", "true", "--port") as port:
        yield f"http://{LOOPBACK}:{port}"


@contextmanager
def _server(module: str, *options: str) -> Iterator[int]:
    (port,) = processes.free_ports(1)
    with Path(os.devnull).open("wb") as nothing:
        process = forkserver.popen([sys.executable, "-m", module, *options, str(port)], os.environ, nothing)
    try:
        wait_for_port(port, process)
        yield port
    finally:
        process.kill()  # told to end, some wait for their clients
        process.wait()


class Process(Protocol):
    """Whether it has ended."""

    def poll(self) -> int | None: ...


def wait_for_port(port: int, process: Process, seconds: float = SECONDS) -> None:
    """Return when somebody listens; raises if the process ends or takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (code := process.poll()) is not None:
            raise RuntimeError(f"the process ended with status {code}")
        if processes.listens(port):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on port {port}")
