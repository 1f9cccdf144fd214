"""What channels send to, over real HTTP, in a thread: a webhook's receiver, or a stand-in for Slack's API.

Slack itself cannot run here. The stand-in answers `chat.postMessage`, `chat.update` and `chat.postEphemeral` as Slack's
documentation says, and keeps what it was asked; what Slack would refuse besides, such as a block that is too long, it
does not know.
"""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request as it came."""

    at: float
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """Its body."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """`answer` makes the reply to each request."""

    url: str
    answer: Callable[[Sent], Answer]
    sent: list[Sent] = field(default_factory=list)

    def until(self, count: int, seconds: float = 5.0) -> list[Sent]:
        """All that came, once it is at least so many."""
        end = time.monotonic() + seconds
        while len(self.sent) < count:
            assert time.monotonic() < end, f"{len(self.sent)} of {count} came within {seconds} s"
            time.sleep(0.005)
        return list(self.sent)

    def events(self, approval: str) -> list[str]:
        """What a webhook was told of an approval, in order."""
        return [each.document["event"] for each in self.sent if each.document["id"] == approval]


def ok(_: Sent) -> Answer:
    """A webhook that is content."""
    return 204, {}, b""


def slack_api(sent: Sent) -> Answer:
    """What Slack answers to a good request."""
    if sent.path.rpartition("/")[2] not in ("chat.postMessage", "chat.update", "chat.postEphemeral"):
        return 200, {}, b'{"ok":false,"error":"unknown_method"}'
    if sent.headers.get("authorization") != "Bearer xoxb-0123456789-abcdef":
        return 200, {}, b'{"ok":false,"error":"invalid_auth"}'
    stamp = sent.document.get("ts", f"{sent.at:.6f}")
    return 200, {}, json.dumps({"ok": True, "channel": "C12", "ts": stamp}).encode()


@contextmanager
def receiver(answer: Callable[[Sent], Answer] = ok, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run one, with `tls` over HTTPS."""
    found: Receiver

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            if len(body := self.rfile.read(length)) < length:
                return  # whoever sent it was killed over it
            headers = {name.lower(): value for name, value in self.headers.items()}
            sent = Sent(at=time.time(), path=self.path, headers=headers, body=body)
            found.sent.append(sent)
            status, fields, content = found.answer(sent)
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    found = Receiver(f"{scheme}://127.0.0.1:{server.server_address[1]}", answer)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
