"""What kubectl prints, kept in files: a change of any text an agent reads shows in a review.

Only what differs from run to run is replaced: ids, times and ports. `CHAPERONE_UPDATE_GOLDEN=1` writes the files anew.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
UPDATE = "CHAPERONE_UPDATE_GOLDEN"
_CHANGING = [
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "REFERENCE"),
    (re.compile(r"(?<=approval )[2-9a-hjkmnp-z]{8}(?=:| is )"), "APPROVAL"),
    (re.compile(r"(?<=approvals approve )[2-9a-hjkmnp-z]{8}\b"), "APPROVAL"),
    (re.compile(r"\be2e-[0-9a-f]{8}\b"), "NAMESPACE"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?\b"), "TIME"),
    (re.compile(r"(?<=it expired )\d+(?= s ago)"), "N"),
    (re.compile(r"(?<=[\w\]]:)\d{4,5}\b|(?<=127\.0\.0\.1', )\d{4,5}\b"), "PORT"),
]


def check(name: str, command: Sequence[str], done: subprocess.CompletedProcess[str]) -> None:
    """What was printed is what `golden/NAME.txt` holds."""
    file = FOLDER / f"{name}.txt"
    text = normal(f"$ kubectl {' '.join(command)}\n{done.stdout}{done.stderr}[exit status {done.returncode}]\n")
    if os.environ.get(UPDATE):
        file.write_text(text)
    assert file.exists(), f"{file} does not exist; run with {UPDATE}=1, and read what it writes"
    assert text == file.read_text(), f"run with {UPDATE}=1 if this is what it should say"


def normal(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    return text


def known() -> set[str]:
    """The names of all golden files."""
    return {file.stem for file in FOLDER.iterdir()}
