"""`chaperone watch`: mitmweb on what goes on and what was recorded, in a process of its own.

It reads scrubbed flow records and nothing else: there is no proxy in this process, no gateway addon, no credential, no
script and no replay, so nothing that is done there can touch traffic, and the gateway does not know that it is there.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path

from mitmproxy.options import Options
from mitmproxy.tools.web.master import WebMaster

from addons.cli.operator import operator
from addons.edge.follow import LiveTail, Tail
from addons.edge.screen import Screen

_HOST = "127.0.0.1"
_INTERVAL_SECONDS = 0.2
_UNWANTED = frozenset({"clientplayback", "serverplayback", "scriptloader", "proxyserver", "save", "tlsconfig"})
_UNWANTED_COMMANDS = ("replay.", "script.", "save.", "export.", "inject.", "proxyserver.")


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
    asyncio.run(run(operator(conf).state, port, history, browser))


async def run(state: Path, port: int, history: bool, browser: bool) -> None:
    """Serve until SIGINT or SIGTERM."""
    viewer = state / "viewer"
    viewer.mkdir(mode=0o700, parents=True, exist_ok=True)
    master = WebMaster(Options(), with_termlog=False)
    _take_away(master)
    web = {"web_host": _HOST, "web_port": _free(port), "web_open_browser": browser}
    master.options.update(confdir=str(viewer), server=False, **web)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, master.shutdown)
    following = asyncio.create_task(_follow(master, state, history))
    following.add_done_callback(lambda _: master.shutdown())  # a window on nothing would look like peace
    print(f"mitmweb: {master.web_url}  (Ctrl-C ends it)", flush=True)
    try:
        await master.run()
    finally:
        if following.done():
            following.result()
        following.cancel()


def _free(port: int) -> int:
    try:
        with socket.create_server((_HOST, port)) as listener:
            free: int = listener.getsockname()[1]
            return free
    except OSError as error:
        raise OSError(f"{_HOST}:{port} cannot be used, choose another with --port: {error.strerror}") from error


def _take_away(master: WebMaster) -> None:
    """What mitmweb's pages and their API could do beyond looking: send, listen, run code, write files."""
    unwanted = [master.addons.get(name) for name in _UNWANTED]
    master.addons.chain = [addon for addon in master.addons.chain if addon not in unwanted]
    for name in [name for name in master.commands.commands if name.startswith(_UNWANTED_COMMANDS)]:
        del master.commands.commands[name]


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
