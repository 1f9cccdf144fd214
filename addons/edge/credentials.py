"""Upstream credentials by grant: bearers, kept until they are due, whatever kind of connection makes them.

A token lives in this process's memory as a Secret and nowhere else. It is renewed ahead of time, so that no request
waits while a good one is there. Who makes it is one file per kind: `sts.py` for EKS, `service_accounts.py`,
`impersonation.py`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from addons.core.authorization import Bearer
from addons.core.connection import Connection
from addons.core.grant import Grant

log = structlog.get_logger()

_DEADLINE = 20.0
_FAILURE_SECONDS = 2.0
"""How long a failure answers for who makes tokens: a crowd of requests must not become a crowd of calls."""
_SETTLE_SECONDS = 10.0
_MOST = 4096
_MOST_IN_FLIGHT = 64


class CredentialUnavailable(RuntimeError):
    """The role's credential could not be had. `code` names the failure, or says it; holds no secret.

    `may_pass` is False for what waiting does not mend.
    """

    def __init__(self, connection: str, code: str, may_pass: bool = True) -> None:
        self.code, self.may_pass = code, may_pass
        super().__init__(f"no credential for {connection}: {code}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """The credential of one grant. `held` is what its maker wants to have again for the next. Times are Unix seconds.

    `rejected` is called when the cluster did not accept it.
    """

    connection: str
    bearer: Bearer
    minted_at: float
    renew_at: float
    usable_until: float
    held: object = field(default=None, repr=False)
    rejected: Callable[[], object] = lambda: None


Minter = Callable[[Grant, Connection, object, float], Awaitable[Minted]]
"""Makes a token for a grant of a connection, `held` from the last one, at a time in Unix seconds.

Raises CredentialUnavailable.
"""


class Credentials:
    """For clusters that may become more. `minters` are by kind of connection; belongs to one event loop."""

    def __init__(
        self, connections: Mapping[str, Connection], minters: Mapping[str, Minter], now: Callable[[], float]
    ) -> None:
        self._connections, self._minters, self._now = connections, minters, now
        self._minted: OrderedDict[str, Minted] = OrderedDict()
        self._failed: dict[str, tuple[float, CredentialUnavailable]] = {}
        self._flights: dict[str, asyncio.Task[Minted]] = {}

    def cached(self, grant: Grant) -> Bearer | None:
        """The grant's token if there is one that the cluster still accepts. Starts its renewal when that is due."""
        minted = self._minted.get(grant.id)
        now = self._now()
        if minted is None or now >= minted.usable_until:
            return None
        if now >= minted.renew_at and self._may_start(grant.id, now):
            self._start(grant)
        return minted.bearer

    async def token(self, grant: Grant) -> Bearer:
        """The grant's token, waiting only when there is none. Raises CredentialUnavailable."""
        if (token := self.cached(grant)) is not None:
            return token
        failed_until, failure = self._failed.get(grant.id, (0.0, None))
        if failure is not None and self._now() < failed_until:
            raise failure
        if grant.id not in self._flights and len(self._flights) >= _MOST_IN_FLIGHT:
            raise CredentialUnavailable(grant.connection, "TooManyInFlight")
        try:
            async with asyncio.timeout(_DEADLINE):  # shielded: who waits no longer takes nobody else's answer with him
                minted = await asyncio.shield(self._flights.get(grant.id) or self._start(grant))
        except TimeoutError:
            raise CredentialUnavailable(grant.connection, "Timeout") from None
        return minted.bearer

    def any_token(self, connection: str) -> Bearer | None:
        """A token for a connection that some grant has already, for questions every role gets the same answer to."""
        now = self._now()
        usable = (minted for minted in reversed(self._minted.values()) if now < minted.usable_until)
        return next((minted.bearer for minted in usable if minted.connection == connection), None)

    def drop(self, grant: Grant, token: Bearer) -> None:
        """Forget a token the cluster did not accept, unless it is so new that minting again would be a loop."""
        minted = self._minted.get(grant.id)
        if minted is not None and minted.bearer == token and self._now() - minted.minted_at > _SETTLE_SECONDS:
            minted.rejected()
            del self._minted[grant.id]

    def close(self) -> None:
        """Forget everything."""
        self._minted.clear()

    def _may_start(self, grant_id: str, now: float) -> bool:
        failed_until, _ = self._failed.get(grant_id, (0.0, None))
        return grant_id not in self._flights and now >= failed_until and len(self._flights) < _MOST_IN_FLIGHT

    def _start(self, grant: Grant) -> asyncio.Task[Minted]:
        task = self._flights[grant.id] = asyncio.ensure_future(self._mint(grant))
        task.add_done_callback(lambda done: self._landed(grant, done))
        return task

    def _landed(self, grant: Grant, task: asyncio.Task[Minted]) -> None:
        """Keep what was minted, or the failure for a moment; a renewal nobody waits for ends here too."""
        del self._flights[grant.id]
        if task.cancelled():
            return
        if (error := task.exception()) is None:
            self._minted[grant.id] = task.result()
            self._minted.move_to_end(grant.id)
            self._failed.pop(grant.id, None)
            if len(self._minted) > _MOST:
                self._minted.popitem(last=False)
        elif isinstance(error, CredentialUnavailable):
            now = self._now()
            self._failed = {key: value for key, value in self._failed.items() if value[0] > now}
            self._failed[grant.id] = (now + _FAILURE_SECONDS, error)
        else:
            log.error("renewal failed", connection=grant.connection, grant=grant.id, exc_info=error)

    async def _mint(self, grant: Grant) -> Minted:
        connection = self._connections[grant.connection]
        before = self._minted.get(grant.id)
        mint = self._minters[connection.kind]
        return await mint(grant, connection, before.held if before else None, self._now())
