"""Which request headers a caller may send. Everything that asserts an identity, a route or a hop is the gateway's own.

Sources: RFC 9110 section 7.6.1 (Connection); k8s.io/api/authentication/v1 (Impersonate-*); k8s.io/apiserver
authentication/request/headerrequest (X-Remote-*) and .../websocket/protocol.go (bearer token as a sub-protocol).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Fields = tuple[tuple[bytes, bytes], ...]

BEARER_SUBPROTOCOL = "base64url.bearer.authorization.k8s.io."
INTENT_HEADER = b"impersonate-extra-reason"
_MAX_INTENT = 500

_STRIPPED = frozenset(
    (
        b"proxy-authorization proxy-connection proxy-authenticate keep-alive te trailer forwarded x-real-ip via"
        b" client-ip true-client-ip x-client-ip cookie audit-id x-http-method-override x-http-method x-method-override"
        b" x-original-url x-rewrite-url http2-settings alt-used"
    ).split()
)
_STRIPPED_PREFIXES = (b"impersonate-", b"x-remote-", b"x-forwarded-", b"x-envoy-", b"x-chaperone-")
_NEVER_NAMED_BY_CONNECTION = frozenset(
    b"host upgrade content-length transfer-encoding content-type authorization".split()
)
"""Without them the request would be another: a body without its length is a request of its own."""
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PLAIN = re.compile(rb"[\t\x20-\x7e]*")


class ForbiddenHeader(ValueError):
    """A header two parsers could read differently. The message names it and never quotes its value."""


def scrub_request_headers(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """The fields that may go on, in order, of `Connection` only `close` and `upgrade`.

    Raises ForbiddenHeader for names that are no tokens, control bytes or non-ASCII in values, and headers that must be
    single but are not.
    """
    fields = tuple(fields)
    hop_by_hop = _named_by_connection(fields)
    kept = tuple(_kept(fields, hop_by_hop))
    _check_single(kept)
    return kept


def intent_of(fields: Iterable[tuple[bytes, bytes]]) -> str:
    """What the caller says it is doing: `--as-user-extra reason=…`, untrusted, printable, at most 500 characters."""
    value = next((value for name, value in fields if name.lower() == INTENT_HEADER), b"")
    text = value.decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)[
        :_MAX_INTENT
    ]


def host_matches(host_header: str, host: str, port: int) -> bool:
    """True if a Host header names the CONNECT target; port 443 may be left out (RFC 9110, section 7.2)."""
    return host_header.lower() in (authority(host, port), authority(host, port, always=True))


def authority(host: str, port: int, always: bool = False) -> str:
    """A server as clients name it: host:port, without port 443 unless it is there `always`."""
    name = f"[{host}]" if ":" in host else host
    return name if port == 443 and not always else f"{name}:{port}"


def _kept(fields: Fields, hop_by_hop: frozenset[bytes]) -> Iterable[tuple[bytes, bytes]]:
    for name, value in fields:
        if not _TOKEN.fullmatch(name):
            raise ForbiddenHeader("a header name is not a token")
        if not _PLAIN.fullmatch(value):
            raise ForbiddenHeader(f"header {name.decode()} contains control or non-ASCII bytes")
        lower = name.lower()
        if lower == b"transfer-encoding" and value.lower() != b"chunked":
            raise ForbiddenHeader("header transfer-encoding is not chunked")
        if lower == b"connection":
            if options := [token for token in _tokens(value) if token in (b"close", b"upgrade")]:
                yield name, b", ".join(options)
        elif lower == b"sec-websocket-protocol":
            if protocols := _without_bearer(value):
                yield name, protocols
        elif lower not in _STRIPPED and lower not in hop_by_hop and not lower.startswith(_STRIPPED_PREFIXES):
            yield name, value


def _named_by_connection(fields: Fields) -> frozenset[bytes]:
    """Headers that a Connection header declares hop-by-hop: removed first, so nothing of ours can be named there."""
    named = {token for name, value in fields if name.lower() == b"connection" for token in _tokens(value)}
    return frozenset(named - _NEVER_NAMED_BY_CONNECTION)


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip().lower() for token in value.split(b",")]


def _without_bearer(value: bytes) -> bytes:
    prefix = BEARER_SUBPROTOCOL.encode()
    kept = [token.strip() for token in value.split(b",") if not token.strip().startswith(prefix)]
    return b", ".join(token for token in kept if token)


def _check_single(fields: Fields) -> None:
    seen: set[bytes] = set()
    for name, _ in fields:
        lower = name.lower()
        if lower in _SINGLE and lower in seen:
            raise ForbiddenHeader(f"header {lower.decode()} occurs more than once")
        seen.add(lower)


_SINGLE = frozenset(
    (
        b"host authorization content-type content-length content-encoding transfer-encoding connection upgrade"
        b" sec-websocket-version sec-websocket-key user-agent expect origin"
    ).split()
)
