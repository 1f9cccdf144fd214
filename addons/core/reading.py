"""A whole request, read once: target, upgrade, body, and whether the cluster has such a resource.

`read` is what the gateway does and what `chaperone explain` shows. It never decides by policy: a refusal here means
that the request cannot be read one way (400, 415), or that the cluster's API has no such request (403).
Sources: `IsUpgradeRequest` in k8s.io/streaming/pkg/httpstream; RFC 9110, section 7.8; RFC 6455, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from addons.core.bodies import NO_BODY, Body, UnreadableBody, UnsupportedBody, body_of, is_dry_run
from addons.core.command import Command, command_of
from addons.core.delete_options import options_of_object, options_of_protobuf
from addons.core.kube_request import KubeRequest
from addons.core.protobuf_envelope import message_of
from addons.core.refusal import Refusal
from addons.core.request_info import request_info
from addons.core.request_line import AmbiguousRequest, canonical_target, parse_target
from addons.core.resources import Resources, refusal_of

Headers = Sequence[tuple[str, str]]

_PROTOCOLS = {"websocket": "websocket", "spdy/3.1": "spdy"}
_CACHED_REQUESTS = 4096
_CACHED_LENGTH = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`refusal` is why it goes no further; `request` is set as far as it could be read, so that records show it."""

    command: Command
    request: KubeRequest | None = None
    body: Body = NO_BODY
    refusal: Refusal | None = None


def read(method: str, target: str, headers: Headers, raw: bytes, resources: Resources) -> Reading:
    """Everything one request says. `raw` is the body as sent; header names may have any case. Raises nothing."""
    try:
        request = read_target(method, target)
    except AmbiguousRequest as error:
        return Reading(command=command_of(headers, None), refusal=_ambiguous(error))
    command = command_of(headers, request)
    try:
        request = _upgraded(request, headers)
        body = body_of(method, headers, raw, opaque=request.is_connect)
        if body is not NO_BODY:
            request = _decided_by_body(request, body, raw)
    except AmbiguousRequest as error:
        return Reading(request=request, command=command, refusal=_ambiguous(error))
    except UnreadableBody as error:
        return Reading(request=request, command=command, refusal=_unreadable(error))
    return Reading(request=request, command=command, body=body, refusal=refusal_of(request, resources))


def _decided_by_body(request: KubeRequest, body: Body, raw: bytes) -> KubeRequest:
    """With the options that a DELETE has in its body: its query does not count then. Raises UnreadableBody."""
    if request.verb not in ("delete", "deletecollection"):
        return request
    protobuf = body.format == "protobuf"
    options = options_of_protobuf(message_of(raw)) if protobuf else options_of_object(body.mapping or {})
    return replace(request, dry_run=is_dry_run(request, body), delete_options=options)


def read_request(method: str, target: str, headers: Headers) -> KubeRequest:
    """The request without its body. Raises AmbiguousRequest."""
    return _upgraded(read_target(method, target), headers)


def read_target(method: str, target: str) -> KubeRequest:
    """The request line alone. Raises AmbiguousRequest. Pure, so what repeats is remembered."""
    return _remembered(method, target) if len(target) <= _CACHED_LENGTH else _read_target(method, target)


def upgrade_of(headers: Headers) -> str:
    """The protocol a request asks to change to: `websocket`, `spdy`, or "" for none.

    Raises AmbiguousRequest for everything the API server or a proxy on the way could take for an upgrade and is not
    exactly one of these.
    """
    wanted: list[str] = []
    versions: list[str] = []
    named = False
    for name, value in headers:
        if len(name) not in _LENGTHS:
            continue
        lower = name.lower()
        if lower == "upgrade":
            wanted.append(value)
        elif lower == "connection":
            named = named or "upgrade" in value.lower()
        elif lower == "sec-websocket-version":
            versions.append(value.strip())
    if not wanted and not named and not versions:
        return ""
    return _checked(wanted, named, versions)


_LENGTHS = frozenset(map(len, ("upgrade", "connection", "sec-websocket-version")))


def _checked(wanted: list[str], named: bool, versions: list[str]) -> str:
    if len(wanted) != 1 or not named:
        raise AmbiguousRequest("an upgrade needs one Upgrade header and a Connection header that names it")
    protocol = _PROTOCOLS.get(wanted[0].strip().lower())
    if protocol is None:
        raise AmbiguousRequest("the Upgrade header names neither websocket nor SPDY/3.1, or both")
    if versions != (["13"] if protocol == "websocket" else []):
        raise AmbiguousRequest("a WebSocket upgrade needs Sec-WebSocket-Version: 13 exactly once, and SPDY none")
    return protocol


def _upgraded(request: KubeRequest, headers: Headers) -> KubeRequest:
    upgrade = upgrade_of(headers)
    if not upgrade:
        return request
    if not request.is_connect:
        raise AmbiguousRequest(
            "only exec, attach, port-forward and proxy may change the protocol",
            "watch and follow logs over plain HTTP, as kubectl does",
        )
    return replace(request, upgrade=upgrade)


def _read_target(method: str, target: str) -> KubeRequest:
    path, query = parse_target(target)
    request = request_info(method, path, query)
    # Behind a proxy subresource the backend may tell `…/proxy` from `…/proxy/`; the API server never does.
    kept = "/" if request.subresource == "proxy" and target.partition("?")[0].endswith("/") else ""
    return replace(request, target=canonical_target(path + kept, query))


_remembered = lru_cache(maxsize=_CACHED_REQUESTS)(_read_target)


def _ambiguous(error: AmbiguousRequest) -> Refusal:
    return Refusal(code=400, rule="ambiguous-request", why=error.reason, hint=error.hint)


def _unreadable(error: UnreadableBody) -> Refusal:
    if isinstance(error, UnsupportedBody):
        return Refusal(code=415, rule="unsupported-body", why=str(error), hint="send JSON, as kubectl does")
    hint = "send what `kubectl --dry-run=client -o json` prints"
    return Refusal(code=400, rule="unreadable-body", why=str(error), hint=hint)
