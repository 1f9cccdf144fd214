"""`chaperone sessions`: what agents did, replayed and explained from the evidence."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from addons.cli.operator import operator
from addons.core.playback import playback, typed_lines
from addons.core.printable import printable
from addons.core.session_search import Search, moment
from addons.edge.archive import StoredSession, UnknownSession, search, session
from addons.edge.audit_check import SignedLedger
from addons.edge.audit_ledger import AuditLedger

app = App(name="sessions", help="What agents did: list, search, show, audit, play, open, export, hold.")
app.command("addons.cli.search:search", name="search")
app.command("addons.cli.bundles:export", name="export")
app.command("addons.cli.bundles:open_session", name="open")
app.command("addons.cli.holds:hold", name="hold")
app.command("addons.cli.holds:release", name="release")
app.command("addons.cli.holds:prune", name="prune")

Output = Annotated[Literal["text", "json"], Parameter(alias="-o")]
Patterns = tuple[str, ...]
_CONF = Path("mitm.conf")


@app.command(name="list")
def list_sessions(
    *,
    who: Patterns = (),
    connection: Patterns = (),
    verb: Patterns = (),
    resource: Patterns = (),
    namespace: Patterns = (),
    verdict: Patterns = (),
    rule: Patterns = (),
    since: str = "",
    until: str = "",
    text: str = "",
    output: Output = "text",
    conf: Path = _CONF,
) -> None:
    """List sessions, the latest last; with options, only those that match, with the number of events that do.

    Options from `--verb` to `--until` are about one and the same event. What takes a pattern (`*`, `?`) may be given
    several times: one of them must match.

    Parameters
    ----------
    who
        Pattern of the caller's subject, whom it acts for, or who owns it.
    connection
        Pattern of the cluster's connection.
    verb
        Pattern of the verb: get, create, delete.
    resource
        Pattern of the resource: pods, pods/exec, deployments.apps.
    namespace
        Pattern of the namespace.
    verdict
        Pattern of the decision: allow, warn, require_approval, deny, refuse.
    rule
        Pattern of the rule that decided.
    since
        Not before this time: 2026-01-31, 2026-01-31T12:00Z, or how long ago: 2h.
    until
        Before this time.
    text
        Something that was typed or printed in a recorded terminal, whatever its case.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    now = time.time()
    first, end = (moment(when, now) if when else "" for when in (since, until))
    patterns: dict[str, Any] = {
        "who": who,
        "connection": connection,
        "verb": verb,
        "resource": resource,
        "namespace": namespace,
    }
    patterns |= {"verdict": verdict, "rule": rule}
    wanted = Search(**patterns, since=first, until=end, text=text)
    found = search(operator(conf).state, wanted)
    if output == "json":
        told = [
            {**stored.about, "id": stored.id, "folder": str(stored.folder)} | ({"events": count} if count else {})
            for stored, count in found
        ]
        print(json.dumps(told, indent=2))
        return
    for stored, count in found:
        print(_session_line(stored) + (f"  {count} events" if wanted.of_events else ""))


@app.command
def show(session_id: str, *, conf: Path = _CONF) -> None:
    """Show one session: who, what, and its files; of each terminal, what was typed as far as that can be told.

    Parameters
    ----------
    session_id
        Its id, or how it begins.
    conf
        The gateway's configuration file.
    """
    stored = session(operator(conf).state, session_id)
    identity = stored.about.get("identity") or {}
    for name, value in {**stored.about, **identity, "identity": None}.items():
        if value:
            print(f"{printable(name) + ':':<12} {printable(str(value))}")
    print(f"folder:      {stored.folder}")
    if (held := SignedLedger(AuditLedger(stored.folder.parents[1])).read_on().held.get(stored.id)) is not None:
        print(f"under legal hold since {held.time}: {printable(str(held.fields['reason']))}")
    for event in stored.events():
        if event.get("stage") != "RequestReceived":
            print(_event_line(event))
    for path in stored.casts:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in typed_lines(lines):
                print(f"typed (best effort), {path.name}: {printable(line)}")


@app.command
def audit(session_id: str, *, output: Output = "text", conf: Path = _CONF) -> None:
    """Print the session's audit events.

    Parameters
    ----------
    session_id
        Its id, or how it begins.
    output
        "text" for a line each, "json" for the events themselves, one a line.
    conf
        The gateway's configuration file.
    """
    for event in session(operator(conf).state, session_id).events():
        print(json.dumps(event) if output == "json" else _event_line(event))


@app.command
def play(session_id: str, *, cast: str = "", speed: float = 1.0, raw: bool = False, conf: Path = _CONF) -> None:
    """Replay the session's terminals.

    Parameters
    ----------
    session_id
        Its id, or how it begins.
    cast
        Only the recording whose name contains this.
    speed
        2 is twice as fast, 0 does not wait.
    raw
        Send what was printed to your terminal as it is, escape sequences included. Only if you trust it.
    conf
        The gateway's configuration file.
    """
    casts = [path for path in session(operator(conf).state, session_id).casts if cast in path.name]
    if not casts:
        raise UnknownSession(f"session {session_id} has no recording{f' named {cast}' if cast else ''}")
    for path in casts:
        with path.open(encoding="utf-8", errors="replace") as lines:
            title = json.loads(lines.readline() or "null") or {}
            print(
                f"--- {path.name}: {printable(str(title.get('title', '')))}: {printable(str(title.get('command', '')))}"
            )
            lines.seek(0)
            for wait, text in playback(lines, raw and sys.stdout.isatty(), speed):
                time.sleep(wait)
                print(text, end="", flush=True)


def _event_line(event: dict[str, Any]) -> str:
    notes, status = event.get("annotations") or {}, event.get("responseStatus") or {}
    decision, rule = (str(notes.get(f"chaperone.dev/{name}", "")) for name in ("decision", "rule"))
    words = [event.get("requestReceivedTimestamp", ""), event.get("stage", ""), event.get("verb", ""),
             event.get("requestURI", ""), status.get("code", ""), decision, f"({rule})" if rule else ""]  # fmt: skip
    return "  ".join(printable(str(word)) for word in words if word)


def _session_line(stored: StoredSession) -> str:
    intent, connection = (printable(str(stored.about.get(name, ""))) for name in ("intent", "connection"))
    return f"{printable(stored.id):<24} {_time(stored.changed_at)}  {printable(stored.user)} on {connection}  {intent}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
