"""`chaperone approvals`: what waits for a human, and the human's answer."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from addons.cli.operator import operator, read_token
from addons.core.approval import Case, State, state_at
from addons.core.notify.wording import what
from addons.core.printable import printable, printable_lines

app = App(name="approvals", help="What waits for a human: list, show, approve, deny.")

Output = Annotated[Literal["text", "json"], Parameter(alias="-o")]
_CONF = Path("mitm.conf")


@app.command(name="list")
def list_approvals(*, all: bool = False, output: Output = "text", conf: Path = _CONF) -> None:
    """List open questions.

    Parameters
    ----------
    all
        Also those that were answered or have expired.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    now = time.time()
    with closing(operator(conf).open_store()) as store:
        cases = store.latest() if all else store.pending(now)
    if output == "json":
        print(json.dumps([_as_json(case, now) for case in cases], indent=2))
        return
    if not cases:
        print("nothing waits for an answer")
    for case in cases:
        print(_line(case, now))


@app.command
def show(approval: str, *, output: Output = "text", conf: Path = _CONF) -> None:
    """Show all that is known about one question.

    Parameters
    ----------
    approval
        Its id.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    now = time.time()
    with closing(operator(conf).open_store()) as store:
        case = store.get(approval)
    if output == "json":
        print(json.dumps(_as_json(case, now), indent=2))
        return
    for name, value in _facts(case, now).items():
        if value:
            print(f"{name + ':':<12} {printable(value)}")
    if case.ask.diff:
        print(f"change:\n{printable_lines(case.ask.diff)}")


@app.command
def approve(approval: str, *, note: str = "", token_file: Path | None = None, conf: Path = _CONF) -> None:
    """Let exactly this request through, once.

    Parameters
    ----------
    approval
        Its id.
    note
        For the record.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN.
    conf
        The gateway's configuration file.
    """
    _decide(approval, State.GRANTED, note, token_file, conf)


@app.command
def deny(approval: str, *, note: str, token_file: Path | None = None, conf: Path = _CONF) -> None:
    """Refuse this request; before it was used, this also revokes an approval.

    Parameters
    ----------
    approval
        Its id.
    note
        Why: the agent is told.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN.
    conf
        The gateway's configuration file.
    """
    _decide(approval, State.DENIED, note, token_file, conf)


def _decide(approval: str, to: State, note: str, token_file: Path | None, conf: Path) -> None:
    gateway = operator(conf)
    with closing(gateway.open_store()) as store:
        approver = gateway.verify(read_token(token_file))
        case = store.decide(approval, to, approver, note, time.time())
    who = printable(case.approval.approver)
    print(f"{case.approval.id} {case.approval.state} by {who}: {what(case.ask)} for {_who(case)}")


def _line(case: Case, now: float) -> str:
    state, left = state_at(case.approval, now), int(case.approval.expires_at - now)
    when = f"{left}s left" if state in (State.PENDING, State.GRANTED) else ""
    risk = f"{printable(case.ask.rule)} risk {case.ask.risk}"
    return f"{case.approval.id}  {state:<8} {when:<9} {_who(case)}  {what(case.ask)}  [{risk}]"


def _who(case: Case) -> str:
    return printable(case.ask.requester_sub)


def _facts(case: Case, now: float) -> dict[str, str]:
    ask, approval = case.ask, case.approval
    return {
        "id": approval.id,
        "state": state_at(approval, now),
        "who": f"{ask.requester_iss}#{ask.requester_sub}",
        "acting": ask.requester_act,
        "owner": ask.requester_owner,
        "groups": ", ".join(ask.requester_groups),
        "intent": ask.intent,
        "connection": ask.connection,
        "session": ask.session,
        "what": what(case.ask),
        "command": ask.command,
        "request": f"{ask.method} {ask.target}",
        "rule": f"{ask.rule} (risk {ask.risk}): {ask.reason}",
        "expires in": f"{max(0, int(approval.expires_at - now))}s",
        "answered by": approval.approver,
        "note": approval.note,
        "means": "this one request, once, unchanged; nothing else",
    }


def _as_json(case: Case, now: float) -> dict[str, object]:
    values = {**asdict(case.approval), **asdict(case.ask), "state": state_at(case.approval, now).value}
    del values["digest"]
    return values
