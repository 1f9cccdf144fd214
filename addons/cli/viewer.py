"""mitmweb to look with, in a process of its own: no proxy, no gateway addon, no credential, no script and no replay.

Nothing that is done there can touch traffic, and the gateway does not know that it is there.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from mitmproxy.options import Options
from mitmproxy.tools.web.master import WebMaster

_HOST = "127.0.0.1"
_UNWANTED = frozenset({"clientplayback", "serverplayback", "scriptloader", "proxyserver", "save", "tlsconfig"})
_UNWANTED_COMMANDS = ("replay.", "script.", "save.", "export.", "inject.", "proxyserver.")


Follow = Callable[[WebMaster], Coroutine[Any, Any, None]]
"""Fills the viewer's list of flows, and never returns."""


def run(folder: Path, port: int, browser: bool, follow: Follow) -> None:
    """Serve until SIGINT or SIGTERM. `folder` is for what mitmweb writes."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(_serve(folder, port, browser, follow))


async def _serve(folder: Path, port: int, browser: bool, follow: Follow) -> None:
    master = WebMaster(Options(), with_termlog=False)
    _take_away(master)
    web = {"web_host": _HOST, "web_port": _free(port), "web_open_browser": browser}
    master.options.update(confdir=str(folder), server=False, **web)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, master.shutdown)
    following = asyncio.create_task(follow(master))
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
