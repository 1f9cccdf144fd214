"""`chaperone grants`: who has asked for access, who has it, and the answers of people."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cyclopts import App

from addons.cli.credential import read_token
from addons.cli.locks import who
from addons.cli.operator import operator
from addons.cli.request import duration, release
from addons.cli.ruleset import Output
from addons.core import access_request as core
from addons.core.access_request import AccessRequest, as_document, state_at
from addons.core.audit import timestamp
from addons.core.identity import Identity
from addons.core.printable import printable
from addons.edge.access_request_store import access_request, access_requests, change

app = App(name="grants", help="Access on request: list, show, approve, deny, extend, revoke, release.")
app.command(release)
_CONF = Path("mitm.conf")


@app.command(name="list")
def list_grants(*, all: bool = False, output: Output = "text", conf: Path = _CONF) -> None:
    """List what waits for a decision, and what is granted.

    Parameters
    ----------
    all
        Also what is over.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    now = time.time()
    with closing(operator(conf).open_store()) as store:
        found = access_requests(store, 0.0 if all else now)
    if output == "json":
        print(json.dumps([as_document(each, now) for each in found], indent=2))
        return
    if not found:
        print("nothing is asked for, and nothing granted")
    for each in found:
        print(_line(each, now))


@app.command
def show(request: str, *, output: Output = "text", conf: Path = _CONF) -> None:
    """Show one request with all that happened to it.

    Parameters
    ----------
    request
        Its id.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    with closing(operator(conf).open_store()) as store:
        _print(access_request(store, request), output)


@app.command
def approve(
    request: str, *, note: str = "", token_file: Path | None = None, output: Output = "text", conf: Path = _CONF
) -> None:
    """Let somebody have what they ask for; never yourself.

    Parameters
    ----------
    request
        Its id.
    note
        For the record.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    _decide(request, token_file, conf, output, lambda each, me: core.approve(each, me, note, time.time()))


@app.command
def deny(
    request: str, *, note: str, token_file: Path | None = None, output: Output = "text", conf: Path = _CONF
) -> None:
    """Refuse what somebody asks for.

    Parameters
    ----------
    request
        Its id.
    note
        Why.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    _decide(request, token_file, conf, output, lambda each, me: core.deny(each, me, note, time.time()))


@app.command
def extend(
    request: str,
    by: str,
    *,
    note: str = "",
    token_file: Path | None = None,
    output: Output = "text",
    conf: Path = _CONF,
) -> None:
    """Let what is granted last longer, within what its rule allows in all.

    Parameters
    ----------
    request
        Its id.
    by
        How much longer: 900s, 30m, 2h.
    note
        For the record.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    seconds = duration(by)
    _decide(request, token_file, conf, output, lambda each, me: core.extend(each, me, seconds, note, time.time()))


@app.command
def revoke(
    request: str, *, note: str, token_file: Path | None = None, output: Output = "text", conf: Path = _CONF
) -> None:
    """Take access away: requests at once, watches, execs and port-forwards within 5 seconds.

    Parameters
    ----------
    request
        Its id.
    note
        Why.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN; without either, the user of this machine.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    gateway = operator(conf)
    by = who(gateway, token_file)
    with closing(gateway.open_store()) as store:
        _print(change(store, request, lambda each: core.revoke(each, by, note, time.time())), output)


def _decide(
    request: str,
    token_file: Path | None,
    conf: Path,
    output: Output,
    to_next: Callable[[AccessRequest, Identity], AccessRequest],
) -> None:
    gateway = operator(conf)
    me = gateway.verify(read_token(token_file))
    with closing(gateway.open_store()) as store:
        _print(change(store, request, lambda each: to_next(each, me)), output)


def _print(request: AccessRequest, output: Output) -> None:
    now = time.time()
    if output == "json":
        print(json.dumps(as_document(request, now), indent=2))
        return
    print(_line(request, now))
    for event in request.history:
        note = f": {event.note}" if event.note else ""
        print(printable(f"  {timestamp(event.at)} {event.what} by {event.who}{note}"))


def _line(request: AccessRequest, now: float) -> str:
    left = max(0, int(request.expires_at - now))
    agreed = f"{len(request.approved_by)}/{request.approvals}"
    what = f"{request.role} on {request.connection} for {request.seconds}s: {request.intent}"
    text = f"{request.id}  {state_at(request, now):<8} {agreed} {left}s left  {request.iss}#{request.sub}  {what}"
    return printable(text)
