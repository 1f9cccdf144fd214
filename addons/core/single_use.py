"""Tokens that are for one caller at one place: the first use of a `jti` says where, and every other place is refused.

The place is the client's address and the connection. What a request asks for does not matter: kubectl makes many of one
token. Source: JSON Web Token (RFC 7519), section 4.1.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from addons.core.refusal import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A use of a token. `expires_at` is when the token does, in Unix seconds."""

    iss: str
    jti: str
    address: str
    connection: str
    expires_at: float


def client_address(host: str) -> str:
    """An address in one spelling: IPv4 within IPv6 is IPv4. Raises ValueError for anything else."""
    address = ip_address(host)
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or address)


def misuse(first: Use, use: Use) -> Refusal | None:
    """Why a use is refused, by the first one of the same token; None if it is at the same place.

    Says what differs and not what it was first: whoever reads it may be the one who took the token.
    """
    places = (("address", first.address, use.address), ("connection", first.connection, use.connection))
    other = [name for name, before, now in places if before != now]
    if not other:
        return None
    return Refusal(
        code=401,
        rule="token-used-elsewhere",
        why=f"your token: it may be used at one place only, and was first used with another {' and '.join(other)}",
        hint="get a token of your own for this place; if nobody else should have this one, tell the people who run the"
        " gateway the reference",
        retry="yes, with a new one",
    )
