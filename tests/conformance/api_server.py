"""Bytes to the API server itself, by nobody in particular, and its own audit log of how it read them.

Nobody may do anything, so whatever is sent changes nothing; it is audited all the same.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from addons.core.kube_request import KubeRequest
from scripts.devenv.cluster import Cluster
from scripts.devenv.components import ACCOUNT
from tests.e2e.agent import eventually
from tests.support.log_lines import lines_since

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Sent:
    """One request line with its headers."""

    method: str
    target: str
    headers: Headers = ()

    def raw(self, audit_id: str) -> bytes:
        """The whole request; `audit_id` is how its event is found."""
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: api", f"Audit-ID: {audit_id}", "Content-Length: 0"]
        lines += [f"User-Agent: {ACCOUNT}"]  # of nobody whom other tests look for
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


Reading = tuple[str, str, str, str, str, str, str]
"""Verb, group, version, resource, subresource, namespace, name; of no resource: verb and "" for the rest."""


def reading_of(request: KubeRequest) -> Reading:
    """How we read a request."""
    if not request.is_resource_request:
        return request.verb, "", "", "", "", "", ""
    return (
        request.verb,
        request.api_group,
        request.api_version,
        request.resource,
        request.subresource,
        request.namespace,
        request.name,
    )


class ApiServer:
    """One connection that is kept as long as it lasts."""

    def __init__(self, cluster: Cluster) -> None:
        address = urlsplit(cluster.api_url)
        self._address = str(address.hostname), int(address.port or 443)
        self._tls = ssl.create_default_context(cafile=cluster.api_ca)
        self._log = Path(cluster.audit_log)
        self._connection: ssl.SSLSocket | None = None

    def read(self, requests: Iterable[Sent]) -> list[Reading | None]:
        """How it read each; None for what it answered without reading it (bad escapes, no HTTP)."""
        mark = self._log.stat().st_size
        sent = list(requests)
        ids = [str(uuid.uuid4()) for _ in sent]
        for each, audit_id in zip(sent, ids, strict=True):
            self._send(each.raw(audit_id), each.method)
        fence = str(uuid.uuid4())
        self._send(Sent("GET", "/version").raw(fence), "GET")
        found = eventually("the fence's event", lambda: self._events(mark, fence))
        return [found.get(audit_id) for audit_id in ids]

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, raw: bytes, method: str) -> None:
        """Sends and reads the whole answer, whatever it is."""
        connection = self._connection or self._connect()
        connection.sendall(raw)
        response = http.client.HTTPResponse(connection, method=method)
        try:
            response.begin()
            response.read()
        except (http.client.HTTPException, OSError):
            self.close()
            return
        if response.will_close:
            self.close()

    def _connect(self) -> ssl.SSLSocket:
        raw = socket.create_connection(self._address, timeout=10)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = self._tls.wrap_socket(raw, server_hostname=self._address[0])
        return self._connection

    def _events(self, mark: int, fence: str) -> dict[str, Reading] | None:
        lines = lines_since(self._log, mark)
        if not any(fence.encode() in line for line in lines):
            return None
        events = [json.loads(line) for line in lines]
        return {event["auditID"]: _reading(event) for event in events}


def _reading(event: dict[str, object]) -> Reading:
    found = event.get("objectRef")
    if not isinstance(found, dict):
        return str(event["verb"]), "", "", "", "", "", ""
    keys = ("apiGroup", "apiVersion", "resource", "subresource", "namespace", "name")
    group, version, resource, subresource, namespace, name = (str(found.get(key, "")) for key in keys)
    return str(event.get("verb", "")), group, version, resource, subresource, namespace, name
