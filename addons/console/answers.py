"""Answers that come back from other places: verified, tied to a person, and decided like those of the command line.

Whatever cannot be verified is refused, and nothing is decided. What may be decided, and by whom, is for the store and
`core/approval.py` to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from addons.console import tokens
from addons.console.parts import Parts
from addons.core.approval import ForbiddenApprover, InvalidTransition, State, state_at
from addons.core.approval_words import agreed
from addons.core.claims import RejectedToken
from addons.core.identity import Identity
from addons.core.notify import signature
from addons.core.notify.callback import Decision, Unreadable, read_callback
from addons.core.notify.channel import Channel, Slack, Webhook
from addons.core.notify.slack import escaped, identity, read_click
from addons.core.notify.wording import bounded
from addons.core.printable import printable
from addons.core.session import Session
from addons.core.session_token import Binding, bound_to
from addons.edge import decided
from addons.edge.decided import Person
from addons.edge.lock_store import locks
from addons.edge.notify_secrets import UnusableSecret, read_secrets
from addons.edge.notify_store import use_signature
from addons.edge.oidc import KeysUnavailable
from addons.edge.post import NotSent
from addons.edge.revocation_store import revoked
from addons.edge.store import Store, UnknownApproval

log = structlog.get_logger()


class Refused(Exception):
    """An answer that does not count. The message is for whoever sent it."""

    def __init__(self, status: int, error: str, why: str) -> None:
        super().__init__(why)
        self.status, self.error = status, error

    def document(self) -> dict[str, str]:
        """As JSON."""
        return {"error": self.error, "message": str(self)}


async def by_webhook(parts: Parts, name: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """What has been decided by an answer of a webhook's. Raises Refused, StoreUnavailable."""
    channel = _channel(parts, name)
    if not isinstance(channel.place, Webhook) or not channel.place.callback:
        raise Refused(404, "unknown_channel", "no answers are taken here")
    await _verify(parts, channel.place.secret_file, headers, body, slack=False)
    try:
        callback = read_callback(body)
    except Unreadable as error:
        raise Refused(400, "invalid_request", str(error)) from None
    approver = await approver_of(parts, callback.token)
    return await _decide(parts, channel, callback.what, approver)


