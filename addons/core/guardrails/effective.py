"""What a write results in, and what is there now, as the API server sees it. The questions, not their transport.

The effective object of a create or update in JSON or YAML is what was submitted. Everything else (the five forms of
PATCH, server-side apply, protobuf) the API server reads for us: the request's own dry run, under the same role.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from addons.core.grant import Grant
from addons.core.guardrails.blast_radius import list_target
from addons.core.guardrails.facts import Needs
from addons.core.kube_request import KubeRequest

_EXACT = ("create", "update")
"""Verbs whose decoded body is the effective object."""
MINTING = frozenset({("serviceaccounts", "token")})
"""Resources whose dry run answers with a working credential. Measured: a dry-run TokenRequest's token authenticates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The request as it would be forwarded. `target` is path and query as sent."""

    method: str
    target: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRefusal:
    """The API server's own answer to a question it refused: the agent gets it as it is."""

    status: int
    body: bytes
    content_type: str = "application/json"
    asked: str = "a dry run of this request"


class Unanswered(ConnectionError):
    """The API server could not be asked, or gave no usable answer. The message holds no secret."""


class EffectiveObject(Protocol):
    """Objects as the API server sees them. Raises Unanswered: without an answer nothing passes."""

    async def effective(
        self, grant: Grant, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, Any] | ServerRefusal:
        """The defaulted, mutated, validated object a write would store. Nothing is stored by asking."""

    async def current(self, grant: Grant, target: str) -> Mapping[str, Any] | ServerRefusal | None:
        """The object now stored at `target`; None when there is none (404)."""

    async def affected(self, grant: Grant, target: str) -> int | ServerRefusal:
        """How many objects the list at `target` has, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """What a write results in, and what was there before; None where there is no object, or nobody may say."""

    after: Mapping[str, Any] | None = None
    before: Mapping[str, Any] | None = None
    affected: int | None = None
    """How many objects a deletecollection reaches; None when no rule asks."""


async def objects(
    server: EffectiveObject,
    needs: Needs,
    grant: Grant,
    request: KubeRequest,
    submitted: Mapping[str, Any] | None,
    sent: Sent,
) -> Objects | ServerRefusal:
    """The objects that rules need, and what is known without asking; or the server's refusal to show one.

    `submitted` is the body as decoded here, None when it was not. Raises Unanswered.
    """
    after: Mapping[str, Any] | ServerRefusal | None = submitted if request.verb in _EXACT else None
    if after is None and needs.object:
        after = await _after(server, grant, request, sent)
    if isinstance(after, ServerRefusal):
        return after
    before = await _before(server, grant, request, sent) if needs.old_object else None
    if isinstance(before, ServerRefusal):
        return before
    affected = await server.affected(grant, list_target(request)) if needs.affected else None
    if isinstance(affected, ServerRefusal):
        return affected
    return Objects(after=after, before=before, affected=affected)


async def _after(
    server: EffectiveObject, grant: Grant, request: KubeRequest, sent: Sent
) -> Mapping[str, Any] | ServerRefusal | None:
    """The object a write results in. None when nobody may say: a rule that reads it then denies."""
    if (request.resource, request.subresource) in MINTING:
        return None
    return await server.effective(grant, sent.method, sent.target, {"content-type": sent.content_type}, sent.body)


async def _before(
    server: EffectiveObject, grant: Grant, request: KubeRequest, sent: Sent
) -> Mapping[str, Any] | ServerRefusal | None:
    """The object now stored; None when there is none, or no one object (a create, a collection)."""
    if not request.name:
        return None
    return await server.current(grant, sent.target.partition("?")[0])
