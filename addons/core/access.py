"""The choice among the access rules: which role, until when, within what.

The choice depends on the identity, the connection and the intent, never on the single request: one job has one role.
The highest `priority` wins. Among equals there must be one role: two are refused as ambiguous, because silently taking
one would hand out more, or less, than whoever wrote the rules expected. Several rules of one role add up: of those
whose scope covers a request, one that unmasks is taken first.
A rule on request gives nothing until a request of this caller for its role is granted; the intent is the request's.
Deliberately not decided here: what the role may do. That is the cluster's RBAC, and the guardrails add risk on top.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import re2

from addons.core.access_refusal import ambiguous, ask_for, no_grant, not_yet, on_request
from addons.core.access_request import AUTOMATIC, PENDING_SECONDS, AccessRequest
from addons.core.access_rule import AccessRule, AccessRules, check_unmask, compile_access, cross_check
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal
from addons.core.saml_provider import Voucher
from addons.core.scope import outside_scope
from addons.core.session import Session

__all__ = ["AccessPolicy", "AccessRules", "check_unmask", "choose", "compile_access", "cross_check"]


@dataclass(frozen=True, slots=True)
class _Candidate:
    rule: AccessRule
    issuer: str

    def admits(self, identity: Identity) -> bool:
        rule = self.rule
        if identity.iss != self.issuer or not (
            rule.condition is None or rule.condition.holds(identity.claims, identity.groups)
        ):
            return False
        anybody = not rule.subjects and not rule.groups
        return anybody or identity.sub in rule.subjects or not rule.groups.isdisjoint(identity.groups)

    def intends(self, intent: str) -> bool:
        pattern = self.rule.intent_pattern
        return not pattern or re2.fullmatch(pattern, intent) is not None


@dataclass(frozen=True, slots=True)
class _Right:
    """A rule that gives its role now; `request` is what was granted, where the rule gives it on request."""

    rule: AccessRule
    request: AccessRequest | None = None


class AccessPolicy:
    """The access rules of all connections. Immutable; a reload makes a new one."""

    def __init__(self, rules: Iterable[AccessRule], providers: Iterable[Voucher]) -> None:
        """`rules` and `providers` must have passed `cross_check`; a dangling reference raises here."""
        self._candidates: dict[str, list[_Candidate]] = {}
        issuers = {provider.name: provider.issuer for provider in providers}
        for rule in rules:
            (name,) = [rule.identity_provider] if rule.identity_provider else issuers
            for connection in rule.connections:
                self._candidates.setdefault(connection, []).append(_Candidate(rule, issuers[name]))

    def roles(self, connection: str) -> list[str]:
        """Every role that some rule gives on a connection, in order."""
        return sorted({candidate.rule.role for candidate in self._candidates.get(connection, [])})

    def on_request(self, connection: str) -> bool:
        """Whether anything on a connection is given on request."""
        return any(candidate.rule.on_request for candidate in self._candidates.get(connection, []))

    def grants(
        self, session: Session, now: float, granted: Iterable[AccessRequest] = ()
    ) -> tuple[Grant, ...] | Refusal:
        """The grants of one job, all of one role, valid at `now` (Unix seconds); or why there is none.

        `granted` are access requests, whoever's: those that hold for this session count.
        """
        candidates = self._candidates.get(session.connection, [])
        admitted = [candidate for candidate in candidates if candidate.admits(session.identity)]
        if not admitted:
            return no_grant(session, [each.rule for each in candidates])
        mine = [request for request in granted if request.holds(session, now)]
        rights = [*_standing(admitted, session), *_requested(admitted, mine)]
        if not rights:
            return not_yet(session, [each.rule for each in admitted])
        highest = max(right.rule.priority for right in rights)
        equals = [right for right in rights if right.rule.priority == highest]
        chosen = sorted(equals, key=lambda right: (not right.rule.unmask, right.rule.name))
        if len({right.rule.role for right in chosen}) > 1:
            return ambiguous(session, [right.rule for right in chosen])
        return tuple(_grant(session, right, now) for right in chosen)

    def request(
        self, session: Session, role: str, seconds: int, request_id: str, now: float
    ) -> AccessRequest | Refusal:
        """What a caller asks for, with the session's intent, by the first rule that allows it; or why none does."""
        candidates = self._candidates.get(session.connection, [])
        admitted = [each for each in candidates if each.rule.on_request and each.admits(session.identity)]
        if not admitted:
            return no_grant(session, [each.rule for each in candidates])
        rules = [each.rule for each in admitted if each.rule.role == role and each.intends(session.intent)]
        if not rules or not session.intent or not 0 < seconds <= rules[0].duration_seconds:
            return on_request(session, [each.rule for each in admitted])
        return _asked(session, rules[0], seconds, request_id, now)


