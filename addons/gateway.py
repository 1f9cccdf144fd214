"""One gateway worker, composed: what it judges by, what it reaches out with, and its life from start to stop.

`prepare` finds every mistake before anything runs; `run` serves until it is told to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from mitmproxy.master import Master

from addons.core.problem import InvalidConfiguration, Problem
from addons.edge.answers import Answers
from addons.edge.audit_ledger import AuditLedger
from addons.edge.authority import Authority, open_authority
from addons.edge.aws_models import read_models
from addons.edge.fingerprint_key import fingerprint_key
from addons.edge.readiness import Readiness
from addons.edge.reload import Reload
from addons.edge.rulefiles import Signature, signature
from addons.edge.self_check import self_check
from addons.garbage import look_as_usual
from addons.health import SELF_CHECK, SERVING, make_health, make_readiness
from addons.in_force import InForce
from addons.logs import configure_logs
from addons.master import acceptor, drain, make_master, serve
from addons.parts import close_parts, make_parts, own_certificate
from addons.policy import Policy, load_policy
from addons.reporting import reporting
from addons.settings import Settings
from addons.stack import build_stack
from addons.tunnel import HttpsProxy

log = structlog.get_logger()
_DRAIN_SECONDS = 3.0
_FAREWELL_SECONDS = 0.5


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
    tls_proxy: socket.socket | None = None
    """Where the proxy speaks TLS, if anywhere."""

    def urls(self) -> dict[str, str]:
        """For people, of each."""
        tls = {} if self.tls_proxy is None else {"tls_proxy": _url(self.tls_proxy, "https")}
        return {"proxy": _url(self.proxy), **tls, "health": _url(self.health)}


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
    problems += _unusable_certificate(settings, authority, now)
    if authority is None or policy is None or problems:
        raise InvalidConfiguration(problems)
    if any(connection.eks_cluster for connection in policy.connections.values()):
        read_models("sts")
    return Prepared(policy=policy, signature=found, authority=authority)


def _unusable_certificate(settings: Settings, authority: Authority | None, now: datetime.datetime) -> Sequence[Problem]:
    """What is wrong with the certificate of the listener that speaks TLS, if there is to be one."""
    if authority is not None and settings.tls_listen_port is not None:
        try:
            own_certificate(settings, authority)(now.timestamp())
        except InvalidConfiguration as error:
            return error.problems
    return ()


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
        in_tls = None if sockets.tls_proxy is None else acceptor(master, HttpsProxy)
        await self_check(acceptor(master), parts.connections.also, prepared.authority.certificate_file, in_tls)
        readiness.holds.pop(SELF_CHECK)
        with (
            _reloading(settings, prepared, parts.in_force) as reload,
            reporting(parts, reload, health, sockets.urls(), worker),
        ):
            await _serve(master, sockets, readiness, parts.answers, _about(prepared, sockets, worker))
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


async def _serve(
    master: Master, sockets: Sockets, readiness: Readiness, answers: Answers, about: Mapping[str, str | int]
) -> None:
    """Agents are served from here until a signal comes."""
    servers = [await serve(master, sockets.proxy)]
    if sockets.tls_proxy is not None:
        servers.append(await serve(master, sockets.tls_proxy, HttpsProxy))
    stopped = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    stopping = asyncio.create_task(_stop(stopped, servers, master, readiness, answers))
    look_as_usual()
    readiness.holds.pop(SERVING)
    log.info("ready", **about)
    try:
        await master.run()
    finally:
        stopping.cancel()
        _close(servers)


def _about(prepared: Prepared, sockets: Sockets, worker: int) -> dict[str, str | int]:
    return {
        **sockets.urls(),
        "worker": worker,
        "ca": str(prepared.authority.certificate_file),
        "policy": prepared.summary(),
    }


def _url(bound: socket.socket, scheme: str = "http") -> str:
    host, port = bound.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _close(servers: Sequence[asyncio.Server]) -> None:
    for server in servers:
        server.close()


async def _stop(
    stopped: asyncio.Event, servers: Sequence[asyncio.Server], master: Master, readiness: Readiness, answers: Answers
) -> None:
    """On a signal: no new clients, an answer for whoever waits, an end for every open exchange so that its record is
    whole, then the master.
    """
    await stopped.wait()
    readiness.holds[SERVING] = "the gateway is stopping"
    _close(servers)
    if answers.stop():
        await asyncio.sleep(_FAREWELL_SECONDS)  # they are told to come back; their connections stay open after that
    await drain(master, _DRAIN_SECONDS)
    master.shutdown()
