"""The just-in-time right: one role for one identity on one connection, for a window and an intent. Holds no secret."""

from __future__ import annotations

from dataclasses import dataclass

from addons.core.identity import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a grant narrows its role to. An empty tuple leaves that dimension to the cluster's RBAC."""

    namespaces: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """`role` is a role ARN, a service account, or `user:NAME group:NAME …`, by kind of connection.

    Unix seconds; valid while `not_before_at <= now < expires_at`.
    """

    id: str
    identity: Identity
    connection: str
    role: str
    not_before_at: float
    expires_at: float
    scope: Scope = Scope()
    intent: str = ""
    granted_by: str = ""
    """The access rule, or the approver, this right comes from."""
    request: str = ""
    """Id of the access request, where the right was given on request."""
    unmask: tuple[str, ...] = ()
    """Names of masking rules that do not hold for what this right shows, in order."""
