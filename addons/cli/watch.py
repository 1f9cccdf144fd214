"""`chaperone watch`: mitmweb on what is being recorded, in a process of its own.

It reads the scrubbed flow files and nothing else: there is no proxy in this process, no gateway addon, no credential,
no script and no replay, so nothing that is done there can touch traffic.
"""

from __future__ import annotations

import asyncio
import io
import signal
from pathlib import Path

from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader
from mitmproxy.options import Options
from mitmproxy.tools.web.master import WebMaster

from addons.cli.operator import operator
from addons.edge.archive import Tail

MAX_FLOWS = 5000
_INTERVAL_SECONDS = 0.5
_UNWANTED = frozenset({"clientplayback", "serverplayback", "scriptloader", "proxyserver", "save"})
_UNWANTED_COMMANDS = ("replay.", "script.", "save.", "export.", "inject.", "proxyserver.")


def watch(*, port: int = 8081, history: bool = False, browser: bool = False, conf: Path = Path("mitm.conf")) -> None:
    """Show live traffic in mitmweb, read-only: from its scrubbed record, a moment after each exchange is over.

    Parameters
    ----------
    port
        Port of mitmweb on this machine.
    history
        Begin with everything that was recorded before.
    browser
        Open a browser.
    conf
        The gateway's configuration file.
    """
    asyncio.run(run(operator(conf).state, port, history, browser))


async def run(state: Path, port: int, history: bool, browser: bool) -> None:
    """Serve until SIGINT or SIGTERM."""
    viewer = state / "viewer"
    viewer.mkdir(mode=0o700, parents=True, exist_ok=True)
    master = WebMaster(Options(), with_termlog=False)
    _take_away(master)
    values = {"confdir": str(viewer), "server": False, "web_port": port, "web_open_browser": browser}
    master.options.update(**values)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, master.shutdown)
    following = asyncio.create_task(_follow(master, Tail(state, from_start=history)))
    print(f"mitmweb: {master.web_url}  (Ctrl-C ends it)", flush=True)
    try:
        await master.run()
    finally:
        following.cancel()


def _take_away(master: WebMaster) -> None:
    """What mitmweb's pages and their API could do beyond looking: send, listen, run code, write files."""
    unwanted = [master.addons.get(name) for name in _UNWANTED]
    master.addons.chain = [addon for addon in master.addons.chain if addon not in unwanted]
    for name in [name for name in master.commands.commands if name.startswith(_UNWANTED_COMMANDS)]:
        del master.commands.commands[name]


async def _follow(master: WebMaster, tail: Tail) -> None:
    while True:
        for record in await asyncio.to_thread(tail.new_records):
            for flow in FlowReader(io.BytesIO(record)).stream():
                if isinstance(flow, HTTPFlow):
                    master.view.add([flow])
        if len(master.view._store) > MAX_FLOWS:
            oldest = list(master.view._store.values())[: len(master.view._store) - MAX_FLOWS]
            master.view.remove(oldest)
        await asyncio.sleep(_INTERVAL_SECONDS)
