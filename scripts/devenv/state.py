"""The record of what was started for a cluster: written before anything else can go wrong, read to stop it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from scripts.devenv.processes import Child

CHILDREN = "children.json"


def record_children(state_dir: Path, children: Sequence[Child]) -> None:
    """Replaces the record."""
    write_atomically(state_dir / CHILDREN, [asdict(each) for each in children])


def recorded_children(state_dir: Path) -> list[Child]:
    """What was started for this folder, running or not, in that order."""
    try:
        return [Child(**each) for each in json.loads((state_dir / CHILDREN).read_text())]
    except FileNotFoundError:
        return []


def write_atomically(path: Path, document: object) -> None:
    """Writes JSON so that a reader finds the old document or the new one, never a part."""
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(document, indent=2))
    unfinished.replace(path)
