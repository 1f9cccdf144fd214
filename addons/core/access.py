"""The choice among the access rules: which role, until when, within what.

The choice depends on the identity, the connection and the intent, never on the single request: one job has one role.
The highest `priority` wins. Among equals there must be one role: two are refused as ambiguous, because silently taking
one would hand out more, or less, than whoever wrote the rules expected. Several rules of one role add up: of those
whose scope covers a request, one that unmasks is taken first.
Deliberately not decided here: what the role may do. That is the cluster's RBAC, and the guardrails add risk on top.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import re2

from addons.core.access_rule import AccessRule, AccessRules, check_unmask, compile_access, cross_check
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.identity_provider import IdentityProvider
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal
from addons.core.scope import outside_scope
from addons.core.session import Session

__all__ = ["AccessPolicy", "AccessRules", "check_unmask", "choose", "compile_access", "cross_check"]

_ASK = "ask the people who run the gateway"


@dataclass(frozen=True, slots=True)
class _Candidate:
    rule: AccessRule
    issuer: str

    def admits(self, identity: Identity) -> bool:
        rule = self.rule
        return identity.iss == self.issuer and (
            identity.sub in rule.subjects or not rule.groups.isdisjoint(identity.groups)
        )

    def intends(self, intent: str) -> bool:
        pattern = self.rule.intent_pattern
        return not pattern or re2.fullmatch(pattern, intent) is not None


class AccessPolicy:
    """The access rules of all connections. Immutable; a reload makes a new one."""

    def __init__(self, rules: Iterable[AccessRule], providers: Iterable[IdentityProvider]) -> None:
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

    def grants(self, session: Session, now: float) -> tuple[Grant, ...] | Refusal:
        """The grants of one job, all of one role, valid at `now` (Unix seconds); or why there is none."""
        candidates = self._candidates.get(session.connection, [])
        admitted = [candidate for candidate in candidates if candidate.admits(session.identity)]
        if not admitted:
            return _no_grant(session, candidates)
        intended = [candidate.rule for candidate in admitted if candidate.intends(session.intent)]
        if not intended:
            return _intent_required(session, admitted)
        highest = max(rule.priority for rule in intended)
        equals = [rule for rule in intended if rule.priority == highest]
        chosen = sorted(equals, key=lambda rule: (not rule.unmask, rule.name))
        if len({rule.role for rule in chosen}) > 1:
            return _ambiguous(session, chosen)
        return tuple(_grant(session, rule, now) for rule in chosen)


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
        hint=f"stay within the scope, or {_ask_for(grants[0].connection)} that covers it",
    )


def _grant(session: Session, rule: AccessRule, now: float) -> Grant:
    identity = session.identity
    starts_at, ends_at = _window(identity, rule.duration_seconds, now)
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
    )
    return Grant(
        id=hashlib.sha256("\x00".join(seed).encode("utf-8", "surrogatepass")).hexdigest()[:20],
        identity=identity,
        connection=session.connection,
        role=rule.role,
        not_before_at=starts_at,
        expires_at=ends_at,
        scope=rule.scope,
        intent=session.intent,
        granted_by=rule.name,
        unmask=rule.unmask,
    )


def _window(identity: Identity, duration: int, now: float) -> tuple[float, float]:
    """The window `now` is in: counted from the token's issue, so that every worker process finds the same one."""
    issued = identity.claims.get("iat", 0)
    starts_at = issued + (now - issued) // duration * duration
    return starts_at, min(starts_at + duration, identity.exp)


def _no_grant(session: Session, candidates: list[_Candidate]) -> Refusal:
    """Names groups, which the caller can ask to join, and never the subjects that have access."""
    groups = sorted({group for candidate in candidates for group in candidate.rule.groups})
    mine = ", ".join(session.identity.groups) or "none"
    join = f"ask to become a member of one of these groups: {', '.join(groups)}" if groups else f"{_ASK} for access"
    return Refusal(
        code=403,
        rule="no-grant",
        why=f"no access rule of {session.connection} names you or one of your groups ({mine})",
        hint=join,
    )


def _intent_required(session: Session, admitted: list[_Candidate]) -> Refusal:
    patterns = " or ".join(sorted({candidate.rule.intent_pattern for candidate in admitted}))
    example = admitted[0].rule.intent_example
    return Refusal(
        code=403,
        rule="intent-required",
        why=f"access to {session.connection} needs an intent of the form {patterns}",
        hint=f"say what you are doing: kubectl --as=agent --as-user-extra=reason='{example}' …",
    )


def _ambiguous(session: Session, rules: list[AccessRule]) -> Refusal:
    listed = ", ".join(f"{rule.name} ({rule.role})" for rule in rules)
    return Refusal(
        code=403,
        rule="ambiguous-access",
        why=f"several access rules of {session.connection} give you different roles with the same priority: {listed}",
        hint=f"{_ASK} to set a priority, or to tell the rules apart by intent",
    )


def _ask_for(connection: str) -> str:
    return f"{_ASK} for an access rule of {connection}"
