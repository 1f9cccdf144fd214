"""Writes docs/openapi.json, the description of the console's REST API: `python -m scripts.openapi`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from addons.console.api.app import description, make_api

PAGE = Path(__file__).parents[1] / "docs" / "openapi.json"
URL = "https://chaperone.example.com"


def document() -> dict[str, Any]:
    """As any console describes its own."""
    return description(make_api(cast(Any, None)), URL)  # which it needs to answer, and not to say what it answers


def text() -> str:
    """The file."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text())
