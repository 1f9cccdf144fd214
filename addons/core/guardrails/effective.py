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
from addons.core.kube_request import KubeRequest

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


class EffectiveObject(Protocol):
    """Objects as the API server sees them. A server that cannot be reached raises: without an answer nothing passes."""

    async def effective(
        self, grant: Grant, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, Any] | ServerRefusal:
        """The defaulted, mutated, validated object a write would store. Nothing is stored by asking."""

    async def current(self, grant: Grant, target: str) -> Mapping[str, Any] | ServerRefusal | None:
        """The object now stored at `target`; None when there is none (404)."""


async def object_after(
    server: EffectiveObject, grant: Grant, request: KubeRequest, submitted: Mapping[str, Any] | None, sent: Sent
) -> Mapping[str, Any] | ServerRefusal | None:
    """The object a write results in. None when nobody may say: a rule that reads it then denies.

    `submitted` is the body as decoded here, None when it was not.
    """
    if submitted is not None and request.verb in ("create", "update"):
        return submitted
    if (request.resource, request.subresource) in MINTING:
        return None
    return await server.effective(grant, sent.method, sent.target, {"content-type": sent.content_type}, sent.body)


async def object_before(
    server: EffectiveObject, grant: Grant, request: KubeRequest, sent: Sent
) -> Mapping[str, Any] | ServerRefusal | None:
    """The object now stored; None when there is none, or no one object (a create, a collection)."""
    if not request.name:
        return None
    return await server.current(grant, sent.target.partition("?")[0])
