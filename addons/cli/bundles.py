"""`chaperone sessions export` and `open`: sessions as one signed file, and in mitmweb, also from such a file."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from mitmproxy.tools.web.master import WebMaster

from addons.cli.audit import tell_bundle
from addons.cli.operator import operator
from addons.cli.viewer import run
from addons.core.printable import printable
from addons.edge.archive import UnknownSession, session
from addons.edge.audit_key import read_public_key
from addons.edge.audit_ledger import AuditLedger
from addons.edge.bundle_read import unpack_flows
from addons.edge.bundle_write import export as write_bundle
from addons.edge.follow import Tail
from addons.edge.screen import Screen

_CONF = Path("mitm.conf")
_MAX_UNPACKED = 8 * 1024**3
_MAX_FLOWS = 50_000
_MAX_BYTES = 1024**3
_INTERVAL_SECONDS = 0.5


def export(
    session_id: str,
    /,
    *more: str,
    to: Annotated[Path, Parameter(name=["--output", "-o"])],
    running: bool = False,
    conf: Path = _CONF,
) -> int:
    """Write sessions to one signed file, which `chaperone audit verify FILE` verifies on any machine.

    Parameters
    ----------
    session_id
        Its id, or how it begins.
    more
        Further sessions.
    to
        The file to be made, `FILE.tar.gz`.
    running
        Also take sessions that are still written to, as they are; the file says so.
    conf
        The gateway's configuration file.
    """
    gateway = operator(conf)
    folders = [session(gateway.state, each).folder for each in (session_id, *more)]
    ledger = AuditLedger(gateway.state, gateway.settings.audit_key_file)
    key = write_bundle(folders, ledger, to, running, time.time())
    print(f"{to}: {to.stat().st_size} bytes, signed by {key.id}")
    return tell_bundle(to, key.public, "text")


def open_session(
    session_or_bundle: str,
    *,
    port: int = 8081,
    browser: bool = False,
    public_key: Path | None = None,
    print_only: Annotated[bool, Parameter(name="--print")] = False,
    conf: Path = _CONF,
) -> None:
    """Show a session's flows in mitmweb, read-only, in a process of its own that reaches no traffic.

    Parameters
    ----------
    session_or_bundle
        A session's id, or how it begins; or the file that `chaperone sessions export` wrote.
    port
        Port of mitmweb on this machine; 0 takes a free one.
    browser
        Open a browser.
    public_key
        A key that must have signed the bundle; else the bundle's own is believed.
    print_only
        Only print the names of the flow files.
    conf
        The gateway's configuration file.
    """
    with tempfile.TemporaryDirectory(prefix="chaperone-") as private:
        folder, bundle = Path(private), Path(session_or_bundle)
        if bundle.is_file():
            trusted = read_public_key(public_key) if public_key is not None else None
            unpack_flows(bundle, trusted, folder, _MAX_UNPACKED)
            tail = Tail(folder, from_start=True)
        else:
            state = operator(conf).state
            tail = Tail(state, from_start=True, session=session(state, session_or_bundle).id)
        files = tail.files()
        if not files:
            raise UnknownSession(f"{session_or_bundle} has no flow file yet")
        for file in files:
            print(printable(str(file)), flush=True)
        if not print_only:
            run(folder / "viewer", port, browser, lambda master: _show(master, tail))


async def _show(master: WebMaster, tail: Tail) -> None:
    """All that is recorded, and what comes."""
    screen = Screen(master.view, _MAX_FLOWS, _MAX_BYTES)
    while True:
        while records := await asyncio.to_thread(tail.new_records):
            for record in records:
                screen.put(record, over=True)
        await asyncio.sleep(_INTERVAL_SECONDS)
