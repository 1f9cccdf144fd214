"""An agent for tests: the real kubectl through a real gateway, with everything it printed kept for later inspection."""

from __future__ import annotations

import queue
import re
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, Any, Self

import httpx
import yaml

from scripts.devenv.gateway_env import GatewayEnv
from tests.support.kubernetes import TIMEOUT_SECONDS, Kubectl

SOON = 5.0
"""Seconds within which what happens now is seen through the gateway, on a machine that is busy with other tests."""


@dataclass(slots=True)
class Transcript:
    """What every agent of the session printed, and every token it held; thread-safe as appending is."""

    printed: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)


class Stream:
    """A running kubectl: lines with the time they came, standard output and error output as one."""

    def __init__(self, process: subprocess.Popen[str], transcript: Transcript) -> None:
        self.process = process
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._transcript = transcript
        self._thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._thread.start()

    def until(self, text: str, seconds: float = SOON) -> str:
        """The first line from now on that holds `text`; fails with what came instead after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {text!r} within {seconds} s, but {self.lines}") from None
            if line is None:
                raise AssertionError(f"ended without {text!r}: {self.lines}")
            if text in line:
                return line

    def finish(self, seconds: float = 30) -> tuple[int, str]:
        """Exit code and all output of a command that ends by itself."""
        code = self.process.wait(seconds)
        self._thread.join(seconds)
        return code, "".join(self.lines)

    def close(self) -> None:
        """Ends it if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(10)
        self._thread.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self, output: IO[str] | None) -> None:
        for line in output or ():
            self.lines.append(line)
            self._transcript.printed.append(line)
            self._queue.put(line)
        self._queue.put(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent(Kubectl):
    """One caller of one gateway; `user` is its subject."""

    gateway: GatewayEnv
    user: str
    token: str
    transcript: Transcript

    @classmethod
    def of(cls, gateway: GatewayEnv, transcript: Transcript, user: str, token: str, namespace: str = "default") -> Self:
        """A caller with this token."""
        transcript.tokens.append(token)
        name = re.sub("[^a-z0-9]+", "-", user.lower())
        env = {**gateway.proxy_environment(), "KUBECACHEDIR": str(gateway.folder / "discovery")}
        return cls(
            path=gateway.kubectl_path,
            kubeconfig=str(gateway.agent_kubeconfig(token, name=name)),
            namespace=namespace,
            env=env,
            gateway=gateway,
            user=user,
            token=token,
            transcript=transcript,
        )

    def run(
        self, *arguments: str, stdin: str | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """As Kubectl's, and kept."""
        done = Kubectl.run(self, *arguments, stdin=stdin, timeout=timeout)
        self.transcript.printed += [done.stdout, done.stderr]
        return done

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl says of a command that must fail."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} succeeded: {done.stdout}"
        return done.stderr

    def setting(self, **env: str) -> Self:
        """The same with these environment variables."""
        return replace(self, env={**self.env, **env})

    @contextmanager
    def stream(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> Iterator[Stream]:
        """A kubectl that runs meanwhile; it is ended in the end."""
        process = subprocess.Popen(
            self.command(*arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment(),
        )
        running = Stream(process, self.transcript)
        try:
            yield running
        finally:
            running.close()

    def http(self, token: str | None = None, **headers: str) -> httpx.Client:
        """A plain HTTP client on the same way: for what kubectl does not send or does not show."""
        return client(self.gateway, self.token if token is None else token, headers)


def client(gateway: GatewayEnv, token: str, headers: Mapping[str, str] | None = None) -> httpx.Client:
    """An HTTP client through a gateway, with a bearer token unless that is empty."""
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(
        base_url=gateway.api_url,
        proxy=gateway.gateway_url,
        verify=ssl.create_default_context(cafile=gateway.gateway_ca),
        trust_env=False,
        timeout=30,
        headers={**bearer, **(headers or {})},
    )


def manifest(text: str, **values: str) -> dict[str, Any]:
    """One object written in YAML."""
    loaded: dict[str, Any] = yaml.safe_load(text.format(**values) if values else text)
    return loaded


def eventually(what: str, condition: Any, seconds: float = SOON) -> Any:
    """The first true value of `condition()`; fails after `seconds`. Looks less and less often: to look costs time."""
    deadline, pause = time.monotonic() + seconds, 0.02
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(pause)
        pause = min(1.2 * pause, 0.25)
    return value
