"""Whether clusters are reached from here, and for how long their CAs are good: looked at when asked, once a minute.

Only TLS is spoken: whether a role is had and accepted takes a credential, which `chaperone connections check` asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from addons.core.connection import Connection
from addons.edge.probes import examine_connection

KNOWN_SECONDS = 60.0
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`remedy` is empty where nothing is to be done. Times are Unix seconds; `ca_expires_at` is 0 for no known end."""

    reachable: bool
    detail: str
    remedy: str = ""
    ca_expires_at: float = 0.0
    checked_at: float


class HealthBoard:
    """What was found of each connection, by name. `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._known: dict[str, tuple[Connection, Health]] = {}
        self._looking = asyncio.Lock()

    async def look(self, connections: Iterable[Connection]) -> Mapping[str, Health]:
        """All of them, as of a minute ago at most; takes some seconds where one does not answer."""
        wanted = list(connections)
        async with self._looking:  # whoever else asks meanwhile gets what is found
            old = [each for each in wanted if not self._is_fresh(each)]
            slots = asyncio.Semaphore(_AT_ONCE)
            found = await asyncio.gather(*(self._looked_at(each, slots) for each in old))
            self._known = {each.name: self._known[each.name] for each in wanted if each not in old} | {
                each.name: (each, health) for each, health in zip(old, found, strict=True)
            }
            return {name: health for name, (_, health) in self._known.items()}

    def _is_fresh(self, connection: Connection) -> bool:
        known = self._known.get(connection.name)
        return known is not None and known[0] == connection and self._now() < known[1].checked_at + KNOWN_SECONDS

    async def _looked_at(self, connection: Connection, slots: asyncio.Semaphore) -> Health:
        async with slots:
            return await asyncio.to_thread(connection_health, connection, self._now())


def connection_health(connection: Connection, now: float) -> Health:
    """Blocks for some seconds at most."""
    try:
        expires = _expires_at(Path(connection.ca_file).read_bytes())
        found = examine_connection(connection)
    except (OSError, ValueError) as error:
        remedy = "check caFile of the connection"
        return Health(reachable=False, detail=f"its CA file: {error}", remedy=remedy, checked_at=now)
    return Health(reachable=found.ok, detail=found.detail, remedy=found.remedy, ca_expires_at=expires, checked_at=now)


def _expires_at(pem: bytes) -> float:
    """When the last of the CAs ends: until then one of them may be good."""
    return max((each.not_valid_after_utc.timestamp() for each in x509.load_pem_x509_certificates(pem)), default=0.0)
