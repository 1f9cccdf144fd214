"""Writes docs/bypasses.md from bypasses.yaml and the tests that are named by its ids.

    python -m scripts.bypasses_page

A test belongs to the ids that its name begins with: `test_b01_…`, `test_b67a_…`, `test_b03_b84_…`.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).with_name("bypasses.yaml")
PAGE = ROOT / "docs" / "bypasses.md"
END_TO_END = "tests/e2e/"
_IDS = re.compile(r"test((?:_b[0-9][0-9a]a?(?=_))+)_")
_TESTS = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
_HEAD = """\
<!-- Generated: python -m scripts.bypasses_page, from scripts/bypasses.yaml and the names of tests. -->
# Ways around, and what comes of them

What has been tried against gateways like this one, each with the tests that try it here. The tests in `tests/e2e` do so
with raw sockets and real clients, through a real gateway process in front of a real API server, and take that server's
own audit log for the truth about what arrived and how it was read. Those of one id run with
`python -m pytest -k b01 tests`.
"""


@dataclass(frozen=True, slots=True)
class Bypass:
    """One way around."""

    id: str
    what: str
    result: str
    note: str = ""


def bypasses() -> dict[str, tuple[str, list[Bypass]]]:
    """Every section's title and entries. Raises for an entry that is not complete."""
    content: dict[str, dict[str, Any]] = yaml.safe_load(DATA.read_text())
    return {
        section: (entries.pop("title"), [Bypass(id=name, **fields) for name, fields in entries.items()])
        for section, entries in content.items()
    }


@cache
def tests_by_id() -> dict[str, list[str]]:
    """The test files of each id that a test's name begins with; end-to-end tests first."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in _TESTS.findall(path.read_text()):
            for each in _ids(name):
                found.setdefault(each, set()).add(path.relative_to(ROOT).as_posix())
    return {each: sorted(files, key=_end_to_end_first) for each, files in found.items()}


def _end_to_end_first(file: str) -> tuple[bool, str]:
    return not file.startswith(END_TO_END), file


def _ids(name: str) -> list[str]:
    """`B-01` of `test_b01_x`, `B-1A` of `test_b1a_x`, `B-67a` of `test_b67a_x`."""
    match = _IDS.match(name)
    parts = match[1].split("_b")[1:] if match else []
    return [f"B-{part[:2].upper()}{part[2:]}" for part in parts]


def page() -> str:
    """The whole page."""
    tests = tests_by_id()
    return _HEAD + "".join(_section(*each, tests) for each in bypasses().items())


def _section(section: str, titled: tuple[str, list[Bypass]], tests: dict[str, list[str]]) -> str:
    title, entries = titled
    rows = [f"| {each.id} | {each.what} | {_result(each)} | {_links(tests.get(each.id, []))} |" for each in entries]
    head = [f"\n## {section}. {title}\n", "| id | what is tried | what comes of it | tests |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _result(bypass: Bypass) -> str:
    return f"{bypass.result} *{bypass.note}*" if bypass.note else bypass.result


def _links(files: list[str]) -> str:
    return "<br>".join(f"[{Path(file).stem.removeprefix('test_')}](../{file})" for file in files) or "see left"


def main() -> None:
    """Write it."""
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}: {sum(len(entries) for _, entries in bypasses().values())} ids\n")


if __name__ == "__main__":
    main()
