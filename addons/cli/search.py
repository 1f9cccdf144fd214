"""`chaperone sessions search`: single events, and places in recorded terminals, out of the index."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from addons.cli.index import progress
from addons.cli.operator import operator
from addons.core.printable import printable
from addons.core.session_search import Search, moment
from addons.core.timeline import entry, words
from addons.edge.search_keeper import catch_up
from addons.edge.search_query import Found, Page
from addons.edge.search_query import search as ask
from addons.edge.search_schema import IndexInUse

_CONF = Path("mitm.conf")
Patterns = tuple[str, ...]


def search(
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
    after: str = "",
    limit: int = 50,
    output: Annotated[Literal["text", "json"], Parameter(alias="-o")] = "text",
    conf: Path = _CONF,
) -> None:
    """Find events, or with `--text` places in recorded terminals, the latest first: a million of them in a second.

    It asks the index (`chaperone index`), which is brought up to date before. What takes a pattern (`*`, `?`) may be
    given several times: one of them must match.

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
        Something that was typed or printed in a terminal, whatever its case; the other options are about its exec.
    after
        Go on where an earlier search ended, as it said.
    limit
        How many at most.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    state, now = operator(conf).state, time.time()
    first, end = (moment(when, now) if when else "" for when in (since, until))
    patterns: dict[str, Any] = {"who": who, "connection": connection, "verb": verb, "resource": resource}
    patterns |= {"namespace": namespace, "verdict": verdict, "rule": rule}
    try:
        catch_up(state, progress())
    except (IndexInUse, PermissionError):
        pass  # whoever writes it keeps it up to date; how far that is, is said below
    except sqlite3.Error as error:
        print(f"the index cannot be brought up to date: {error}", file=sys.stderr)
    _print(ask(state, Search(**patterns, since=first, until=end, text=text), after, max(1, limit)), output)


def _print(page: Page, output: str) -> None:
    if output == "json":
        print(json.dumps(asdict(page), indent=2))
        return
    for found in page.found:
        told = _place(found) if found.event is None else words(entry(found.offset, [found.event]))
        print("  ".join(printable(word) for word in (found.time, found.session, *told) if word))
    if page.behind:
        print(f"{page.behind} bytes of the record are not in the index yet", file=sys.stderr)
    if page.after:
        print(f"there are more: --after {page.after}", file=sys.stderr)


def _place(found: Found) -> list[str]:
    return [f"{found.cast} at {found.seconds:.1f} s", f"{found.kind}: {''.join(found.text)}"]
