"""STS for tests: moto's server in a process of its own, behind a front that keeps what it was asked and can fail."""

from __future__ import annotations

import http.server
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from tests.support.servers import moto

AWS_ENV = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "development",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass
class Sts:
    """`failure` is (status, AWS error code) to answer instead; "drop" ends the connection; `delay` in seconds."""

    url: str
    asked: list[dict[str, str]] = field(default_factory=list)
    failure: tuple[int, str] | None = None
    delay: float = 0


@contextmanager
def sts() -> Iterator[Sts]:
    """Run both."""
    with moto() as port, _front(f"http://127.0.0.1:{port}/") as front:
        yield front


@contextmanager
def _front(moto: str) -> Iterator[Sts]:
    seen: Sts
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.asked.append(dict(parse_qsl(body.decode())))
            time.sleep(seen.delay)
            if seen.failure is None:
                names = ("authorization", "content-type", "x-amz-date")
                headers = {name: self.headers[name] for name in names}
                with opener.open(urllib.request.Request(moto, body, headers)) as reply:
                    self._answer(reply.status, reply.read())
            elif seen.failure[1] != "drop":
                status, code = seen.failure
                error = f"<Error><Code>{code}</Code><Message>for arn:aws:iam::1</Message></Error>"
                self._answer(status, f"<ErrorResponse>{error}</ErrorResponse>".encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    seen = Sts(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
