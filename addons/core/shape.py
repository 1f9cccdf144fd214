"""Which later requests are the like of one that was approved for longer than once.

It is the same request again: same caller (issuer, subject, who acts for it, owner), connection, intent, method, target
with all of its query (so argv, container, terminal), body, and object (by uid; where a rule reads what it is or will
be, in the same state), asked about by the same rules on the same terms for the same reasons. Where all those rules have
`anyName`, which none that reads objects may have, the name and the object may be others; the namespace may not.
Whether it is for one session alone is for the approver to say.

What nobody can know beforehand has no like: collections that are deleted, and streams that take input.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from addons.core.approval import canonical_method
from addons.core.approval_terms import NO_OFFER, Offer, offer
from addons.core.decision import Match
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest

_VOLATILE = frozenset({"resourceVersion", "managedFields", "generation", "uid", "creationTimestamp"})
"""Of an object's metadata: what each write, or dry run, changes by itself. The uid that counts is another field."""


def offered(request: KubeRequest, asking: Sequence[Match]) -> Offer:
    """How far an approval of this request may go, by the rules that ask and by what can be known of a like one."""
    if not asking or not request.target or not request.is_resource_request or request.verb == "deletecollection":
        return NO_OFFER
    if request.is_connect and (request.subresource != "exec" or request.stdin):
        return NO_OFFER
    return offer([match.terms for match in asking])


def shape(
    identity: Identity, connection: str, intent: str, request: KubeRequest, asking: Sequence[Match], uid: str,
    body: bytes, content_type: str, objects: Sequence[Mapping[str, Any] | None],
) -> str:  # fmt: skip
    """SHA-256, in hex, over all that makes two requests alike; "" for a request that has no like.

    `uid` is that of the object it is about, `objects` are those that rules have read, before and after.
    """
    allowed = offered(request, asking)
    if allowed == NO_OFFER:
        return ""
    path, _, query = request.target.partition("?")
    about: list[Any] = [path, uid, *map(_stable, objects)]
    if allowed.any_name and request.name:
        about = [request.api_group, request.api_version, request.namespace, request.resource, request.subresource]
        about += request.parts[3:]
    fields = [
        [identity.iss, identity.sub, identity.act, identity.owner],
        [connection, intent, canonical_method(request), allowed.any_name],
        [*about, query, content_type, hashlib.sha256(body).hexdigest()],
        sorted([match.rule, match.reason, *asdict(match.terms).values()] for match in asking),
    ]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _stable(content: Mapping[str, Any] | None) -> Any:
    if content is None or not isinstance(metadata := content.get("metadata"), Mapping):
        return content
    dropped = _VOLATILE | ({"name"} if "generateName" in metadata else set())
    kept = {name: value for name, value in metadata.items() if name not in dropped}
    return {**content, "metadata": kept}
