"""A command that is run in the place of ours: signals reach it, and its end is ours."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

NO_SUCH_COMMAND = 127
"""As shells say it."""


def run_command(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Its exit status, as shells have it. SIGTERM and SIGHUP are passed on, whenever they come."""
    children: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        for child in children:
            child.send_signal(number)
        if not children:
            early.append(number)

    for number in (signal.SIGTERM, signal.SIGHUP):  # before there is a child, which nobody would end otherwise
        signal.signal(number, pass_on)
    try:
        child = subprocess.Popen(command, env=env)
    except FileNotFoundError:
        print(f"chaperone: there is no command {command[0]!r}", file=sys.stderr)
        return NO_SUCH_COMMAND
    children.append(child)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both
    for missed in early:
        child.send_signal(missed)
    code = child.wait()
    return code if code >= 0 else 128 - code
