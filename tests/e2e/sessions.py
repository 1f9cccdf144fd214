"""Sessions in pods for tests: clients of every protocol, people who agree to all of it, and what was recorded."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, eventually
from tests.e2e.people import Person
from tests.e2e.records import approvals, gateway_events
from tests.support.kubernetes import TIMEOUT_SECONDS

CLIENTS = ("websocket", "spdy", "kubectl-1.20")
"""kubectl as it is, made to speak SPDY, and so old that it speaks nothing else."""


def speaking(agent: Agent, client: str, old_kubectl: Path) -> Agent:
    """The agent with another client."""
    if client == "spdy":
        return agent.setting(KUBECTL_REMOTE_COMMAND_WEBSOCKETS="false", KUBECTL_PORT_FORWARD_WEBSOCKETS="false")
    return replace(agent, path=str(old_kubectl)) if client == "kubectl-1.20" else agent


@contextmanager
def agreeing(gateway: GatewayEnv, person: Person, pod: str) -> Iterator[None]:
    """Somebody who agrees to whatever is asked about this pod meanwhile."""
    done = threading.Event()

    def answer() -> None:
        while not done.wait(0.1):
            for row in approvals(gateway, name=pod, state="pending"):
                person.approves(gateway, row["id"])

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(10)


@dataclass(frozen=True, slots=True)
class Ran:
    """A kubectl that has ended."""

    code: int
    stdout: bytes
    stderr: bytes


def run(agent: Agent, *arguments: str, stdin: bytes | None = None) -> Ran:
    """kubectl with bytes, both outputs apart."""
    done = subprocess.run(
        agent.command(*arguments),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        env=agent.environment(),
    )
    agent.transcript.printed += [done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")]
    return Ran(done.returncode, done.stdout, done.stderr)


@contextmanager
def web_server(text: str) -> Iterator[int]:
    """The port of a server on this machine that answers everything with this text."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def casts(gateway: GatewayEnv, word: str) -> list[list[Any]]:
    """The recordings that hold `word`, decoded."""
    files = [file for file in gateway.state_dir.glob("sessions/*/exec-*.cast") if word.encode() in file.read_bytes()]
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def recorded(gateway: GatewayEnv, word: str) -> list[Any]:
    """The one recording that holds `word`, whole: its last lines are written a moment after the session's end."""
    (events,) = eventually("the recording", lambda: [each for each in casts(gateway, word) if _is_over(each)])
    return list(events)


def _is_over(recording: list[Any]) -> bool:
    code, text = recording[-1][1:] if len(recording) > 1 else ("", "")
    return code == "x" or (code == "m" and text.startswith("ended without an exit status"))


def endings(gateway: GatewayEnv, pod: str, subresource: str = "exec", **said: str) -> list[dict[str, Any]]:
    """What the last audit events of sessions in this pod say, without our prefix; only of those that say `said`."""
    found = [
        {name.removeprefix("chaperone.dev/"): value for name, value in event["annotations"].items()}
        for event in gateway_events(gateway)
        if event["stage"] == "ResponseComplete"
        and event.get("objectRef", {}).get("name") == pod
        and event["objectRef"].get("subresource") == subresource
        and event["responseStatus"].get("code") == 101
    ]
    wanted = {name.replace("_", "-"): value for name, value in said.items()}
    return [each for each in found if wanted.items() <= each.items()]
