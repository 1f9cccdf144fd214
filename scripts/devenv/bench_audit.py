"""How long the chain of the audit log takes: of an event, of a checkpoint, and to verify an event, without a disk.

The events are what a gateway writes of ordinary requests. A changed one is tried first: were it found genuine, the
speed would be worth nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from addons.core.audit import Call, Stage, event, line
from addons.core.audit_chain import EntryKind, Head, key_id, ledger_line, linked, read_link
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.edge.audit_key import SigningKey, make_key
from scripts.devenv.bench_decision import nothing_to_collect
from scripts.devenv.bench_report import case_report
from scripts.devenv.bench_scenarios import WrongAnswers

AIMS_US = {"event": 10, "checkpoint": 200, "verify": 20}
TITLES = {"event": "a place in the chain", "checkpoint": "a signed checkpoint", "verify": "an event verified"}
EVENTS = 2000
"""Of a round; of checkpoints a tenth."""
_FOLDER = "5e55101100000000"
_HEAD = Head("0-20260101T000000000-5e551011", 0, bytes(32))


def measure(rounds: int) -> dict[str, Any]:
    """Microseconds of each case, the median of `rounds`. Raises WrongAnswers if a changed event was not found."""
    lines = [_event(number) for number in range(EVENTS)]
    with TemporaryDirectory(prefix="chaperone-bench-") as folder:
        key = make_key(Path(folder) / "signing.key")
    _finds_a_change(lines[0])
    taken: dict[str, list[float]] = {name: [] for name in AIMS_US}
    with nothing_to_collect():
        for _ in range(rounds):
            written = _written(lines, taken["event"])
            _timed(partial(_read, written), EVENTS, taken["verify"])
            _checkpoints(key, taken["checkpoint"])
    return {
        "events": EVENTS,
        "event_bytes": len(lines[0]),
        "cases": [case_report(name, TITLES[name], taken[name], AIMS_US[name]) for name in taken],
    }


def _event(number: int) -> bytes:
    """Of a request for a Pod."""
    path = f"/api/v1/namespaces/web/pods/web-{number}"
    request = KubeRequest(method="GET", path=path, is_resource_request=True, verb="get", resource="pods")
    call = Call(
        id=f"5e551011-0000-4000-8000-{number:012d}",
        received_at=1.8e9 + number,
        method="GET",
        target=path,
        source="10.0.0.7",
        user_agent="kubectl/v1.37.0 (linux/amd64) kubernetes/0000000",
        connection="prod",
        session=_FOLDER,
        intent="INC-42: why does web restart",
        identity=Identity(iss="https://idp.example", sub="agent-7", aud=("chaperone",), exp=2e9, groups=("agents",)),
        request=request,
    )
    return line(event(call, Stage.RESPONSE_COMPLETE, 1.8e9 + number, 200))


def _finds_a_change(text: bytes) -> None:
    changed, _ = linked(text, _HEAD, _FOLDER, 0)
    link = read_link(changed.replace(b"INC-42", b"INC-43"), _FOLDER)
    if link is None or link.genuine:
        raise WrongAnswers("a changed event was found to be genuine")


def _written(lines: Sequence[bytes], taken: list[float]) -> list[bytes]:
    written: list[bytes] = []

    def write() -> None:
        head, offset = _HEAD, 0
        for text in lines:
            piece, head = linked(text, head, _FOLDER, offset)
            offset += len(piece)
            written.append(piece)

    _timed(write, len(lines), taken)
    return written


def _read(written: Sequence[bytes]) -> None:
    for each in written:
        read_link(each, _FOLDER)


def _checkpoints(key: SigningKey, taken: list[float]) -> None:
    fields = {"chain": _HEAD.chain, "sequence": 10**6, "hash": _HEAD.digest.hex()}
    count = EVENTS // 10

    def sign() -> None:
        for _ in range(count):
            ledger_line(None, "2026-01-01T00:00:00.000000Z", EntryKind.CHECKPOINT, fields, key_id(key.public), key.sign)

    _timed(sign, count, taken)


def _timed(work: Callable[[], object], count: int, taken: list[float]) -> None:
    began = time.perf_counter()
    work()
    taken.append((time.perf_counter() - began) / count * 1e6)
