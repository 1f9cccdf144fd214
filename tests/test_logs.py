"""The process's own log never shows a secret that happened to be in a variable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

SCRIPT = """
import structlog, logging
from addons.logs import configure_logs
configure_logs({form!r}, "info")
def fails():
    token = "hunter" + "2-secret"
    raise ValueError("planted")
try:
    fails()
except ValueError as error:
    structlog.get_logger().error("hook failed", exc_info=error)
logging.getLogger("mitmproxy").warning("from a library")
logging.getLogger("mitmproxy").info("not news")
"""


def run(script: str, stderr: int | IO[str] = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """What a process that logs has written."""
    return subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=Path(__file__).parents[1], timeout=30, check=True,
    )  # fmt: skip


@pytest.mark.parametrize("form", ["json", "console"])
def test_exceptions_are_told_without_local_variables(form: str) -> None:
    result = run(SCRIPT.format(form=form))
    assert "planted" in result.stderr
    assert "from a library" in result.stderr
    assert "hunter2-secret" not in result.stderr
    assert "not news" not in result.stderr
    assert result.stdout == ""


def test_a_log_that_cannot_be_written_is_nobodys_fault() -> None:
    script = SCRIPT.format(form="json") + "\nprint('still here')"
    with Path("/dev/full").open("w") as full:
        result = run(script, stderr=full)
    assert result.stdout == "still here\n"


WRITES = """
import sys, structlog, logging
from addons.logs import configure_logs
class Seen:
    def write(self, text): print(repr(text))
    def flush(self): pass
    def isatty(self): return False
sys.stderr = Seen()
configure_logs({form!r}, "info")
structlog.get_logger().info("ready", worker=1)
logging.getLogger("mitmproxy").warning("from a library")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_is_one_write(form: str) -> None:
    """Workers share standard error: what one of them writes in pieces, another's comes between."""
    result = run(WRITES.format(form=form))
    ready, library = result.stdout.splitlines()
    assert "ready" in ready and "from a library" in library
    assert ready.endswith(r"\n'") and library.endswith(r"\n'")
