"""How fast a million events are indexed, and searched, by what an investigator may look for.

The record is made up: sessions with audit events as the gateway writes them, in size and in form, and some casts.
"""

from __future__ import annotations

import random
import resource
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from addons.core.audit import timestamp
from addons.core.session_search import Search
from addons.edge.search_follow import Follower
from addons.edge.search_query import count, search
from addons.edge.search_schema import index_folder, open_to_write, writing

AIM_SECONDS = 1.0
EVENTS, SESSIONS, CASTS = 1_000_000, 2_000, 500
_STARTED_AT = 1767225600.0
_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
_RESOURCES = ("pods", "deployments", "secrets", "configmaps", "services", "namespaces", "jobs", "nodes")
_VERDICTS = ("allow", "allow", "allow", "warn", "require_approval", "deny")
_OUTPUT = "2026-01-01T00:00:00Z INFO the request was served in 12 ms by worker {} of the deployment web-{}\r\n"
SEARCHES: Mapping[str, Search] = {
    "the latest": Search(),
    "one verb": Search(verb=["delete"]),
    "what nobody did": Search(verb=["nothing"]),
    "five facets": Search(verb=["get"], resource=["secrets"], namespace=["ns-7*"], verdict=["deny"], rule=["rule-3*"]),
    "one agent": Search(who=["agent-77"]),
    "many agents and a time": Search(who=["agent-7*"], rule=["*9"], since=timestamp(_STARTED_AT + 3600)),
    "the oldest": Search(until=timestamp(_STARTED_AT + 60)),
    "a text": Search(text="DEPLOYMENT web-77 "),
    "a text that is everywhere": Search(text="the request was served"),
    "a text that is nowhere": Search(text="there is no such text"),
    "a text of an exec": Search(text="worker 7 ", namespace=["ns-1*"]),
}


def measure(state: Path, events: int = EVENTS, sessions: int = SESSIONS, casts: int = CASTS) -> dict[str, Any]:
    """The report."""
    make_record(state, events, sessions, casts)
    began = time.monotonic()
    with writing(state):
        connection = open_to_write(state)
        follower = Follower(state, connection)
        made = follower.catch_up()
        seconds = time.monotonic() - began
        began = time.monotonic()
        follower.catch_up()
        nothing_new = time.monotonic() - began
        connection.close()
    times = {name: _seconds(state, each) for name, each in SEARCHES.items()}
    counted = [_timed(lambda each=each: count(state, each)) for each in SEARCHES.values() if not each.text]
    return {
        "events": made.events,
        "record_megabytes": round(made.total / 1e6, 1),
        "index_megabytes": round(sum(path.stat().st_size for path in index_folder(state).iterdir()) / 1e6, 1),
        "indexing_seconds": round(seconds, 1),
        "events_per_second": round(made.events / seconds),
        "nothing_new_seconds": round(nothing_new, 3),
        "most_memory_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "search_seconds": {name: round(each, 3) for name, each in times.items()},
        "count_seconds": round(max(counted), 3),
        "aim_seconds": AIM_SECONDS,
        "met": max(*times.values(), *counted) <= AIM_SECONDS,
    }


def make_record(state: Path, events: int, sessions: int, casts: int) -> None:
    """So many events, two of each call, in so many sessions; `casts` of these have a cast."""
    chance = random.Random(1)
    each = events // sessions
    for number in range(sessions):
        folder = state / "sessions" / f"{number:020x}"
        folder.mkdir(parents=True)
        about = {
            "identity": {"sub": f"agent-{number % 500}", "iss": "https://idp"},
            "connection": "prod",
            "intent": "INC-1",
        }
        (folder / "session.json").write_bytes(orjson.dumps(about))
        with (folder / "audit.jsonl").open("wb") as log:
            for place in range(each):
                log.write(orjson.dumps(_event(number, place, chance), option=orjson.OPT_APPEND_NEWLINE))
        if number < casts:
            (folder / f"exec-{number:020x}-0.cast").write_bytes(_cast(number))


def _event(number: int, place: int, chance: random.Random) -> dict[str, Any]:
    at = _STARTED_AT + number * 7 + place * 0.51
    call = place // 2
    executes = call == 0
    namespace = f"ns-{chance.randrange(100)}"
    ref = {"resource": "pods" if executes else chance.choice(_RESOURCES), "namespace": namespace, "name": f"web-{call}"}
    return {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": f"{number:020x}-{call}",
        "stage": ("RequestReceived", "ResponseComplete")[place % 2],
        "requestURI": f"/api/v1/namespaces/{namespace}/pods/web-{call}?limit=500",
        "verb": "create" if executes else chance.choice(_VERBS),
        "user": {"username": f"https://idp#agent-{number % 500}", "groups": ["agents"]},
        "sourceIPs": ["10.0.0.1"], "userAgent": "kubectl/v1.37.1 (linux/amd64) kubernetes/abcdef0",
        "objectRef": {**ref, "apiVersion": "v1", **({"subresource": "exec"} if executes else {})},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": timestamp(at), "stageTimestamp": timestamp(at + 0.01),
        "annotations": {
            "chaperone.dev/connection": "prod", "chaperone.dev/session": f"{number:020x}",
            "chaperone.dev/intent": "INC-1",
            "chaperone.dev/decision": chance.choice(_VERDICTS), "chaperone.dev/risk": "10",
            "chaperone.dev/rule": f"rule-{chance.randrange(60)}",
            "chaperone.dev/role": "arn:aws:iam::123456789012:role/view",
            "chaperone.dev/chain": f"w0-20260101T000000000-0a1b2c3d {place} {place * 1200} {'0' * 64} {'f' * 64}",
        },
    }  # fmt: skip


def _cast(number: int) -> bytes:
    header = {"version": 3, "term": {"cols": 80, "rows": 24}, "timestamp": int(_STARTED_AT) + number * 7,
              "command": "sh -c 'tail -f log'", "title": "exec", "tags": ["tty"]}  # fmt: skip
    lines: list[Any] = [header, [0.1, "i", "tail -f log\r"]]
    lines += [[0.05, "o", _OUTPUT.format(line % 50, number)] for line in range(1000)]
    return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)


def _seconds(state: Path, look_for: Search) -> float:
    """The median of three, of which the first reads the file anew."""
    return statistics.median(_timed(lambda: search(state, look_for)) for _ in range(3))


def _timed(what: Any) -> float:
    began = time.monotonic()
    what()
    return time.monotonic() - began
