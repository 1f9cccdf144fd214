"""Upstream credentials of EKS connections: a role session from AWS STS, and the presigned token made of it.

The token is a bearer token: it lives in this process's memory as a Secret and nowhere else. Credentials are renewed
ahead of time, so that no request waits for STS while a good one is there. boto3 blocks and runs in threads of its own.
Failures say that it is the gateway's side and give AWS's error code; AWS's text, which names accounts, is only logged.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import boto3
import structlog
from botocore.config import Config
from botocore.credentials import Credentials as Keys
from botocore.exceptions import BotoCoreError, ClientError
from botocore.hooks import HierarchicalEmitter
from botocore.model import ServiceId
from botocore.signers import RequestSigner

from addons.core.connection import Connection
from addons.core.grant import Grant
from addons.core.identity_provider import is_loopback
from addons.core.secret import Secret
from addons.core.sts import (
    TOKEN_SECONDS,
    TOKEN_URL_SECONDS,
    RoleRequest,
    public_endpoint,
    role_request,
    token_from_url,
    token_url,
)

log = structlog.get_logger()

RENEW_TOKEN_AFTER = 10 * 60.0
RENEW_ROLE_BEFORE = 5 * 60.0
_LAST_SECONDS = 60.0
_DEADLINE = 20.0
_FAILURE_SECONDS = 2.0
"""How long a failure answers for STS: a crowd of requests must not become a crowd of calls."""
_SETTLE_SECONDS = 10.0
_MOST = 4096
_MOST_IN_FLIGHT = 64
_EMITTER = HierarchicalEmitter()
_PERMANENT = frozenset(  # what waiting does not mend: AWS's codes, and botocore's names of a missing set-up
    "AccessDenied ValidationError MalformedPolicyDocument PackedPolicyTooLarge NoCredentialsError"
    " PartialCredentialsError ProfileNotFound".split()
)


class CredentialUnavailable(RuntimeError):
    """The role's credential could not be had. `code` is AWS's error code or the kind of failure; holds no secret."""

    def __init__(self, connection: str, code: str) -> None:
        self.code = code
        self.may_pass = code not in _PERMANENT
        super().__init__(f"no credential for {connection}: {code}")


@dataclass(frozen=True, slots=True)
class _Role:
    """A role session. Times are Unix seconds."""

    keys: Keys = field(repr=False)
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Minted:
    connection: str
    token: Secret
    role: _Role
    minted_at: float
    renew_at: float
    usable_until: float


class Credentials:
    """Credentials by grant, for clusters that may become more. Belongs to one event loop; `now` gives Unix seconds."""

    def __init__(self, connections: Mapping[str, Connection], now: Callable[[], float]) -> None:
        self._connections, self._now = connections, now
        self._minted: OrderedDict[str, _Minted] = OrderedDict()
        self._failed: dict[str, tuple[float, CredentialUnavailable]] = {}
        self._flights: dict[str, asyncio.Task[_Minted]] = {}
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="sts")
        self._sts = _StsClients()

    def cached(self, grant: Grant) -> Secret | None:
        """The grant's token if there is one that the cluster still accepts. Starts its renewal when that is due."""
        minted = self._minted.get(grant.id)
        now = self._now()
        if minted is None or now >= minted.usable_until:
            return None
        if now >= minted.renew_at and self._may_start(grant.id, now):
            self._start(grant)
        return minted.token

    async def token(self, grant: Grant) -> Secret:
        """The grant's token, waiting for STS only when there is none. Raises CredentialUnavailable."""
        if (token := self.cached(grant)) is not None:
            return token
        failed_until, failure = self._failed.get(grant.id, (0.0, None))
        if failure is not None and self._now() < failed_until:
            raise failure
        if grant.id not in self._flights and len(self._flights) >= _MOST_IN_FLIGHT:
            raise CredentialUnavailable(grant.connection, "TooManyInFlight")
        try:
            async with asyncio.timeout(_DEADLINE):  # shielded: who waits no longer takes nobody else's answer with him
                minted = await asyncio.shield(self._flights.get(grant.id) or self._start(grant))
        except TimeoutError:
            raise CredentialUnavailable(grant.connection, "Timeout") from None
        return minted.token

    def any_token(self, connection: str) -> Secret | None:
        """A token for a connection that some grant has already, for questions every role gets the same answer to."""
        now = self._now()
        usable = (minted for minted in reversed(self._minted.values()) if now < minted.usable_until)
        return next((minted.token for minted in usable if minted.connection == connection), None)

    def drop(self, grant: Grant, token: Secret) -> None:
        """Forget a token the cluster did not accept, unless it is so new that minting again would be a loop."""
        minted = self._minted.get(grant.id)
        if minted is not None and minted.token == token and self._now() - minted.minted_at > _SETTLE_SECONDS:
            del self._minted[grant.id]

    def close(self) -> None:
        """Stop the threads, and forget everything."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._minted.clear()

    def _may_start(self, grant_id: str, now: float) -> bool:
        failed_until, _ = self._failed.get(grant_id, (0.0, None))
        return grant_id not in self._flights and now >= failed_until and len(self._flights) < _MOST_IN_FLIGHT

    def _start(self, grant: Grant) -> asyncio.Task[_Minted]:
        task = self._flights[grant.id] = asyncio.ensure_future(self._mint(grant))
        task.add_done_callback(lambda done: self._landed(grant, done))
        return task

    def _landed(self, grant: Grant, task: asyncio.Task[_Minted]) -> None:
        """Keep what was minted, or the failure for a moment; a renewal nobody waits for ends here too."""
        del self._flights[grant.id]
        if task.cancelled():
            return
        if (error := task.exception()) is None:
            self._minted[grant.id] = task.result()
            self._minted.move_to_end(grant.id)
            self._failed.pop(grant.id, None)
            if len(self._minted) > _MOST:
                self._minted.popitem(last=False)
        elif isinstance(error, CredentialUnavailable):
            now = self._now()
            self._failed = {key: value for key, value in self._failed.items() if value[0] > now}
            self._failed[grant.id] = (now + _FAILURE_SECONDS, error)
        else:
            log.error("renewal failed", connection=grant.connection, grant=grant.id, exc_info=error)

    async def _mint(self, grant: Grant) -> _Minted:
        connection = self._connections[grant.connection]
        now = self._now()
        held = self._minted.get(grant.id)
        role = held.role if held and held.role.expires_at - now > RENEW_ROLE_BEFORE else None
        loop = asyncio.get_running_loop()
        try:
            if role is None:
                request = role_request(grant, now)
                role = await loop.run_in_executor(self._threads, self._sts.assume_role, connection, request)
            token = await loop.run_in_executor(self._threads, presigned_token, role.keys, connection)
        except ClientError as error:
            raise self._unavailable(grant, str(error.response["Error"].get("Code", "Unknown")), error) from None
        except BotoCoreError as error:
            raise self._unavailable(grant, type(error).__name__, error) from None
        return _Minted(
            connection=connection.name,
            token=token,
            role=role,
            minted_at=now,
            renew_at=min(now + RENEW_TOKEN_AFTER, role.expires_at - RENEW_ROLE_BEFORE),
            usable_until=min(now + TOKEN_SECONDS, role.expires_at - _LAST_SECONDS),
        )

    def _unavailable(self, grant: Grant, code: str, error: Exception) -> CredentialUnavailable:
        log.warning("no credential", connection=grant.connection, role=grant.role, grant=grant.id, error=str(error))
        return CredentialUnavailable(grant.connection, code)


def presigned_token(keys: Keys, connection: Connection) -> Secret:
    """The token a role session's keys make for a cluster. Computes for some 100 µs; calls nobody."""
    signer = RequestSigner(ServiceId("STS"), connection.region, "sts", "v4", keys, _EMITTER)
    request = {
        "method": "GET",
        "url": token_url(connection.region),
        "body": {},
        "headers": {"x-k8s-aws-id": connection.eks_cluster},
        "context": {},
    }
    url = signer.generate_presigned_url(request, "GetCallerIdentity", TOKEN_URL_SECONDS, connection.region)
    return Secret(token_from_url(url))


