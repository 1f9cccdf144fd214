"""One gateway worker, composed: what it judges by, what it reaches out with, and its life from start to stop.

`prepare` finds every mistake before anything runs; `run` serves until it is told to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import os
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from mitmproxy.master import Master

from addons.connections import Connections
from addons.core.connection import Connection, by_target
from addons.core.kube_request import KubeRequest
from addons.core.masking import Masker, Unmaskable, mask_reply
from addons.core.problem import InvalidConfiguration, Problem
from addons.core.refusal import Refusal
from addons.core.resources import Resources
from addons.core.session import Session
from addons.core.token import expected_tokens
from addons.edge.authority import Authority, open_authority
from addons.edge.flow_record import FlowRecords
from addons.edge.live import Live
from addons.edge.oidc import Verifier
from addons.edge.rates import RateTable
from addons.edge.readiness import Readiness
from addons.edge.recordings import Recordings
from addons.edge.schema import approvals_url
from addons.edge.self_check import self_check
from addons.edge.store import Store
from addons.edge.store_thread import StoreThread
from addons.edge.sts import Credentials
from addons.edge.upstream import Upstream
from addons.health import SELF_CHECK, SERVING, make_health, make_readiness
from addons.logs import configure_logs
from addons.master import acceptor, drain, make_master, serve
from addons.parts import Parts
from addons.policy import Policy, load_policy
from addons.question import Scrub
from addons.settings import Settings
from addons.stack import build_stack

log = structlog.get_logger()
_DRAIN_SECONDS = 3.0
_FINGERPRINT_KEY = "fingerprint.key"
_PLAIN_FORMS = (("+json", "application/json"), ("+yaml", "application/yaml"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A configuration without a mistake."""

    policy: Policy
    authority: Authority

    def summary(self) -> str:
        """One line for people."""
        clusters = ", ".join(f"{name} ({each.profile})" for name, each in self.policy.connections.items())
        return f"connections: {clusters}; {len(self.policy.guardrails.rules)} guardrails"


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
    try:
        authority = open_authority(Path(settings.certs), now)
    except InvalidConfiguration as error:
        problems += error.problems
    try:
        policy = load_policy(settings.rules, fingerprint_key(Path(settings.state)), now)
    except InvalidConfiguration as error:
        problems += error.problems
    if authority is None or policy is None:
        raise InvalidConfiguration(problems)
    return Prepared(policy=policy, authority=authority)


def fingerprint_key(state: Path) -> bytes:
    """The key of masked values' fingerprints, made once, shared by all workers. Raises InvalidConfiguration."""
    file = state / _FINGERPRINT_KEY
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (
            contextlib.suppress(FileExistsError),
            os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new,
        ):
            new.write(secrets.token_bytes(32))
        return file.read_bytes()
    except OSError as error:
        raise InvalidConfiguration([Problem(str(state), 0, f"the state folder cannot be used: {error}")]) from error


async def run(settings: Settings, prepared: Prepared, sockets: Sockets, worker: int) -> int:
    """Serve on bound sockets until SIGINT or SIGTERM; the exit status. Raises Bypass before anybody is served."""
    configure_logs(settings.log_format, settings.log_level)
    parts = make_parts(settings, prepared, worker)
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
        await _serve(master, sockets, readiness, _about(prepared, sockets, worker))
    finally:
        health.close()
        await readiness.close()
        await _close(parts)
    return 0


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


def make_parts(settings: Settings, prepared: Prepared, worker: int) -> Parts:
    """One of everything for a worker, opened. Needs a running loop."""
    policy, state = prepared.policy, Path(settings.state)
    credentials = Credentials(policy.connections, time.time)
    scrub = _scrub_of(policy.masker)
    records = FlowRecords(scrub)
    upstream = Upstream(policy.connections, credentials)
    return Parts(
        settings=settings,
        policy=policy,
        authority=prepared.authority,
        connections=Connections(by_target(policy.connections)),
        verifier=Verifier(policy.providers, time.monotonic),
        advice=expected_tokens(policy.providers),
        credentials=credentials,
        upstream=upstream,
        resources_of=upstream.resources_of,
        refresh=_refresh_of(policy, upstream),
        rates=RateTable(state / "rates", max(settings.workers, worker + 1), worker, fingerprint_key(state)),
        store=StoreThread(Store(approvals_url(state), settings.approval_seconds)),
        recordings=Recordings(state, str(worker), time.time()),
        records=records,
        live=Live(state, records),
        scrub=scrub,
    )


def _scrub_of(masker: Masker) -> Scrub:
    """Masks request bodies as the reply to the same request would be masked; what cannot be masked is not kept."""

    def scrub(request: KubeRequest, body: bytes, content_type: str) -> bytes:
        kind = content_type.partition(";")[0].strip().lower() or "application/json"
        kind = next((plain for ending, plain in _PLAIN_FORMS if kind.endswith(ending)), kind)
        try:
            return b"".join(mask_reply(masker, request, kind, (body,)))
        except Unmaskable as error:
            return f"[not kept: {error}]".encode()

    return scrub


def _refresh_of(policy: Policy, upstream: Upstream) -> Callable[[Connection, Session], Awaitable[Resources]]:
    """Asks a cluster what it serves, as a role this session may use; without one, nothing new is learnt."""

    async def refresh(connection: Connection, session: Session) -> Resources:
        grants = policy.access.grants(session, time.time())
        return await upstream.refresh(connection, None if isinstance(grants, Refusal) else grants[0])

    return refresh


async def _close(parts: Parts) -> None:
    await parts.verifier.close()
    await parts.upstream.close()
    parts.credentials.close()
    parts.rates.close()
    parts.store.close()
    parts.recordings.close()
    parts.live.close()