async def by_slack(parts: Parts, name: str, headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    """Which Slack user has clicked, and what only they are told: why it does not count, or that others have to agree.

    Raises Refused, StoreUnavailable.
    """
    channel = _channel(parts, name)
    if not isinstance(channel.place, Slack):
        raise Refused(404, "unknown_channel", "there is no such channel")
    await _verify(parts, channel.place.signing_secret_file, headers, body, slack=True)
    try:
        click = read_click(body)
    except Unreadable as error:
        raise Refused(400, "invalid_request", str(error)) from None
    try:
        approver = identity(channel.place, click.user, parts.now())
        if approver is None:
            raise Refused(403, "forbidden", "nobody has said who you are: your Slack user is not among its `people`")
        note = "" if click.decision.approve else f"denied in Slack by {approver.sub}"
        answer = await _decide(parts, channel, replace(click.decision, note=note), approver)
    except Refused as error:
        log.warning("answer refused", channel=channel.name, slack_user=printable(click.user), why=str(error))
        return click.user, f"This does not count: {error}"
    waits = answer["state"] == State.PENDING
    return click.user, f"Yours counts; others have to agree, too: {answer['agreed']}" if waits else ""


async def tell(parts: Parts, name: str, user: str, text: str) -> None:
    """Say something to somebody in Slack whom nobody else hears. If it does not arrive, that is logged."""
    place = _channel(parts, name).place
    assert isinstance(place, Slack)
    said = {"channel": place.channel, "user": user, "text": escaped(bounded(text)), "mrkdwn": False, "parse": "none"}
    try:
        await parts.senders.slack(place, "chat.postEphemeral", said)
    except NotSent as error:
        log.warning("notification not sent", channel=name, error=str(error))


def _channel(parts: Parts, name: str) -> Channel:
    for channel in parts.policy.channels:
        if channel.name == name:
            return channel
    raise Refused(404, "unknown_channel", "there is no such channel")


async def _verify(parts: Parts, file: str, headers: Mapping[str, str], body: bytes, *, slack: bool) -> None:
    """Returns if the sender has the secret, for this body, now, and has not sent it before."""
    stamp = signature.SLACK_TIMESTAMP_HEADER if slack else signature.TIMESTAMP_HEADER
    mark = signature.SLACK_SIGNATURE_HEADER if slack else signature.SIGNATURE_HEADER
    check, now, signed = signature.slack_check if slack else signature.check, parts.now(), headers.get(mark, "")
    try:
        check(read_secrets(file), headers.get(stamp, ""), signed, body, now)
    except signature.BadSignature as error:
        log.warning("answer refused", why=str(error))
        raise Refused(401, "bad_signature", str(error)) from None
    except UnusableSecret as error:
        log.error("answers cannot be verified", why=str(error))
        raise Refused(503, "temporarily_unavailable", "its secret cannot be read: nothing can be verified") from None
    if not await parts.store.call(use_signature, signed, now, now + 2 * signature.WINDOW_SECONDS):
        raise Refused(409, "replayed", "this signature was used before: sign anew")


async def approver_of(parts: Parts, token: str) -> Identity:
    """Who decides, by their own token. Raises Refused."""
    try:
        approver = await tokens.verified(parts, token)
    except RejectedToken as error:
        raise Refused(401, "invalid_token", f"the token of who decides is refused: {error}") from None
    except KeysUnavailable as error:
        raise Refused(503, "temporarily_unavailable", str(error)) from None
    if bound_to(approver) != Binding():
        raise Refused(403, "forbidden", "the token is bound to a connection, an intent or a key: sign in yourself")
    if not approver.session_token and approver.iss in parts.policy.single_use:
        raise Refused(403, "forbidden", "the token is for one place only, and nobody may pass it on: sign in yourself")
    return approver


async def check_not_stopped(parts: Parts, connection: str, approver: Identity) -> None:
    """Whoever is locked out, or whose session was revoked, decides nothing."""
    now = parts.now()
    held = [*await parts.store.call(locks), *await parts.store.call(revoked, now)]
    session = Session(id="", identity=approver, connection=connection, started_at=now)
    if any(lock.holds(session) for lock in held if lock.subject or lock.session):
        raise Refused(403, "forbidden", "who decides is locked out, or signed out")


async def _decide(parts: Parts, channel: Channel, decision: Decision, approver: Identity) -> dict[str, Any]:
    now, person = parts.now(), Person(identity=approver, via=f"channel {channel.name}")
    try:
        case = await parts.store.call(Store.get, decision.id)
        _same(parts, channel, case.approval.digest, case.ask.connection, decision)
        await check_not_stopped(parts, case.ask.connection, approver)
        if state_at(case.approval, now) is State.EXPIRED:
            raise Refused(410, "expired", f"approval {case.approval.id} has expired: the agent has to ask again")
        case = await parts.store.call(
            decided.decide, parts.desk, case.approval.id, decision.state, person, printable(decision.note), now
        )
    except UnknownApproval:
        raise Refused(404, "unknown_approval", "there is no such approval") from None
    except ForbiddenApprover as error:
        raise Refused(403, "forbidden", str(error)) from None
    except InvalidTransition as error:
        raise Refused(409, "conflict", str(error)) from None
    approval = case.approval
    log.info("approval decided", approval=approval.id, state=approval.state, by=approval.approver, channel=channel.name)
    said = {"approver": approval.approver, "agreed": agreed(case)}
    return {"id": approval.id, "state": approval.state.value, **said}


def _same(parts: Parts, channel: Channel, digest: str, connection: str, decision: Decision) -> None:
    """A channel decides what it was told of, as it was told of it."""
    if channel.connections is not None and connection not in channel.connections:
        raise Refused(404, "unknown_approval", "there is no such approval")
    if not signature.same(signature.opaque(parts.key, digest), decision.digest):
        raise Refused(409, "conflict", "the digest is not that of this approval: decide on what you were shown")
