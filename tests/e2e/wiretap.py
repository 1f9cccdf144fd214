"""A tap on the wire between a gateway and the API server: relays every byte, keeps those that the gateway sends."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from scripts.devenv.certificates import Authority
from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_conf import AGENT_HOST, Upstream


@dataclass
class Wiretap:
    """`upstream` is what a gateway is told of the cluster so that it dials the tap."""

    upstream: Upstream
    sent: bytearray = field(default_factory=bytearray)
    connections: int = 0

    def mark(self) -> int:
        """How much has been sent so far."""
        return len(self.sent)

    def since(self, mark: int = 0) -> bytes:
        """What was sent since, in the order of arrival."""
        return bytes(self.sent[mark:])


@contextmanager
def wiretap(cluster: Cluster, folder: Path) -> Iterator[Wiretap]:
    """Runs one in a thread, with a certificate authority of its own."""
    authority = Authority(folder)
    pair = authority.issue("tap", "tap", hosts=[AGENT_HOST])
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(pair.certificate, pair.key)
    outside = ssl.create_default_context(cafile=cluster.api_ca)
    listener = socket.create_server(("127.0.0.1", 0))
    address, ca_file = f"127.0.0.1:{listener.getsockname()[1]}", str(authority.pair.certificate)
    tap = Wiretap(replace(Upstream.of(cluster), address=address, ca_file=ca_file))
    port = urlsplit(cluster.api_url).port

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tap.connections += 1
        answers, server = await asyncio.open_connection("127.0.0.1", port, ssl=outside, server_hostname=AGENT_HOST)
        await asyncio.gather(_copy(reader, server, tap.sent), _copy(answers, writer, None))

    loop = asyncio.new_event_loop()
    serving = loop.run_until_complete(asyncio.start_server(relay, sock=listener, ssl=inside))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield tap
    finally:
        loop.call_soon_threadsafe(serving.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, kept: bytearray | None) -> None:
    """Until the source ends; then the target is closed too."""
    with suppress(OSError):
        while chunk := await source.read(65536):
            if kept is not None:
                kept += chunk
            target.write(chunk)
            await target.drain()
    target.close()
