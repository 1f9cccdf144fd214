"""The Authorization header among a request's raw header fields: taken out, or replaced by exactly one.

Proxy-Authorization, which carries a caller's token to the gateway itself, is only ever taken out. With
Authorization goes whom its token acts for (Impersonate-*): one without the other would be another's right.

Works on the fields themselves: once per request, and in a few hundred nanoseconds. Source: RFC 9110, section 11.6.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from addons.core.headers import Fields
from addons.core.secret import Secret

_NAME = b"authorization"
_PROXY_NAME = b"proxy-authorization"
_PROOF = b"dpop"
_IMPERSONATE = b"impersonate-"


@dataclass(frozen=True, slots=True)
class Bearer:
    """What a cluster accepts for a grant: a token, and the headers that say whom it acts for, if it is not its own."""

    token: Secret
    impersonated: Fields = ()


def take_authorization(fields: Fields) -> tuple[Fields, list[str]]:
    """The fields without any Authorization, and the values of those that were there, undecodable bytes escaped."""
    return _take(fields, _NAME)


def take_proxy_authorization(fields: Fields) -> tuple[Fields, list[str]]:
    """The same of Proxy-Authorization."""
    return _take(fields, _PROXY_NAME)


def take_proofs(fields: Fields) -> tuple[Fields, list[str]]:
    """The same of DPoP (RFC 9449, section 4.1)."""
    return _take(fields, _PROOF)


def with_authorization(fields: Fields, value: str) -> Fields:
    """The fields with this as their only Authorization."""
    return (*_without(fields, _NAME), (b"Authorization", value.encode("ascii")))


def with_bearer(fields: Fields, bearer: Bearer) -> Fields:
    """The fields with this as their only credential, and nobody impersonated but by it."""
    others = tuple(field for field in fields if not field[0].lower().startswith(_IMPERSONATE))
    return (*with_authorization(others, f"Bearer {bearer.token.reveal()}"), *bearer.impersonated)


def has_authorization(fields: Fields, but: str | None = None) -> bool:
    """True if there is any, or any but this one."""
    length, known = len(_NAME), None if but is None else but.encode("ascii")
    for name, value in fields:  # noqa: SIM110 - a loop is faster than any()
        if len(name) == length and name.lower() == _NAME and value != known:
            return True
    return False


def _take(fields: Fields, wanted: bytes) -> tuple[Fields, list[str]]:
    length = len(wanted)
    values = [
        value.decode("utf-8", "surrogateescape")
        for name, value in fields
        if len(name) == length and name.lower() == wanted
    ]
    return (_without(fields, wanted) if values else fields), values


def _without(fields: Fields, unwanted: bytes) -> Fields:
    length = len(unwanted)
    return tuple([field for field in fields if len(field[0]) != length or field[0].lower() != unwanted])
