from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from addons.core.audit_chain import Link
from addons.core.audit_report import Report
from addons.core.audit_verify import Found, check_recordings
from addons.core.recording import Recording, Seal, recording_of

NAME = "exec-7b1c.cast"
NOTES = {"chaperone.dev/cast": NAME, "chaperone.dev/record-sha256": "ab" * 32, "chaperone.dev/record-bytes": "7"}


def line(**changes: Any) -> bytes:
    notes = {f"chaperone.dev/{name.replace('_', '-')}": value for name, value in changes.items()}
    return json.dumps({"annotations": {k: v for k, v in (NOTES | notes).items() if v is not None}}).encode() + b"\n"


def test_a_seal_is_over_all_that_was_written() -> None:
    seal = Seal()
    for part in (b"one", b"", b"two"):
        seal.add(part)
    assert seal.annotations() == {"record-sha256": sha256(b"onetwo").hexdigest(), "record-bytes": "6"}


def test_what_an_event_seals() -> None:
    compact = json.dumps({"annotations": NOTES}, separators=(",", ":")).encode()
    assert recording_of(compact) == Recording(NAME, 7, "ab" * 32)
    forward = json.loads(compact)
    forward["annotations"]["chaperone.dev/forward"] = forward["annotations"].pop("chaperone.dev/cast").replace(
        "exec", "forward"
    ).replace("cast", "jsonl")  # fmt: skip
    found = recording_of(json.dumps(forward, separators=(",", ":")).encode())
    assert found is not None and found.name == "forward-7b1c.jsonl"


@pytest.mark.parametrize(
    "changes",
    [
        {"record_sha256": None},
        {"record_bytes": None},
        {"record_bytes": "many"},
        {"cast": None},
        {"cast": "../../etc/passwd"},
        {"cast": "audit.jsonl"},
        {"cast": "exec-a/../b.cast"},
        {"cast": 7},
    ],
)
def test_what_seals_nothing(changes: dict[str, Any]) -> None:
    assert recording_of(line(**changes).replace(b": ", b":")) is None


@pytest.mark.parametrize("text", [b'"chaperone.dev/record-sha256":"', b'["chaperone.dev/record-sha256":"x"]', b"{}"])
def test_what_is_no_event(text: bytes) -> None:
    assert recording_of(text) is None


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ((7, "ab" * 32), None),
        ((7, "cd" * 32), f"{NAME}, which it seals, is not as it was written"),
        ((5, "ab" * 32), f"{NAME}, which it seals, has 5 bytes of 7"),
        (None, f"{NAME}, which it seals, is not here"),
    ],
)
def test_the_file_is_as_it_was_sealed(now: tuple[int, str] | None, said: str | None) -> None:
    report, asked = Report(), []

    def measured(file: str, name: str) -> tuple[int, str] | None:
        asked.append((file, name))
        return now

    link = Link("c", 3, 0, b"", b"", True)
    records = [Found(link, "s/audit.jsonl", 1), Found(link, "s/audit.jsonl", 2, Recording(NAME, 7, "ab" * 32))]
    check_recordings(records, measured, report)
    assert asked == [("s/audit.jsonl", NAME)]
    assert [(each.text, each.line, each.sequence) for each in report.findings] == ([(said, 2, 3)] if said else [])
