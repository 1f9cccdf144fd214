"""What is built is what the modules pin."""

import re
from pathlib import Path

import pytest

from scripts.devenv.places import DEVENV
from scripts.devenv.tools import ALL_TOOLS, TOOLS, Tool, ensure_helm, ensure_tools, missing_tools


@pytest.mark.parametrize("tool", ALL_TOOLS, ids=lambda tool: tool.name)
def test_the_version_named_is_the_version_pinned(tool: Tool) -> None:
    module = (DEVENV / "gomods" / tool.module / "go.mod").read_text()
    assert re.search(rf"^(tool)?\s*{re.escape(tool.package)}$", module, re.MULTILINE)
    pinned = dict(re.findall(r"^\s*(?:require )?(\S+) v(\S+)", module, re.MULTILINE))
    owner = max((name for name in pinned if f"{tool.package}/".startswith(f"{name}/")), key=len)
    assert pinned[owner] == tool.version


def test_programs_of_the_assets_folder_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in ALL_TOOLS:
        (tmp_path / tool.name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert set(ensure_tools().values()) == {tmp_path / tool.name for tool in TOOLS}
    assert ensure_helm() == tmp_path / "helm"
    assert missing_tools(ALL_TOOLS) == []


def test_what_is_in_no_folder_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert missing_tools() == [tool.name for tool in TOOLS]
