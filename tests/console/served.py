"""A console that a browser reaches: the real application and store behind a real port, in a thread of this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from addons.console.app import make_app
from addons.console.parts import Parts
from addons.edge.oidc import Verifier
from addons.edge.schema import approvals_url
from addons.edge.session_tokens import Signer
from addons.edge.store import Store
from addons.edge.store_thread import StoreThread
from addons.policy import Policy

_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Running at `url`. `store` is a second connection to its store; `state` is its folder."""

    url: str
    parts: Parts
    store: Store
    state: Path


@contextmanager
def served(policy: Policy, port: int, state: Path) -> Iterator[Served]:
    """Run one on this machine."""
    parts: list[Parts] = []
    server: list[uvicorn.Server] = []

    async def run() -> None:
        parts.append(
            Parts(
                policy=policy,
                verifier=Verifier(policy.trust.providers, time.monotonic),
                signer=Signer(state),
                store=StoreThread(Store(approvals_url(state))),
                key=b"key",
                state=state,
            )
        )
        settings = uvicorn.Config(make_app(parts[0]), port=port, http="h11", ws="none", lifespan="off", log_config=None)
        server.append(uvicorn.Server(settings))
        await server[0].serve()
        await parts[0].close()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    ends = time.monotonic() + _SECONDS
    while not (server and server[0].started):
        assert thread.is_alive() and time.monotonic() < ends, "the console did not start"
        time.sleep(0.02)
    store = Store(approvals_url(state))
    try:
        yield Served(url=f"http://127.0.0.1:{port}", parts=parts[0], store=store, state=state)
    finally:
        store.close()
        server[0].should_exit = True
        thread.join(_SECONDS)
