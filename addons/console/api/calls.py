"""What the API does at each of its addresses: as the pages and the command line do, by the same store and record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query

from addons.console.api import models
from addons.console.api.access import Admin, Approver, Caller, NotHeard, Viewer
from addons.console.api.models import Id, List, Note, Reason, SessionId
from addons.core import access_request as requests
from addons.core.approval import State
from addons.core.approval_terms import ONCE, Scope
from addons.core.lock import Lock
from addons.core.printable import printable
from addons.edge import archive, decided, lock_store
from addons.edge.access_request_store import access_request, access_requests, change
from addons.edge.decided import Person
from addons.edge.store import Store, new_id

log = structlog.get_logger()
router = APIRouter()

MOST = 200
Limit = Annotated[int, Query(ge=1, le=MOST, description="how many at most")]


@router.get("/v1/approvals", tags=["approvals"])
async def list_approvals(caller: Viewer, state: State | None = None, limit: Limit = 50) -> List[models.Approval]:
    """Requests that wait or waited for an answer, the newest first; `state` chooses those that stand so."""
    now = caller.parts.now()
    cases = await caller.parts.store.call(Store.latest, 5 * MOST)
    found = [each for each in (models.Approval.of(case, now) for case in cases) if state in (None, each.state)]
    return List(items=found[:limit], more=len(found) > limit)


@router.get("/v1/approvals/{approval_id}", tags=["approvals"])
async def show_approval(approval_id: Id, caller: Viewer) -> models.Approval:
    """One of them."""
    return models.Approval.of(await caller.parts.store.call(Store.get, approval_id), caller.parts.now())


async def _decided(caller: Caller, approval_id: str, to: State, note: str, scope: Scope = ONCE) -> models.Approval:
    person, now = Person(identity=caller.identity, via="api"), caller.parts.now()
    case = await caller.parts.store.call(
        decided.decide, caller.parts.desk, approval_id, to, person, printable(note.strip()), now, scope
    )
    log.info("decided", what=f"approval {approval_id}", decision=to.value, by=caller.identity.username)
    return models.Approval.of(case, now)


@router.post("/v1/approvals/{approval_id}/approve", tags=["approvals"])
async def approve(approval_id: Id, sent: models.Approve, caller: Approver) -> models.Approval:
    """The request may be made, unchanged: once, or for as long as is said, if its rules allow it.

    Nobody approves what they or their agents asked for. Where several have to agree, this is one of them.
    """
    scope = Scope(reuse=sent.reuse, seconds=int(sent.seconds))
    return await _decided(caller, approval_id, State.GRANTED, sent.note, scope)


@router.post("/v1/approvals/{approval_id}/deny", tags=["approvals"])
async def deny(approval_id: Id, sent: Reason, caller: Approver) -> models.Approval:
    """It may not; before it was used, this also takes an approval back. The agent is told the reason."""
    return await _decided(caller, approval_id, State.DENIED, sent.reason)


@router.post("/v1/approvals/{approval_id}/revoke", tags=["approvals"])
async def revoke(approval_id: Id, sent: Reason, caller: Approver) -> models.Approval:
    """An approval that stands, stands no longer."""
    person, now = Person(identity=caller.identity, via="api"), caller.parts.now()
    reason = printable(sent.reason.strip())
    case = await caller.parts.store.call(decided.revoke, caller.parts.desk, approval_id, person, reason, now)
    log.info("decided", what=f"approval {approval_id}", decision="revoke", by=caller.identity.username)
    return models.Approval.of(case, now)


@router.get("/v1/grants", tags=["grants"])
async def list_grants(caller: Viewer, limit: Limit = 50) -> List[models.Grant]:
    """Access that is asked for or granted, the newest first."""
    found = (await caller.parts.store.call(access_requests, caller.parts.now()))[::-1]
    return List(items=[models.Grant.of(each, caller.parts.now()) for each in found[:limit]], more=len(found) > limit)


@router.get("/v1/grants/{grant_id}", tags=["grants"])
async def show_grant(grant_id: Id, caller: Viewer) -> models.Grant:
    """One of them."""
    return models.Grant.of(await caller.parts.store.call(access_request, grant_id), caller.parts.now())


async def _changed(caller: Caller, grant_id: str, what: str, step: Callable[[Any], Any]) -> models.Grant:
    after = await caller.parts.store.call(change, grant_id, step)
    log.info("decided", what=f"access request {after.id}", decision=what, by=caller.identity.username)
    return models.Grant.of(after, caller.parts.now())


@router.post("/v1/grants/{grant_id}/approve", tags=["grants"])
async def approve_grant(grant_id: Id, sent: Note, caller: Approver) -> models.Grant:
    """One of the people who have to agree does."""
    who, note, now = caller.identity, printable(sent.note.strip()), caller.parts.now()
    return await _changed(caller, grant_id, "approve", lambda each: requests.approve(each, who, note, now))


@router.post("/v1/grants/{grant_id}/deny", tags=["grants"])
async def deny_grant(grant_id: Id, sent: Reason, caller: Approver) -> models.Grant:
    """It is not granted."""
    who, note, now = caller.identity, printable(sent.reason.strip()), caller.parts.now()
    return await _changed(caller, grant_id, "deny", lambda each: requests.deny(each, who, note, now))


@router.post("/v1/grants/{grant_id}/revoke", tags=["grants"])
async def revoke_grant(grant_id: Id, sent: Reason, caller: Approver) -> models.Grant:
    """It ends now."""
    who, note, now = caller.identity.username, printable(sent.reason.strip()), caller.parts.now()
    return await _changed(caller, grant_id, "revoke", lambda each: requests.revoke(each, who, note, now))


@router.get("/v1/sessions", tags=["sessions"])
async def list_sessions(caller: Viewer, limit: Limit = 50) -> List[models.Session]:
    """What agents did, the latest first."""
    found = (await asyncio.to_thread(archive.sessions, caller.parts.state))[::-1]
    return List(items=[models.Session.of(each) for each in found[:limit]], more=len(found) > limit)


@router.get("/v1/sessions/{session_id}", tags=["sessions"])
async def show_session(session_id: SessionId, caller: Viewer) -> models.Session:
    """One of them."""
    return models.Session.of(await _session(caller, session_id))


@router.post("/v1/sessions/{session_id}/kill", tags=["sessions"])
async def kill_session(session_id: SessionId, sent: Reason, caller: Admin) -> models.LockAnswer:
    """It is locked: its requests are refused at once, and its streams end within five seconds."""
    found = await _session(caller, session_id)
    return await _locked(caller, sent.reason, session=found.session)


@router.get("/v1/locks", tags=["locks"])
async def list_locks(caller: Viewer) -> List[models.LockAnswer]:
    """What is stopped."""
    return List(items=[models.LockAnswer.of(each) for each in await caller.parts.store.call(lock_store.locks)])


@router.post("/v1/locks", tags=["locks"])
async def lock(sent: models.NewLock, caller: Admin) -> models.LockAnswer:
    """Somebody, a session, a cluster is stopped. To stop everything takes `chaperone lock`."""
    what = {name: getattr(sent, name).strip() for name in ("subject", "connection", "session")}
    if not any(what.values()):
        raise NotHeard(409, "Say what is to be stopped: a subject, a connection or a session.")
    return await _locked(caller, sent.reason, **what)


@router.post("/v1/locks/{lock_id}/lift", tags=["locks"], status_code=204)
async def lift_lock(lock_id: Id, caller: Admin) -> None:
    """It goes on."""
    await caller.parts.store.call(lock_store.lift, lock_id, caller.identity.username, caller.parts.now())
    log.info("decided", what=f"lock {lock_id}", decision="lift", by=caller.identity.username)


@router.get("/v1/rules", tags=["policy"])
async def list_rules(caller: Viewer) -> List[models.Rule]:
    """The guardrails in force, by name."""
    return List(items=[models.Rule.of(each) for _, each in sorted(caller.parts.policy.guardrails.rules.items())])


@router.get("/v1/connections", tags=["policy"])
async def list_connections(
    caller: Viewer,
) -> List[models.ConnectionAnswer]:
    """The clusters behind the gateway."""
    return List(items=[models.ConnectionAnswer.of(each) for each in caller.parts.policy.connections.values()])


@router.get("/v1/identities", tags=["policy"])
async def list_identities(caller: Viewer, limit: Limit = 50) -> List[models.Identity]:
    """Who was seen, the latest first."""
    sessions = await asyncio.to_thread(archive.sessions, caller.parts.state)
    subjects = {each.subject for each in await caller.parts.store.call(lock_store.locks) if each.subject}
    found = list(_identities(sessions[::-1], subjects))
    return List(items=found[:limit], more=len(found) > limit)


def _identities(sessions: Iterable[archive.StoredSession], locked: set[str]) -> Iterator[models.Identity]:
    by_user: dict[str, list[archive.StoredSession]] = {}
    for each in sessions:
        by_user.setdefault(each.user, []).append(each)
    for user, theirs in by_user.items():
        last = theirs[0].changed_at
        yield models.Identity(subject=user, sessions=len(theirs), last_seen_at=last, locked=user in locked)


async def _session(caller: Caller, session_id: str) -> archive.StoredSession:
    found = await asyncio.to_thread(archive.session, caller.parts.state, session_id)
    if found.id != session_id:  # it may only begin like this
        raise archive.UnknownSession
    return found


async def _locked(caller: Caller, reason: str, **what: str) -> models.LockAnswer:
    who, why = caller.identity.username, printable(reason.strip())
    made = Lock(id=new_id(), reason=why, made_by=who, made_at=caller.parts.now(), **what)
    await caller.parts.store.call(lock_store.add_lock, made)
    log.info("decided", what=made.what(), decision="lock", by=who)
    return models.LockAnswer.of(made)
