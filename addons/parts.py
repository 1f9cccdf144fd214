"""What the stack is built from: everything a worker judges by and reaches out with."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from addons.connections import Connections
from addons.core.access_request import AccessRequest
from addons.core.connection import Connection, by_target
from addons.core.refusal import Refusal
from addons.core.resources import Resources
from addons.core.session import Session
from addons.edge.access_request_store import granted
from addons.edge.answers import Answers
from addons.edge.audit_ledger import AuditLedger
from addons.edge.authority import Authority
from addons.edge.credentials import Credentials
from addons.edge.fingerprint_key import fingerprint_key
from addons.edge.first_use import FirstUses
from addons.edge.flow_record import FlowRecords
from addons.edge.fresh import Fresh
from addons.edge.live import Live
from addons.edge.locks import Locks
from addons.edge.meters import Meters
from addons.edge.minters import Minters
from addons.edge.oidc import Verifier
from addons.edge.own_certificate import FileCertificate, OwnCertificate, made_certificate
from addons.edge.policy_service import PolicyServices
from addons.edge.possession import Possession
from addons.edge.rates import RateTable
from addons.edge.recordings import Recordings
from addons.edge.store_thread import StoreThread
from addons.edge.upstream import Upstream
from addons.in_force import InForce
from addons.policy import Policy
from addons.scrub import scrubbed
from addons.settings import Settings
from addons.stores import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One of each per worker."""

    settings: Settings
    in_force: InForce
    authority: Authority
    own_certificate: OwnCertificate
    connections: Connections
    verifier: Verifier
    possession: Possession
    first_uses: FirstUses
    credentials: Credentials
    minters: Minters
    upstream: Upstream
    services: PolicyServices
    resources_of: Callable[[Connection], Resources]
    refresh: Callable[[Connection, Session], Awaitable[Resources]]
    rates: RateTable
    store: StoreThread
    locks: Locks
    granted: Fresh[AccessRequest]
    meters: Meters
    recordings: Recordings
    records: FlowRecords
    live: Live
    answers: Answers
    now: Callable[[], float] = time.time


def make_parts(settings: Settings, policy: Policy, authority: Authority, worker: int) -> Parts:
    """One of everything for a worker, opened. Needs a running loop."""
    state = Path(settings.state)
    known = dict(policy.connections)
    minters = Minters()
    credentials = Credentials(known, minters.by_kind, time.time)
    records = FlowRecords(scrubbed)
    upstream = Upstream(policy.connections, credentials)
    verifier = Verifier(policy.providers, time.monotonic)
    connections = Connections(by_target(policy.connections))
    store = StoreThread(open_store(settings))
    requested = Fresh(store, lambda opened: granted(opened, time.time()), time.monotonic)
    in_force = InForce(policy, time.time, connections, verifier, upstream, known)
    return Parts(
        settings=settings,
        in_force=in_force,
        authority=authority,
        own_certificate=own_certificate(settings, authority),
        connections=connections,
        verifier=verifier,
        possession=Possession(time.time),
        first_uses=FirstUses(store, time.time),
        credentials=credentials,
        minters=minters,
        upstream=upstream,
        services=PolicyServices(),
        resources_of=upstream.resources_of,
        refresh=_refresh_of(in_force, upstream, requested),
        rates=RateTable(state / "rates", max(settings.workers, worker + 1), worker, fingerprint_key(state)),
        store=store,
        locks=Locks(store, time.monotonic),
        granted=requested,
        meters=Meters(),
        recordings=Recordings(state, str(worker), time.time(), AuditLedger(state, settings.audit_key_file)),
        records=records,
        live=Live(state, records),
        answers=Answers(store, time.time),
    )


def own_certificate(settings: Settings, authority: Authority) -> OwnCertificate:
    """What the listener that speaks TLS shows."""
    if settings.tls_certificate:
        return FileCertificate(Path(settings.tls_certificate), Path(settings.tls_key))
    return made_certificate(authority, settings.own_names)


def _refresh_of(
    in_force: InForce, upstream: Upstream, requested: Fresh[AccessRequest]
) -> Callable[[Connection, Session], Awaitable[Resources]]:
    """Asks a cluster what it serves, as a role this session may use; without one, nothing new is learnt."""

    async def refresh(connection: Connection, session: Session) -> Resources:
        grants = in_force.policy.access.grants(session, time.time(), requested.known() or ())
        return await upstream.refresh(connection, None if isinstance(grants, Refusal) else grants[0])

    return refresh


async def close_parts(parts: Parts) -> None:
    """Close everything that was opened."""
    await parts.verifier.close()
    await parts.upstream.close()
    await parts.services.close()
    parts.credentials.close()
    parts.minters.close()
    parts.rates.close()
    parts.store.close()
    parts.recordings.close()
    parts.live.close()
