"""The policy in force in this worker. Another one takes its place whole, or not at all.

Each exchange keeps the policy it began with (`Exchange.policy`), so a request is never judged by two. A cluster's name
always stands for the same cluster as long as the process lives: what was changed about where it is, or how its tokens
are made, waits for a restart, so that no credential of one cluster is ever sent to another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from addons.connections import Connections
from addons.core.connection import Connection, by_target
from addons.edge.oidc import Verifier
from addons.edge.upstream import Upstream
from addons.policy import Policy


class InForce:
    """`policy` is what requests that begin now are judged by; `since` is when it was loaded, in Unix seconds.

    `known` is every cluster that this process has known by name; who makes credentials looks there.
    """

    def __init__(
        self,
        policy: Policy,
        now: Callable[[], float],
        connections: Connections,
        verifier: Verifier,
        upstream: Upstream,
        known: dict[str, Connection],
    ) -> None:
        self.policy, self.since, self.known = policy, now(), known
        self._now, self._connections, self._verifier, self._upstream = now, connections, verifier, upstream

    def describe(self) -> Mapping[str, str]:
        """For the log."""
        return {"policy": self.policy.version, "summary": self.policy.summary()}

    async def replace(self, policy: Policy) -> list[str]:
        """Put a policy in force; the identity providers that could not be reached, whose tokens are refused meanwhile.

        The new ones' keys are fetched first. From there on nothing waits: no request can begin in between.
        """
        issuers, unreachable = await self._verifier.prepare_for(policy.providers)
        self._upstream.register(policy.connections)
        self.known |= policy.connections
        self._connections.replace(by_target(policy.connections))
        self._verifier.use(issuers)
        self.policy, self.since = policy, self._now()
        return unreachable
