"""One gateway worker, composed: what it judges by, what it reaches out with, and its life from start to stop.

`prepare` finds every mistake before anything runs; `run` serves until it is told to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import signal
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from mitmproxy.master import Master

from addons.core.problem import InvalidConfiguration, Problem
from addons.edge.audit_ledger import AuditLedger
from addons.edge.authority import Authority, open_authority
from addons.edge.fingerprint_key import fingerprint_key
from addons.edge.readiness import Readiness
from addons.edge.reload import Reload
from addons.edge.rulefiles import Signature, signature
from addons.edge.self_check import self_check
from addons.health import SELF_CHECK, SERVING, make_health, make_readiness
from addons.in_force import InForce
from addons.logs import configure_logs
from addons.master import acceptor, drain, make_master, serve
from addons.parts import close_parts, make_parts
from addons.policy import Policy, load_policy
from addons.reporting import reporting
from addons.settings import Settings
from addons.stack import build_stack

log = structlog.get_logger()
_DRAIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A configuration without a mistake."""

    policy: Policy
    signature: Signature
    """Of the rule files, from before they were read."""
    authority: Authority

    def summary(self) -> str:
        """One line for people."""
        return self.policy.summary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """Where agents and probes connect to, bound."""

    proxy: socket.socket
    health: socket.socket


def prepare(settings: Settings) -> Prepared:
    """Everything that can be wrong before the start, checked. Raises InvalidConfiguration with all of it."""
    now = datetime.datetime.now(datetime.UTC)
    problems: list[Problem] = []
    authority = policy = None
    found = signature(settings.rules)
    try:
        authority = open_authority(Path(settings.certs), now)
    except InvalidConfiguration as error:
        problems += error.problems
    try:
        policy = load_policy(settings.rules, fingerprint_key(Path(settings.state)), now)
    except InvalidConfiguration as error:
        problems += error.problems
    try:
        AuditLedger(Path(settings.state), settings.audit_key_file).check()
    except InvalidConfiguration as error:
        problems += error.problems
    if authority is None or policy is None or problems:
        raise InvalidConfiguration(problems)
    return Prepared(policy=policy, signature=found, authority=authority)


async def run(settings: Settings, prepared: Prepared, sockets: Sockets, worker: int) -> int:
    """Serve on bound sockets until SIGINT or SIGTERM; the exit status. Raises Bypass before anybody is served."""
    configure_logs(settings.log_format, settings.log_level)
    parts = make_parts(settings, prepared.policy, prepared.authority, worker)
    readiness = make_readiness(parts)
    health = make_health(parts, readiness)
    options = settings.mitmproxy_options()
    master = make_master(lambda disconnect: build_stack(parts, disconnect), options, settings.request_bytes)
    try:
        await health.start(sockets.health)
        for issuer in await parts.verifier.prepare():
            log.warning("identity provider unreachable: its tokens are refused until it answers", issuer=issuer)
        await self_check(acceptor(master), parts.connections.also, prepared.authority.certificate_file)
        readiness.holds.pop(SELF_CHECK)
        urls = {"proxy": _url(sockets.proxy), "health": _url(sockets.health)}
        with (
            _reloading(settings, prepared, parts.in_force) as reload,
            reporting(parts, reload, health, urls, worker),
        ):
            await _serve(master, sockets, readiness, _about(prepared, sockets, worker))
    finally:
        health.close()
        await readiness.close()
        await close_parts(parts)
    return 0


@contextlib.contextmanager
def _reloading(settings: Settings, prepared: Prepared, in_force: InForce) -> Iterator[Reload[Policy]]:
    """Another policy takes the place of this one when its files change, or SIGHUP asks for it."""
    key = fingerprint_key(Path(settings.state))

    def load() -> Policy:
        return load_policy(settings.rules, key, datetime.datetime.now(datetime.UTC), in_force.known)

    reload = Reload(load, in_force.replace, in_force.describe, lambda: signature(settings.rules), prepared.signature)
    loop, watching = asyncio.get_running_loop(), asyncio.ensure_future(reload.watch())
    loop.add_signal_handler(signal.SIGHUP, reload.ask)
    try:
        yield reload
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        watching.cancel()


async def _serve(master: Master, sockets: Sockets, readiness: Readiness, about: Mapping[str, str | int]) -> None:
    """Agents are served from here until a signal comes."""
    server = await serve(master, sockets.proxy)
    stopped = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    stopping = asyncio.create_task(_stop(stopped, server, master, readiness))
    gc.collect()
    gc.freeze()  # what was made until here stays: no collection needs to look at it again
    readiness.holds.pop(SERVING)
    log.info("ready", **about)
    try:
        await master.run()
    finally:
        stopping.cancel()
        server.close()


def _about(prepared: Prepared, sockets: Sockets, worker: int) -> dict[str, str | int]:
    return {
        "proxy": _url(sockets.proxy),
        "health": _url(sockets.health),
        "worker": worker,
        "ca": str(prepared.authority.certificate_file),
        "policy": prepared.summary(),
    }


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _stop(stopped: asyncio.Event, server: asyncio.Server, master: Master, readiness: Readiness) -> None:
    """On a signal: no new clients, an end for every open exchange so that its record is whole, then the master."""
    await stopped.wait()
    readiness.holds[SERVING] = "the gateway is stopping"
    server.close()
    await drain(master, _DRAIN_SECONDS)
    master.shutdown()
