"""What AWS STS is asked for on behalf of a grant, and the form of an EKS token.

Names are derived, never copied: a session name or tag that a caller controls byte for byte could imitate another's.
Deliberately without a session longer than an hour: the gateway itself mostly runs under a role, and STS caps a role
assumed from a role ("role chaining") at 3600 seconds. A longer grant is served by several sessions.
Sources: AWS STS API Reference, AssumeRole; IAM User Guide, "Rules for tagging in AWS STS";
sigs.k8s.io/aws-iam-authenticator pkg/token/token.go (the token's form and its verification).
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.session import session_id

MIN_DURATION = 900
MAX_DURATION = 3600
TOKEN_URL_SECONDS = 60
"""The `X-Amz-Expires` of the presigned URL; verifiers look at its date and accept it for 15 minutes."""
TOKEN_SECONDS = 14 * 60
"""How long a token is used: one minute less than verifiers accept it."""
SESSION_POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}'
"""Whatever the role may do in AWS, its sessions may do nothing. To say who they are, which is all a cluster is told,
needs no permission and cannot be denied. Source: AWS STS API Reference, GetCallerIdentity."""
_PREFIX = "k8s-aws-v1."
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_+=,.@-]+")
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9 _.:/=+@-]+")
_MAX_READABLE = 43
_MAX_TAG = 128
_HASH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRequest:
    """The parameters of AssumeRole, under its own names in snake case."""

    role_arn: str
    role_session_name: str
    source_identity: str
    tags: tuple[tuple[str, str], ...]
    duration_seconds: int
    policy: str = SESSION_POLICY


def role_request(grant: Grant, now: float) -> RoleRequest:
    """What to ask STS for, at `now` (Unix seconds)."""
    name = role_session_name(grant.identity)
    session = session_id(grant.identity, grant.connection, grant.intent)
    tags = (("owner", grant.identity.owner), ("intent", grant.intent), ("session", session), ("request", grant.request))
    return RoleRequest(
        role_arn=grant.role,
        role_session_name=name,
        source_identity=name,
        tags=tuple((key, clean) for key, value in tags if (clean := tag_value(value))),
        duration_seconds=max(MIN_DURATION, min(MAX_DURATION, int(grant.expires_at - now))),
    )


def role_session_name(identity: Identity) -> str:
    """A name for CloudTrail and the cluster's audit log: readable, 2-64 of `[A-Za-z0-9_+=,.@-]`, one per identity.

    The readable part is the subject as far as it goes; the rest is 80 bits of a digest over issuer, subject and actor,
    so that no two identities share a name.
    """
    readable = _NOT_IN_NAMES.sub("-", identity.sub).strip("-")[:_MAX_READABLE].rstrip("-")
    seed = "\x00".join((identity.iss, identity.sub, identity.act))
    digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
    return f"{readable or 'agent'}-{digest}"


def tag_value(text: str) -> str:
    """`text` with what STS does not take in a tag as `_`, at most 128 characters, never with the reserved `aws:`."""
    clean = _NOT_IN_TAGS.sub("_", text).strip()[:_MAX_TAG].rstrip()
    return f"_{clean}" if clean.lower().startswith("aws:") else clean


def public_endpoint(region: str) -> str:
    """The URL of a region's public STS endpoint."""
    return f"https://sts.{region}.{'amazonaws.com.cn' if region.startswith('cn-') else 'amazonaws.com'}"


def token_url(region: str) -> str:
    """The URL to presign: always of the region's public endpoint, the only hosts that verifiers accept."""
    return f"{public_endpoint(region)}/?Action=GetCallerIdentity&Version=2011-06-15"


def token_from_url(presigned_url: str) -> str:
    """The bearer token that a presigned GetCallerIdentity URL is."""
    return _PREFIX + base64.urlsafe_b64encode(presigned_url.encode("ascii")).decode("ascii").rstrip("=")
