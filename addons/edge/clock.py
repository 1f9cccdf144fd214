"""The one place that reads the machine's clock."""

from __future__ import annotations

import time


def now() -> float:
    """Unix seconds, UTC."""
    return time.time()
