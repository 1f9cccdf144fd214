"""Whether a connection's roles can be had and are accepted: each is taken as for a grant, the cluster asked who it is.

A role session is opened and nothing is changed. Source: SelfSubjectReview, authentication.k8s.io/v1.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from addons.core.connection import EKS, IMPERSONATE, SERVICE_ACCOUNT, Connection
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.known_as import mistaken
from addons.edge.api_server import ApiServer, ServerAnswer, UpstreamUnavailable
from addons.edge.credentials import CredentialUnavailable, Minter
from addons.edge.probes import Finding
from addons.edge.service_accounts import REVIEW, REVIEWS

_SECONDS = 900.0
_SUBJECT = "chaperone-connections-check"


async def check_roles(
    connection: Connection, roles: Sequence[str], minters: Mapping[str, Minter]
) -> AsyncIterator[Finding]:
    """One finding for each of the roles that access rules give on this connection, as it is made."""
    if not roles:
        yield Finding(f"roles of {connection.name}", False, "no access rule gives one", "add one in rules/access")
    server = ApiServer(connection)
    try:
        for role in roles:
            yield await _check(connection, role, minters[connection.kind], server)
    finally:
        await server.close()


async def _check(connection: Connection, role: str, mint: Minter, server: ApiServer) -> Finding:
    what = f"role {role} on {connection.name}"
    now = time.time()
    try:
        async with asyncio.timeout(30):
            minted = await mint(_grant(connection, role, now), connection, None, now)
            answer = await server.ask(minted.bearer, "POST", REVIEWS, {"Content-Type": "application/json"}, REVIEW)
    except (CredentialUnavailable, TimeoutError) as error:
        return Finding(what, False, str(error) or "no answer in time", _ADVICE[connection.kind])
    except UpstreamUnavailable as error:
        return Finding(what, False, str(error), "is the API server reachable from the gateway?")
    return _judged(what, connection, role, answer)


def _judged(what: str, connection: Connection, role: str, answer: ServerAnswer) -> Finding:
    if answer.status == 401:
        return Finding(what, False, "the cluster does not accept it", _NOT_ACCEPTED[connection.kind].format(role=role))
    if answer.status == 403:
        return Finding(what, False, str((answer.object or {}).get("message")), _RIGHTS)
    status = (answer.object or {}).get("status")
    user = status.get("userInfo") if isinstance(status, dict) else None
    if not isinstance(user, dict):
        return Finding(what, False, f"the cluster answered with status {answer.status}", "look into its log")
    groups = ", ".join(map(str, user.get("groups") or []))
    mistake = mistaken(connection.kind, role, str(user.get("username")), _SUBJECT)
    return Finding(what, not mistake, f"the cluster knows it as {user.get('username')} of {groups}", mistake)


_RIGHTS = "give the gateway's user the rights that rules/connections/prod.yaml.example names, and no others"
_ADVICE = {
    EKS: "may the gateway's own role assume it (sts:AssumeRole, sts:TagSession, sts:SetSourceIdentity)?",
    SERVICE_ACCOUNT: "is there this service account, and may the gateway's user create its tokens?",
    IMPERSONATE: "does the user of impersonate.kubeconfig have a token, and can it be read?",
}
_NOT_ACCEPTED = {
    EKS: "map {role} in the cluster: by an EKS access entry with this principalArn, or in aws-auth; and is eks.cluster"
    " the cluster's name?",
    SERVICE_ACCOUNT: "is there still this service account, and is one of serviceAccount.audiences the API server's own"
    " (--api-audiences)?",
    IMPERSONATE: "is the token of the user of impersonate.kubeconfig still valid?",
}


def _grant(connection: Connection, role: str, now: float) -> Grant:
    who = Identity(iss="chaperone", sub=_SUBJECT, aud=(), exp=now + _SECONDS)
    return Grant(
        id=_SUBJECT, identity=who, connection=connection.name, role=role, not_before_at=now, expires_at=now + _SECONDS
    )
