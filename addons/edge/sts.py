"""Tokens of EKS connections: a role session from AWS STS, and the presigned token made of it.

boto3 blocks and runs in threads of its own. Failures say that it is the gateway's side and give AWS's error code; AWS's
text, which names accounts, is only logged.
"""

from __future__ import annotations

import asyncio
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

from addons.core.authorization import Bearer
from addons.core.connection import Connection
from addons.core.grant import Grant
from addons.core.safe_url import is_loopback
from addons.core.secret import Secret
from addons.core.sts import (
    TOKEN_SECONDS,
    TOKEN_URL_SECONDS,
    RoleRequest,
    role_request,
    token_from_url,
    token_url,
)
from addons.edge.aws_models import aws_session
from addons.edge.credentials import CredentialUnavailable, Minted

log = structlog.get_logger()

RENEW_TOKEN_AFTER = 10 * 60.0
RENEW_ROLE_BEFORE = 5 * 60.0
_LAST_SECONDS = 60.0
_EMITTER = HierarchicalEmitter()
_PERMANENT = frozenset(  # what waiting does not mend: AWS's codes, and botocore's names of a missing set-up
    "AccessDenied ValidationError MalformedPolicyDocument PackedPolicyTooLarge NoCredentialsError"
    " PartialCredentialsError ProfileNotFound".split()
)


@dataclass(frozen=True, slots=True)
class Role:
    """A role session. `expires_at` is Unix seconds."""

    keys: Keys = field(repr=False)
    expires_at: float


class EksTokens:
    """Assumes roles, and makes tokens. Belongs to one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="sts")
        self._sts = _StsClients()

    async def mint(self, grant: Grant, connection: Connection, held: object, now: float) -> Minted:
        """A token made of the held role session, or of a new one when that ends soon. Raises CredentialUnavailable."""
        role = held if isinstance(held, Role) and held.expires_at - now > RENEW_ROLE_BEFORE else None
        loop = asyncio.get_running_loop()
        try:
            if role is None:
                request = role_request(grant, now)
                role = await loop.run_in_executor(self._threads, self._sts.assume_role, connection, request)
            token = await loop.run_in_executor(self._threads, presigned_token, role.keys, connection)
        except ClientError as error:
            raise _unavailable(grant, str(error.response["Error"].get("Code", "Unknown")), error) from None
        except BotoCoreError as error:
            raise _unavailable(grant, type(error).__name__, error) from None
        return Minted(
            connection=connection.name,
            bearer=Bearer(token),
            minted_at=now,
            renew_at=min(now + RENEW_TOKEN_AFTER, role.expires_at - RENEW_ROLE_BEFORE),
            usable_until=min(now + TOKEN_SECONDS, role.expires_at - _LAST_SECONDS),
            held=role,
        )

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _unavailable(grant: Grant, code: str, error: Exception) -> CredentialUnavailable:
    log.warning("no credential", connection=grant.connection, role=grant.role, grant=grant.id, error=str(error))
    return CredentialUnavailable(grant.connection, code, code not in _PERMANENT)


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

    def assume_role(self, connection: Connection, request: RoleRequest) -> Role:
        """A role session. Blocks. Raises botocore's errors, after its own retries with jitter."""
        reply = self._client(connection).assume_role(
            RoleArn=request.role_arn,
            RoleSessionName=request.role_session_name,
            SourceIdentity=request.source_identity,
            Tags=[{"Key": key, "Value": value} for key, value in request.tags],
            DurationSeconds=request.duration_seconds,
            Policy=request.policy,
        )
        keys = reply["Credentials"]
        return Role(
            Keys(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]),
            keys["Expiration"].timestamp(),
        )

    def _client(self, connection: Connection) -> Any:
        endpoint = connection.sts_endpoint_url
        with self._lock:
            self._session = self._session or _session()
            key = (connection.region, endpoint)
            if key not in self._clients:
                config = Config(
                    ignore_configured_endpoint_urls=True,  # those of other programs of this machine
                    connect_timeout=3,
                    read_timeout=5,
                    retries={"mode": "standard", "total_max_attempts": 3},
                    proxies={} if is_loopback(endpoint) else None,
                    user_agent_extra="kube-chaperone",
                )
                self._clients[key] = self._session.client(
                    "sts", region_name=connection.region, endpoint_url=endpoint or None, config=config
                )
            return self._clients[key]


def _session() -> boto3.Session:
    """Its STS is the region's own, and the FIPS one where AWS_USE_FIPS_ENDPOINT or the profile asks for that."""
    return aws_session(sts_regional_endpoints="regional")
