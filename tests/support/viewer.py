"""`chaperone watch` in a process of its own, and what its pages' own API says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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

    def content(self, flow: dict[str, Any], part: str) -> bytes:
        """`request` or `response` of a flow, or its WebSocket `messages`."""
        where = "messages/content/raw.json" if part == "messages" else f"{part}/content.data"
        return self.http.get(f"/flows/{flow['id']}/{where}").raise_for_status().content


@contextmanager
def viewer(conf: Path, *arguments: str) -> Iterator[Viewer]:
    """Run one for the gateway that `conf` configures."""
    process = subprocess.Popen(
        [sys.executable, "-m", "addons.cli", "watch", "--conf", str(conf), "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    try:
        assert process.stdout is not None
        said = re.search(r"http://\S+", process.stdout.readline())
        assert said is not None
        url = urlsplit(said.group())
        headers = {"Authorization": f"Bearer {url.query.partition('token=')[2]}"}
        transport = httpx.HTTPTransport(retries=8)  # the address is printed a moment before it answers
        with httpx.Client(base_url=f"http://{url.netloc}", headers=headers, transport=transport, timeout=10) as http:
            yield Viewer(process, http, url.port or 0)
    finally:
        process.kill()
        process.communicate()
