"""What a record must never hold: bearer tokens and credentials, in headers and request targets.

This scrubs by place and by the shape of the two tokens that pass the gateway. Values inside of bodies are masking's
business; free text that happens to hold some other secret is the detectors'.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_plus

from addons.core.headers import BEARER_SUBPROTOCOL, Fields

SCRUBBED = "[scrubbed]"
_SCRUBBED = SCRUBBED.encode()
_CREDENTIAL_HEADERS = frozenset(
    (
        b"authorization proxy-authorization cookie set-cookie www-authenticate proxy-authenticate x-api-key"
        b" x-amz-security-token x-auth-token x-vault-token"
    ).split()
)
_HARMLESS_HEADERS = frozenset(
    b"host accept accept-encoding connection content-length content-type date cache-control transfer-encoding".split()
)
_CREDENTIAL_PARAMETERS = frozenset(
    (
        "access_token id_token refresh_token token bearer_token authorization password client_secret api_key apikey"
        " x-amz-signature x-amz-credential x-amz-security-token"
    ).split()
)
_BEARER = re.compile(rb"(" + re.escape(BEARER_SUBPROTOCOL.encode()) + rb")[^,\s]*", re.IGNORECASE)
_BASIC = re.compile(rb"(\bbasic\s+)[\w+/=.-]{8,}", re.IGNORECASE)
_TOKENS = re.compile(r"k8s-aws-v1\.[\w.%-]+|eyJ[\w-]{6,}\.eyJ[\w-]+\.[\w-]*")


def scrub_headers(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """The same headers, with the value of each that carries a credential replaced."""
    return tuple(_scrub_header(name, value) for name, value in fields)


def scrub_target(target: str) -> str:
    """A request target with the values of credential parameters, and anything shaped like a token, replaced."""
    path, mark, query = target.partition("?")
    if mark:
        query = "&".join(_scrub_pair(pair) for pair in query.split("&"))
    return scrub_text(f"{path}{mark}{query}")


def scrub_pairs(query: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The pairs of a query with the values of credential parameters replaced."""
    if all(name.lower() not in _CREDENTIAL_PARAMETERS for name, _ in query):
        return query
    return tuple((name, SCRUBBED if name.lower() in _CREDENTIAL_PARAMETERS else value) for name, value in query)


def scrub_text(text: str) -> str:
    """Text with JWTs and EKS tokens replaced."""
    return _TOKENS.sub(SCRUBBED, text) if "eyJ" in text or "k8s-aws-v1" in text else text


def scrub_values(value: Any) -> Any:
    """JSON's values with `scrub_text` applied to every text in them, keys included."""
    match value:
        case str():
            return scrub_text(value)
        case dict():
            return {scrub_text(key): scrub_values(item) for key, item in value.items()}
        case list():
            return [scrub_values(item) for item in value]
    return value


def holds_token(raw: bytes) -> bool:
    """False for most texts: in those nothing is shaped like a token."""
    return b"eyJ" in raw or b"k8s-aws-v1" in raw


def _scrub_header(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    lower = name.lower()
    if lower in _HARMLESS_HEADERS:
        return name, value
    if lower in _CREDENTIAL_HEADERS:
        return name, _SCRUBBED
    if lower == b"sec-websocket-protocol":
        return name, _BEARER.sub(rb"\1" + _SCRUBBED, value)
    if holds_token(value):
        return name, scrub_text(value.decode("latin-1")).encode("latin-1")
    if b"basic" not in value.lower():
        return name, value
    return name, _BASIC.sub(rb"\1" + _SCRUBBED, value)  # in a header whose name was malformed, or folded into another


def _scrub_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={SCRUBBED}" if equals and unquote_plus(name).lower() in _CREDENTIAL_PARAMETERS else pair
