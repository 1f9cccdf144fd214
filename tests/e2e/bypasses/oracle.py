"""What an attack came to, by the API server's own audit log: how it read each request, and whether there was one."""

from __future__ import annotations

from datetime import UTC, datetime

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import eventually
from tests.e2e.raw import ask, request
from tests.e2e.readings import agree, reading
from tests.e2e.records import GATEWAY_AGENT, ApiServer, Event, gateway_events
from tests.e2e.wiretap import Wiretap


class Oracle:
    """Everything since it was made, by anybody outside of the cluster itself, credentials or not."""

    def __init__(self, gateway: GatewayEnv, token: str, wire: Wiretap, api_server: ApiServer, fence: str) -> None:
        self._gateway, self._token, self._wire, self._api_server, self._fence = gateway, token, wire, api_server, fence
        self._sent, self._connections, self._mark = wire.mark(), wire.connections, api_server.mark()
        self._began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def silent(self) -> bool:
        """True if the gateway has not even dialled, and sent nothing on what was open."""
        return (self._wire.mark(), self._wire.connections) == (self._sent, self._connections)

    def sent(self) -> bytes:
        """What the gateway sent."""
        return self._wire.since(self._sent)

    def events(self) -> list[Event]:
        """The audit events of what arrived, in order; the gateway's own reads and dry runs are not among them.

        A request that is known to arrive follows, so that what is not there by then was never sent.
        """
        path = f"/api/v1/namespaces/{self._fence}"
        assert ask(self._gateway, request(self._gateway, path, token=self._token)).status == 404
        eventually("the fence's audit event", lambda: self._api_server.about(self._mark, self._fence))
        since = self._api_server.strangers(self._mark)  # with the ends of what had arrived before
        strangers = [e for e in since if self._fence not in e["requestURI"] and self._began <= _received(e)]
        forwarded = {event["auditID"] for event in gateway_events(self._gateway)} if strangers else set()
        return [event for event in strangers if event["auditID"] in forwarded or not self._own(event)]

    def _own(self, event: Event) -> bool:
        """A question that the gateway asks by itself, in the role that it judges for."""
        asks = event.get("userAgent") == GATEWAY_AGENT or "dryRun=All" in event["requestURI"]
        return asks and self._api_server.by_role_session(event)

    def arrived(self) -> list[str]:
        """`verb requestURI` of each of them."""
        return [f"{event['verb']} {event['requestURI']}" for event in self.events()]

    def readings(self) -> list[str]:
        """How the API server read each request that arrived; the gateway's own record must say the same."""
        arrived = {event["auditID"]: event for event in self.events()}
        ours = {event["auditID"]: event for event in gateway_events(self._gateway) if event["auditID"] in arrived}
        for key, theirs in arrived.items():
            assert agree(ours[key], theirs), (reading(ours[key]), reading(theirs))
        return [reading(event) for event in arrived.values()]


def _received(event: Event) -> str:
    received: str = event["requestReceivedTimestamp"]
    return received
