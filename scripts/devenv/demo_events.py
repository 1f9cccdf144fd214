"""Reading audit events, the gateway's and the API server's alike: both are audit.k8s.io/v1, one a line."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

type Event = dict[str, Any]

_PREFIX = "chaperone.dev/"


def read_events(log: Path) -> list[Event]:
    """All events of a log, in order; a last line that is still being written is left out."""
    return [json.loads(line) for line in log.read_text().split("\n")[:-1]]


def of_object(log: Path, verb: str = "", resource: str = "", name: str = "") -> list[Event]:
    """The events with this verb about this object; what is empty may be anything."""
    wanted = {key: value for key, value in {"resource": resource, "name": name}.items() if value}
    return [
        event
        for event in read_events(log)
        if verb in ("", event["verb"])
        and all((event.get("objectRef") or {}).get(key) == value for key, value in wanted.items())
    ]


def gist(event: Event) -> tuple[str, str, str, str, int]:
    """Verb, resource, subresource, what the gateway decided, and the status code of the answer."""
    what = event["objectRef"]
    code = int(event["responseStatus"]["code"])
    return event["verb"], what["resource"], what.get("subresource", ""), note(event, "decision"), code


def note(event: Event, name: str) -> str:
    """What the gateway noted under this name."""
    return str(event["annotations"].get(f"{_PREFIX}{name}", ""))


def readable(event: Event) -> str:
    """One line for people."""
    verb, resource, subresource, decision, code = gist(event)
    what = event["objectRef"]
    at = datetime.fromisoformat(event["requestReceivedTimestamp"]).strftime("%H:%M:%S")
    where = "/".join(part for part in (what.get("namespace"), what.get("name")) if part)
    approver = note(event, "approver").rpartition("#")[2]
    notes = [note(event, "rule"), approver and f"approved by {approver}", note(event, "argv"), note(event, "cast")]
    kind = f"{resource}/{subresource}" if subresource else resource
    return "  ".join([at, f"{decision:<16}", str(code), f"{verb} {kind} {where}".rstrip(), *filter(None, notes)])