class _StsClients:
    """boto3 clients, one per endpoint, made in the thread that needs one first (it takes a while)."""

    def __init__(self) -> None:
        self._lock = Lock()  # clients may be shared by threads, making them may not
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}

    def assume_role(self, connection: Connection, request: RoleRequest) -> _Role:
        """A role session. Blocks. Raises botocore's errors, after its own retries with jitter."""
        reply = self._client(connection).assume_role(
            RoleArn=request.role_arn,
            RoleSessionName=request.role_session_name,
            SourceIdentity=request.source_identity,
            Tags=[{"Key": key, "Value": value} for key, value in request.tags],
            DurationSeconds=request.duration_seconds,
        )
        keys = reply["Credentials"]
        return _Role(
            Keys(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]),
            keys["Expiration"].timestamp(),
        )

    def _client(self, connection: Connection) -> Any:
        endpoint = connection.sts_endpoint_url or public_endpoint(connection.region)
        with self._lock:
            self._session = self._session or boto3.Session()
            key = (connection.region, endpoint)
            if key not in self._clients:
                config = Config(
                    connect_timeout=3,
                    read_timeout=5,
                    retries={"mode": "standard", "total_max_attempts": 3},
                    proxies={} if is_loopback(endpoint) else None,
                    user_agent_extra="kube-chaperone",
                )
                self._clients[key] = self._session.client(
                    "sts", region_name=connection.region, endpoint_url=endpoint, config=config
                )
            return self._clients[key]
