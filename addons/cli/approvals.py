"""`chaperone approvals`: what waits for a human, the human's answer, and answers that stand."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from addons.cli.approval_text import as_json, facts, lines, who
from addons.cli.credential import read_token
from addons.cli.operator import operator
from addons.core.approval import Ask, State
from addons.core.approval_terms import ONCE, Reuse, Scope
from addons.core.approval_words import agreed, allows_again, earlier
from addons.core.notify.wording import what
from addons.core.printable import printable, printable_lines

app = App(name="approvals", help="What waits for a human: list, show, approve, deny, revoke.")

Output = Annotated[Literal["text", "json"], Parameter(alias="-o")]
_CONF = Path("mitm.conf")


@app.default
def waiting(*, watch: bool = False, output: Output = "text", conf: Path = _CONF) -> None:
    """Without a command: list open questions.

    Parameters
    ----------
    watch
        Go on, and show each new question and what becomes of it, as it happens.
    output
        "text" for people, "json" for programs; with --watch, a document in each line.
    conf
        The gateway's configuration file.
    """
    if not watch:
        list_approvals(output=output, conf=conf)
        return
    from addons.cli import approval_watch

    with closing(operator(conf).open_store()) as store:
        approval_watch.watch(store, output)


@app.command(name="list")
def list_approvals(*, all: bool = False, standing: bool = False, output: Output = "text", conf: Path = _CONF) -> None:
    """List open questions.

    Parameters
    ----------
    all
        Also those that were answered or have expired.
    standing
        Instead, the approvals that stand: for a session or a time, until they are revoked.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    now = time.time()
    with closing(operator(conf).open_store()) as store:
        cases = store.standing(now) if standing else store.latest() if all else store.pending(now)
    if output == "json":
        print(json.dumps([as_json(case, now) for case in cases], indent=2))
        return
    if not cases:
        print("no approval stands" if standing else "nothing waits for an answer")
    for line in lines(cases, now):
        print(line)


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
        similar = store.similar(case)
    if output == "json":
        before = [as_json(each, now) for each in similar]
        print(json.dumps({**as_json(case, now), "similar": before}, indent=2))
        return
    for name, value in facts(case, now):
        if value:
            print(f"{name + ':':<13} {printable(value)}")
    if similar:
        print("before:", *(f"  {printable(line)}" for line in earlier(similar, case.ask)), sep="\n")
    if case.ask.diff:
        print(f"change ({case.ask.diff.count(chr(10)) + 1} lines):\n{printable_lines(case.ask.diff)}")


@app.command
def approve(
    approval: str,
    *,
    for_: Annotated[str, Parameter(name="--for")] = "",
    note: str = "",
    token_file: Path | None = None,
    conf: Path = _CONF,
) -> None:
    """Let exactly this request through, once; or its like, too, where the rules that ask allow it.

    Parameters
    ----------
    approval
        Its id.
    for_
        "session": again in this session, as long as the rules allow; or a time such as 15m: again by this caller, in
        any session with the same intent. `show` says what that allows; `revoke` ends it.
    note
        For the record.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN.
    conf
        The gateway's configuration file.
    """
    _decide(approval, State.GRANTED, note, token_file, conf, for_)


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


@app.command
def revoke(approval: str, *, note: str, token_file: Path | None = None, conf: Path = _CONF) -> None:
    """End an approval that stands: from now on, in every worker, its like is asked about again.

    What it has let through and still runs goes on: `chaperone lock` ends that.

    Parameters
    ----------
    approval
        Its id.
    note
        Why: for the record.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN.
    conf
        The gateway's configuration file.
    """
    from addons.edge import decided

    gateway = operator(conf)
    with closing(gateway.open_store()) as store:
        person = gateway.verify(read_token(token_file))
        case = decided.revoke(
            store, gateway.desk, approval, decided.Person(identity=person, via="command"), note, time.time()
        )
    print(f"{case.approval.id} revoked by {printable(person.username)}: {what(case.ask)} for {who(case)}")


def _decide(approval: str, to: State, note: str, token_file: Path | None, conf: Path, for_: str = "") -> None:
    from addons.edge import decided

    gateway = operator(conf)
    with closing(gateway.open_store()) as store:
        approver = gateway.verify(read_token(token_file))
        now = time.time()
        scope = _scope(for_, store.get(approval).ask) if for_ else ONCE
        person = decided.Person(identity=approver, via="command")
        case = decided.decide(store, gateway.desk, approval, to, person, note, now, scope)
    if case.approval.state is State.PENDING:
        print(f"{case.approval.id} waits for others: {printable(agreed(case))}")
        return
    by = printable(case.approval.approver)
    print(f"{case.approval.id} {case.approval.state} by {by}: {what(case.ask)} for {who(case)}")
    if case.approval.state is State.STANDING:
        scope = Scope(reuse=case.approval.reuse, seconds=int(case.approval.expires_at - now))
        print(f"it also allows, {printable(allows_again(case.ask, scope, case.approval.expires_at))}")


def _scope(for_: str, ask: Ask) -> Scope:
    if for_ == "session":
        return Scope(reuse=Reuse.SESSION, seconds=ask.offer.max_seconds)
    from addons.cli.request import duration

    return Scope(reuse=Reuse.MINUTES, seconds=duration(for_))
