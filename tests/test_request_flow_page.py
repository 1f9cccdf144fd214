"""docs/request-flow.md shows the stack as it is: the same steps in the same order, each with the hooks it has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mitmproxy.hooks import all_hooks

from addons import stack

PAGE = Path(__file__).parents[1] / "docs" / "request-flow.md"


def test_the_page_shows_the_stack() -> None:
    built = next(node for node in ast.walk(ast.parse(Path(stack.__file__).read_text())) if isinstance(node, ast.List))
    names = [step.func.id for step in built.elts if isinstance(step, ast.Call) and isinstance(step.func, ast.Name)]
    assert len(names) == len(built.elts)
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    shown = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2])) for row in rows}
    assert list(shown) == names
    assert shown == {name: set(vars(getattr(stack, name))) & set(all_hooks) for name in names}


def test_every_link_of_the_page_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text())
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []
    assert targets
