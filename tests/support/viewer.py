"""`chaperone watch` and `sessions open` in a process of its own, and what its pages' own API says."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from scripts.devenv.places import REPOSITORY


@dataclass(frozen=True, slots=True)
class Viewer:
    """A running mitmweb; `http` is its API as a browser with the printed address uses it."""

    process: subprocess.Popen[str]
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
    process = subprocess.Popen(
        [sys.executable, "-m", "addons.cli", *command, "--conf", str(conf)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    try:
        assert process.stdout is not None
        said = next(filter(None, (re.search(r"http://\S+", line) for line in process.stdout)))
        url = urlsplit(said.group())
        headers = {"Authorization": f"Bearer {url.query.partition('token=')[2]}"}
        transport = httpx.HTTPTransport(retries=8)  # the address is printed a moment before it answers
        with httpx.Client(base_url=f"http://{url.netloc}", headers=headers, transport=transport, timeout=10) as http:
            yield Viewer(process, http, url.port or 0)
    finally:
        process.kill()
        process.communicate()
