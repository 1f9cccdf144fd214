"""The console's process: bound, its rules loaded and kept up to date, until a signal comes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from addons.console.app import make_app
from addons.console.indexing import indexing
from addons.console.notifier import Notifier
from addons.console.parts import Parts, load, make_parts
from addons.core.problem import InvalidConfiguration, Problem
from addons.core.safe_url import LOOPBACK
from addons.edge.reload import Reload
from addons.edge.rulefiles import Signature, signature
from addons.garbage import look_as_usual
from addons.logs import configure_logs
from addons.policy import Policy
from addons.settings import Settings

log = structlog.get_logger()

_CLIENTS = 1000
_DRAIN_SECONDS = 5


async def run(settings: Settings, policy: Policy, found: Signature, conf: Path) -> int:
    """Serve until SIGINT or SIGTERM; the exit status. `conf` is their file. Raises InvalidConfiguration."""
    configure_logs(settings.log_format, settings.log_level)
    parts = make_parts(settings, policy)
    server = uvicorn.Server(_configuration(settings, parts))
    try:
        for issuer in await parts.verifier.prepare():
            log.warning("identity provider unreachable: its tokens are refused until it answers", issuer=issuer)
        async with _notifying(parts), indexing(conf):
            with _reloading(settings, parts, found):
                look_as_usual()
                log.info("ready", url=parts.console.url, host=settings.console_host, port=settings.console_port)
                await server.serve()
    finally:
        await parts.close()
    return 0 if server.started else 1


def check_transport(settings: Settings) -> None:
    """Returns if what the console says cannot be read on its way. Raises InvalidConfiguration."""
    pair = (settings.console_certificate, settings.console_key)
    if any(pair):
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*pair)
        except (OSError, ValueError) as error:
            why = f"console_certificate and console_key cannot be used: {error}"
            raise InvalidConfiguration([Problem(pair[0] or pair[1], 0, why)]) from error
    elif settings.console_host not in LOOPBACK:
        why = "a console that others reach needs console_certificate and console_key"
        raise InvalidConfiguration([Problem("mitm.conf", 0, why)])


def _configuration(settings: Settings, parts: Parts) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(parts),
        host=settings.console_host,
        port=settings.console_port,
        ssl_certfile=settings.console_certificate or None,
        ssl_keyfile=settings.console_key or None,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CLIENTS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )


@contextlib.asynccontextmanager
async def _notifying(parts: Parts) -> AsyncIterator[None]:
    notifier = Notifier(parts)
    running = asyncio.ensure_future(notifier.run())
    try:
        yield
    finally:
        running.cancel()
        await notifier.close()


@contextlib.contextmanager
def _reloading(settings: Settings, parts: Parts, found: Signature) -> Iterator[None]:
    def describe() -> Mapping[str, Any]:
        return {"policy": parts.policy.version}

    reload = Reload(lambda: load(settings), parts.replace, describe, lambda: signature(settings.rules), found)
    watching = asyncio.ensure_future(reload.watch())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload.ask)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        watching.cancel()


def prepare(settings: Settings) -> tuple[Policy, Signature]:
    """The policy, and its files' signature from before they were read. Raises InvalidConfiguration."""
    check_transport(settings)
    found = signature(settings.rules)
    Path(settings.state).mkdir(parents=True, exist_ok=True, mode=0o700)
    return load(settings), found
