"""What an agent's ordinary work asks of the API server, recorded from real kubectl and helm.

tests/e2e/test_ordinary_work.py runs the commands and makes the recording.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[1] / "corpus" / "ordinary_work.jsonl"
Question = dict[str, Any]
"""As `chaperone explain --batch` reads it: `method`, `target`, and for writes `object` and `old_object`."""


def read_corpus() -> list[Question]:
    """Every question, in the order it was asked."""
    return [json.loads(line) for line in CORPUS.read_text().splitlines()]
