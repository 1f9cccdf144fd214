"""`chaperone watch`: mitmweb on what goes on and what was recorded, in a process of its own.

It reads scrubbed flow records and nothing else: there is no proxy in this process, no gateway addon, no credential of a
cluster, no script and no replay, so nothing that is done there can touch traffic, and the gateway does not know that it
is there. Approvals are decided at the console, as by any other person with a token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from mitmproxy.tools.web.master import WebMaster

from addons.cli.credential import read_token
from addons.cli.operator import operator
from addons.cli.viewer import run
from addons.cli.viewer_commands import Decisions
from addons.core.sign_in import Client
from addons.edge.follow import LiveTail, Tail
from addons.edge.screen import Screen
from addons.edge.token_cache import TokenCache, current_token

_INTERVAL_SECONDS = 0.2


def watch(
    *,
    port: int = 8081,
    history: bool = False,
    browser: bool = False,
    token_file: Path | None = None,
    issuer: str = "",
    client_id: str = "",
    conf: Path = Path("mitm.conf"),
) -> None:
    """Show live traffic in mitmweb, read-only: what waits for an answer, what runs, and what is over.

    A request that waits is marked, with who asks for what and the id of its approval. In the viewer's command bar,
    `chaperone.approve ID` and `chaperone.deny ID NOTE` decide it at the console, where you need the role approver, with
    your own token: that of CHAPERONE_TOKEN, of a file, or of `chaperone login`. Nothing else that is done in the viewer
    reaches anything.

    Parameters
    ----------
    port
        Port of mitmweb on this machine; 0 takes a free one.
    history
        Begin with everything that was recorded before.
    browser
        Open a browser.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN.
    issuer
        The OpenID provider at which you have signed in with `chaperone login`.
    client_id
        The client id there.
    conf
        The gateway's configuration file.
    """
    gateway = operator(conf)
    state, console = gateway.state, gateway.console_url()

    def token() -> str:
        """Whoever looks at the viewer; looked up each time, so that one that was renewed counts."""
        if issuer:
            client = Client(issuer=issuer, client_id=client_id)
            return current_token(client, TokenCache(client))
        return read_token(token_file)

    def follow(master: WebMaster) -> Coroutine[Any, Any, None]:
        if console:
            Decisions(console, token).register(master.commands)
        return _follow(master, state, history)

    run(state / "viewer", port, browser, follow)


async def _follow(master: WebMaster, state: Path, history: bool) -> None:
    screen, live, recorded = Screen(master.view), LiveTail(state), Tail(state, from_start=history)
    while True:
        for flow_id, record in await asyncio.to_thread(lambda: list(live.changes())):
            if record is None:
                screen.left(flow_id, time.monotonic())
            else:
                screen.put(record, over=False)
        while records := await asyncio.to_thread(recorded.new_records):
            for record in records:
                screen.put(record, over=True)
        screen.settle(time.monotonic())
        await asyncio.sleep(_INTERVAL_SECONDS)
