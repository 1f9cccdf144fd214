"""The gateway's own questions to a cluster: the dry run of a write, the stored object, what resources there are.

Asked with the credential of the caller's role, never with one of the gateway's own. A cluster that cannot be asked
raises: without an answer nothing passes. Deliberately absent: any request that could change something.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from addons.core.authorization import Bearer
from addons.core.connection import Connection
from addons.core.discovery import ACCEPT, group_versions, resource_lists
from addons.core.dry_run import (
    Operations,
    UnsafeDryRun,
    dry_run_operations,
    dry_run_target,
    group_version_of,
    resource_of,
    takes_dry_run,
)
from addons.core.grant import Grant
from addons.core.guardrails.blast_radius import ACCEPT as NAMES_ONLY
from addons.core.guardrails.blast_radius import count
from addons.core.guardrails.effective import ServerRefusal, Unanswered
from addons.core.resources import BUILTIN, Resources, UnreadableDiscovery
from addons.edge.api_server import ApiServer, ServerAnswer, UpstreamUnavailable
from addons.edge.credentials import Credentials, CredentialUnavailable

log = structlog.get_logger()

MISS_INTERVAL = 10.0
"""Seconds between two discoveries of a cluster, however often something unknown is asked for."""
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
_PASSED_ON = frozenset({"content-type", "user-agent"})
"""User-Agent becomes the field manager of a write that names none."""


@dataclass(slots=True)
class _Known:
    """What is known of one cluster's API."""

    resources: Resources = BUILTIN
    refresh_at: float = float("-inf")
    flight: asyncio.Task[Resources] | None = None
    dry_runs: dict[tuple[str, str], tuple[Operations, float]] = field(default_factory=dict)
    """By group and version, for the ones that are not built in; and from when to ask again after a miss."""


