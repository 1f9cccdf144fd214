"""The cluster's STS behind a switch: what it is asked is kept, and it can be away, slow, or give short sessions."""

from __future__ import annotations

import http.server
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from scripts.devenv import plain_http

_EXPIRATION = re.compile(rb"<Expiration>[^<]*</Expiration>")
_SECRETS = re.compile(rb"<(?:SecretAccessKey|SessionToken)>([^<]*)<")


@dataclass
class StsSwitch:
    """`lifetime` is what is said of each session's, in seconds; `delay` is how long an answer takes."""

    endpoint: str
    """Of the STS behind it."""
    lifetime: float = 3600
    delay: float = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    """The parameters of each request that was answered, in order."""
    expirations: list[float] = field(default_factory=list)
    """When each session was said to end, in Unix seconds."""
    issued: list[str] = field(default_factory=list)
    """The secret parts of all sessions."""
    _port: int = 0
    _server: http.server.ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """What a gateway is told."""
        return f"http://127.0.0.1:{self._port}"

    def on(self) -> None:
        """Listen, where it did before."""
        switch = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = switch._answer(body, self.headers)
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def off(self) -> None:
        """From now on connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, body: bytes, headers: object) -> tuple[int, bytes]:
        time.sleep(self.delay)
        kept = {name: str(headers[name]) for name in ("Authorization", "Content-Type")}  # type: ignore[index]
        reply = plain_http.post(self.endpoint, content=body, headers=kept, timeout=30)
        expires_at = float(int(time.time() + self.lifetime))
        text = datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.issued += [found.decode() for found in _SECRETS.findall(reply.content)]
        self.asked.append(dict(parse_qsl(body.decode())))
        self.expirations.append(expires_at)
        return reply.status_code, _EXPIRATION.sub(f"<Expiration>{text}</Expiration>".encode(), reply.content)


@contextmanager
def sts_switch(endpoint: str) -> Iterator[StsSwitch]:
    """One in front of `endpoint`, switched on."""
    switch = StsSwitch(endpoint)
    switch.on()
    try:
        yield switch
    finally:
        switch.off()