def _standing(admitted: Iterable[_Candidate], session: Session) -> list[_Right]:
    rules = [each.rule for each in admitted if not each.rule.on_request and each.intends(session.intent)]
    return [_Right(rule) for rule in rules]


def _requested(admitted: Iterable[_Candidate], mine: Iterable[AccessRequest]) -> list[_Right]:
    """By rule the request that lasts longest. The rule is asked again: it may have become stricter since."""
    rights: dict[str, _Right] = {}
    by_name = {each.rule.name: each for each in admitted if each.rule.on_request}
    for request in sorted(mine, key=lambda request: request.expires_at):
        candidate = by_name.get(request.rule)
        if candidate is not None and candidate.intends(request.intent) and _agreed(candidate.rule, request):
            rights[request.rule] = _Right(candidate.rule, request)
    return list(rights.values())


def _agreed(rule: AccessRule, request: AccessRequest) -> bool:
    """Whether as many have agreed to it as the rule says by now."""
    return request.role == rule.role and (not rule.approvers or _people(request) >= rule.approvals)


def _people(request: AccessRequest) -> int:
    return sum(name != AUTOMATIC for name in request.approved_by)


def choose(grants: tuple[Grant, ...], request: KubeRequest) -> Grant | Refusal:
    """The first grant whose scope covers the request, or a refusal that says how far the grants reach."""
    outside = []
    for grant in grants:
        reason = outside_scope(request, grant.scope)
        if not reason:
            return grant
        outside.append(reason)
    return Refusal(
        code=403,
        rule="out-of-scope",
        why=f"it is outside of what was granted on {grants[0].connection}: {'; '.join(outside)}",
        hint=f"stay within the scope, or {ask_for(grants[0].connection)} that covers it",
    )


def _asked(session: Session, rule: AccessRule, seconds: int, request_id: str, now: float) -> AccessRequest:
    who = session.identity
    return AccessRequest(
        id=request_id,
        iss=who.iss,
        sub=who.sub,
        act=who.act,
        owner=who.owner,
        connection=session.connection,
        role=rule.role,
        rule=rule.name,
        intent=session.intent,
        seconds=seconds,
        longest_seconds=rule.duration_seconds,
        approvers=rule.approvers,
        approvals=rule.approvals,
        asked_at=now,
        expires_at=now + PENDING_SECONDS,
    )


def _grant(session: Session, right: _Right, now: float) -> Grant:
    identity, rule, request = session.identity, right.rule, right.request
    if request is None:
        starts_at, ends_at = _window(identity, rule.duration_seconds, now)
    else:
        starts_at, ends_at = request.granted_at or now, min(request.expires_at, identity.exp)
    seed = (
        identity.iss,
        identity.sub,
        identity.act,
        session.connection,
        session.id,
        session.intent,
        rule.name,
        rule.role,
        repr(starts_at),
        repr(ends_at),
        request.id if request else "",
    )
    digest = hashlib.sha256("\x00".join(seed).encode("utf-8", "surrogatepass")).hexdigest()
    return Grant(
        id=f"{request.id}-{digest[:11]}" if request else digest[:20],
        identity=identity,
        connection=session.connection,
        role=rule.role,
        not_before_at=starts_at,
        expires_at=ends_at,
        scope=rule.scope,
        intent=session.intent if request is None else request.intent,
        granted_by=rule.name if request is None else ", ".join(request.approved_by),
        request=request.id if request else "",
        unmask=rule.unmask,
    )


def _window(identity: Identity, duration: int, now: float) -> tuple[float, float]:
    """The window `now` is in: counted from the token's issue, so that every worker process finds the same one."""
    issued = identity.claims.get("iat", 0)
    starts_at = issued + (now - issued) // duration * duration
    return starts_at, min(starts_at + duration, identity.exp)
