"""`chaperone watch`: mitmweb on what goes on and what was recorded, in a process of its own.

It reads scrubbed flow records and nothing else: there is no proxy in this process, no gateway addon, no credential, no
script and no replay, so nothing that is done there can touch traffic, and the gateway does not know that it is there.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from mitmproxy.tools.web.master import WebMaster

from addons.cli.operator import operator
from addons.cli.viewer import run
from addons.edge.follow import LiveTail, Tail
from addons.edge.screen import Screen

_INTERVAL_SECONDS = 0.2


def watch(*, port: int = 8081, history: bool = False, browser: bool = False, conf: Path = Path("mitm.conf")) -> None:
    """Show live traffic in mitmweb, read-only: what waits for an answer, what runs, and what is over.

    A request that waits is marked, with who asks for what and the command that decides it. Nothing that is done in the
    viewer reaches the gateway.

    Parameters
    ----------
    port
        Port of mitmweb on this machine; 0 takes a free one.
    history
        Begin with everything that was recorded before.
    browser
        Open a browser.
    conf
        The gateway's configuration file.
    """
    state = operator(conf).state
    run(state / "viewer", port, browser, lambda master: _follow(master, state, history))


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
