"""What is built is what the modules pin."""

import re

import pytest

from scripts.devenv.places import DEVENV
from scripts.devenv.tools import TOOLS, Tool


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_the_version_named_is_the_version_pinned(tool: Tool) -> None:
    module = (DEVENV / "gomods" / tool.module / "go.mod").read_text()
    assert re.search(rf"^(tool)?\s*{re.escape(tool.package)}$", module, re.MULTILINE)
    pinned = dict(re.findall(r"^\s*(?:require )?(\S+) v(\S+)", module, re.MULTILINE))
    owner = max((name for name in pinned if f"{tool.package}/".startswith(f"{name}/")), key=len)
    assert pinned[owner] == tool.version
