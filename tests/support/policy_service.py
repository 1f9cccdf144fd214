"""An admission webhook over real HTTPS, in a thread: what it is asked is kept, what it answers can be bent."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from addons.edge.authority import open_authority
from tests.support.proxy import pem

Answering = Callable[[dict[str, Any]], dict[str, Any]]


def verdict(review: dict[str, Any], allowed: bool, **more: Any) -> dict[str, Any]:
    """A well-formed answer to a review."""
    response = {"uid": review["request"]["uid"], "allowed": allowed, **more}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


@dataclass
class Service:
    """`answer` makes the reply to a review, or writes one of its own to the handler and returns None."""

    url: str
    ca_file: Path
    answer: Callable[[dict[str, Any], http.server.BaseHTTPRequestHandler], Any]
    asked: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def policy_service(folder: Path, name: str = "localhost") -> Iterator[Service]:
    """Run one, with a certificate for `name` of a CA of its own; it allows everything until told otherwise."""
    authority = open_authority(folder / "policy-ca", datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem(authority, folder, name))
    service: Service

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["content-length"])))
            service.asked.append(review)
            if (found := service.answer(review, self)) is not None:
                body = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://localhost:{server.server_address[1]}/admit"
    service = Service(url, authority.certificate_file, lambda review, _: verdict(review, True))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
