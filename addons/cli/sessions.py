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
from addons.edge.archive import UnknownSession, session, sessions

app = App(name="sessions", help="What agents did: list, show, audit, play, open, export.")
app.command("addons.cli.bundles:export", name="export")
app.command("addons.cli.bundles:open_session", name="open")

Output = Annotated[Literal["text", "json"], Parameter(alias="-o")]
_CONF = Path("mitm.conf")


@app.command(name="list")
def list_sessions(*, output: Output = "text", conf: Path = _CONF) -> None:
    """List sessions, the latest last.

    Parameters
    ----------
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    found = sessions(operator(conf).state)
    if output == "json":
        print(
            json.dumps([{**stored.about, "id": stored.id, "folder": str(stored.folder)} for stored in found], indent=2)
        )
        return
    for stored in found:
        intent, connection = (printable(str(stored.about.get(name, ""))) for name in ("intent", "connection"))
        print(
            f"{printable(stored.id):<24} {_time(stored.changed_at)}  {printable(stored.user)} on {connection}  {intent}"
        )


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


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