class Upstream:
    """Asks every registered cluster. Belongs to one event loop. Is the guardrails' `EffectiveObject`."""

    def __init__(
        self,
        connections: Mapping[str, Connection],
        credentials: Credentials,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads each cluster's CA file."""
        self._credentials, self._monotonic = credentials, monotonic
        self._connections: Mapping[str, Connection] = {}
        self._servers: dict[str, ApiServer] = {}
        self._known: dict[str, _Known] = {}
        self.register(connections)

    def register(self, connections: Mapping[str, Connection]) -> None:
        """Ask these clusters, too; what a name stands for never changes. Reads the CA file of each new one."""
        self._connections = {**self._connections, **connections}
        for name in connections.keys() - self._servers.keys():
            self._servers[name] = ApiServer(connections[name])
            self._known[name] = _Known()

    async def dry_run(
        self, connection: Connection, token: Bearer, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> ServerAnswer:
        """The server's answer to the dry run of a write. Raises UnsafeDryRun, UpstreamUnavailable."""
        safe = dry_run_target(method, target)
        if not await self._takes_dry_run(connection, token, method, target):
            raise UnsafeDryRun("the API that serves this does not say that it knows dryRun")
        passed_on = {name: value for name, value in headers.items() if name.lower() in _PASSED_ON}
        return await self._servers[connection.name].ask(token, method, safe, passed_on, body)

    async def get(self, connection: Connection, token: Bearer, target: str, accept: str = "") -> ServerAnswer:
        """The server's answer to a GET, in JSON. Raises UpstreamUnavailable."""
        headers = {"Accept": accept} if accept else {}
        return await self._servers[connection.name].ask(token, "GET", target, headers)

    async def discovery(self, connection: Connection, token: Bearer) -> list[Mapping[str, Any]]:
        """An APIResourceList for every group and version served. Raises UpstreamUnavailable, UnreadableDiscovery."""
        core, groups = await asyncio.gather(*(self._discover(connection, token, root) for root in ("/api", "/apis")))
        return [*core, *groups]

    async def effective(
        self, grant: Grant, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, Any] | ServerRefusal:
        """The defaulted, mutated, validated object a write would store, or the server's refusal to say."""
        connection = self._connections[grant.connection]
        try:
            token = await self._credentials.token(grant)
            answer = await self.dry_run(connection, token, method, target, headers, body)
        except (CredentialUnavailable, UnsafeDryRun) as error:
            raise Unanswered(str(error)) from error
        return self._object(grant, token, answer)

    async def current(self, grant: Grant, target: str) -> Mapping[str, Any] | ServerRefusal | None:
        """The object now stored at `target`; None when there is none."""
        token, answer = await self._get(grant, target)
        return None if answer.status == 404 else self._object(grant, token, answer)

    async def uid(self, grant: Grant, target: str) -> str:
        """The uid of the object now stored at `target`; "" when there is none, or the role may not see it."""
        token, answer = await self._get(grant, target, METADATA_ONLY)
        if answer.status in (403, 404):
            return ""
        found = self._object(grant, token, answer)
        if isinstance(found, ServerRefusal):
            raise UpstreamUnavailable(f"{grant.connection} answered with status {found.status}")
        return str((found.get("metadata") or {}).get("uid", ""))

    async def affected(self, grant: Grant, target: str) -> int | ServerRefusal:
        """How many objects the list at `target` has, at least, or the server's refusal to say."""
        found = self._object(grant, *await self._get(grant, target, NAMES_ONLY))
        if isinstance(found, ServerRefusal):
            return replace(found, asked="a list of what this request would delete")
        if (number := count(found)) is None:
            raise UpstreamUnavailable(f"{grant.connection} did not answer with a list")
        return number

    def resources_of(self, connection: Connection) -> Resources:
        """What is known of the cluster's API at once: built-in kinds until it was asked the first time."""
        return self._known[connection.name].resources

    async def refresh(self, connection: Connection, grant: Grant | None = None) -> Resources:
        """What is known after asking the cluster again, unless it was asked only just now.

        Discovery is the same for every role: without a grant, a role session that is there already is used. A cluster
        that gives no answer leaves what is known as it is.
        """
        known = self._known[connection.name]
        if known.flight is None and self._monotonic() >= known.refresh_at:
            known.refresh_at = self._monotonic() + MISS_INTERVAL
            known.flight = asyncio.ensure_future(self._rediscover(connection, grant))
            known.flight.add_done_callback(lambda _: setattr(known, "flight", None))
        return known.resources if known.flight is None else await asyncio.shield(known.flight)

    async def close(self) -> None:
        """Close every connection."""
        for server in self._servers.values():
            await server.close()

    async def _get(self, grant: Grant, target: str, accept: str = "") -> tuple[Bearer, ServerAnswer]:
        try:
            token = await self._credentials.token(grant)
        except CredentialUnavailable as error:
            raise Unanswered(str(error)) from error
        return token, await self.get(self._connections[grant.connection], token, target, accept)

    async def _rediscover(self, connection: Connection, grant: Grant | None) -> Resources:
        known = self._known[connection.name]
        try:
            token = await self._credentials.token(grant) if grant else self._credentials.any_token(connection.name)
            if token is not None:
                known.resources = Resources.from_discovery(await self.discovery(connection, token))
            else:
                known.refresh_at = float("-inf")  # nothing was asked
        except (UpstreamUnavailable, UnreadableDiscovery, CredentialUnavailable) as error:
            log.warning("discovery failed", connection=connection.name, error=str(error))
        return known.resources

    async def _takes_dry_run(self, connection: Connection, token: Bearer, method: str, target: str) -> bool:
        """Built-in APIs do. Others are asked for their OpenAPI document, once, and again when it does not say so."""
        group, version = key = group_version_of(target)
        if f"{group}/{version}".lstrip("/") in BUILTIN.versions_of(resource_of(target)[0]):
            return True
        known = self._known[connection.name].dry_runs
        operations, ask_at = known.get(key, (frozenset(), float("-inf")))
        if not takes_dry_run(operations, method, target) and self._monotonic() >= ask_at:
            answer = await self.get(connection, token, f"/openapi/v3/apis/{group}/{version}")
            operations = dry_run_operations(answer.object or {})
            known[key] = operations, self._monotonic() + MISS_INTERVAL
        return takes_dry_run(operations, method, target)

    async def _discover(self, connection: Connection, token: Bearer, root: str) -> list[Mapping[str, Any]]:
        document = _readable(await self.get(connection, token, root, ACCEPT))
        if document.get("kind") == "APIGroupDiscoveryList":
            return [*resource_lists(document)]
        paths = group_versions(document)
        answers = await asyncio.gather(*(self.get(connection, token, path) for path in paths))
        # An aggregated API that is down answers 503; what it serves is unknown, and so refused, until it is back.
        return [_readable(answer) for answer in answers if answer.status != 503]

    def _object(self, grant: Grant, token: Bearer, answer: ServerAnswer) -> Mapping[str, Any] | ServerRefusal:
        if answer.status == 401:
            self._credentials.drop(grant, token)
            raise UpstreamUnavailable(f"{grant.connection} did not accept the role's credential")
        if answer.status >= 400:
            content_type = answer.headers.get("content-type", "application/json")
            return ServerRefusal(status=answer.status, body=answer.body, content_type=content_type)
        if answer.object is None:
            raise UpstreamUnavailable(f"{grant.connection} did not answer with an object")
        return answer.object


def _readable(answer: ServerAnswer) -> Mapping[str, Any]:
    if answer.status != 200 or answer.object is None:
        raise UnreadableDiscovery(f"discovery was answered with status {answer.status}")
    return answer.object
