"""`chaperone watch` and `sessions open` in a process of its own, and what its pages' own API says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from scripts.devenv import forkserver
from scripts.devenv.forkserver import CHAPERONE


@dataclass(frozen=True, slots=True)
class Viewer:
    """A running mitmweb; `http` is its API as a browser with the printed address uses it."""

    process: forkserver.Process | subprocess.Popen[bytes]
    http: httpx.Client
    port: int

    def flows(self) -> list[dict[str, Any]]:
        """All flows it shows."""
        found: list[dict[str, Any]] = self.http.get("/flows").raise_for_status().json()
        return found

    def await_comments(self, comments: list[str]) -> None:
        """Returns when it shows flows with these comments, and no others."""
        deadline = time.monotonic() + 30
        while (seen := [flow["comment"] for flow in self.flows()]) != comments:
            assert time.monotonic() < deadline, seen
            time.sleep(0.1)

    def end(self) -> int:
        """Ends it as Ctrl-C does; its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)

    def content(self, flow: dict[str, Any], part: str) -> bytes:
        """`request` or `response` of a flow, or its WebSocket `messages`."""
        where = "messages/content/raw.json" if part == "messages" else f"{part}/content.data"
        return self.http.get(f"/flows/{flow['id']}/{where}").raise_for_status().content


def viewer(conf: Path, *arguments: str) -> AbstractContextManager[Viewer]:
    """Run `chaperone watch` for the gateway that `conf` configures."""
    return command_viewer("watch", "--port", "0", *arguments, conf=conf)


@contextmanager
def command_viewer(*command: str, conf: Path) -> Iterator[Viewer]:
    """Run a command that shows flows in mitmweb."""
    with tempfile.NamedTemporaryFile() as output:
        process = forkserver.popen([*CHAPERONE, *command, "--conf", str(conf)], os.environ, output)
        try:
            with _client(_address(process, Path(output.name))) as http:
                yield Viewer(process, http, http.base_url.port or 0)
        finally:
            process.kill()
            process.wait()


def _address(process: forkserver.Process | subprocess.Popen[bytes], output: Path) -> str:
    """What it says where it is to be seen."""
    while (said := re.search(r"http://\S+\s", output.read_text())) is None:
        assert process.poll() is None, output.read_text()
        time.sleep(0.02)
    return said.group().strip()


def _client(address: str) -> httpx.Client:
    url = urlsplit(address)
    headers = {"Authorization": f"Bearer {url.query.partition('token=')[2]}"}
    transport = httpx.HTTPTransport(retries=8)  # the address is printed a moment before it answers
    return httpx.Client(base_url=f"http://{url.netloc}", headers=headers, transport=transport, timeout=10)
