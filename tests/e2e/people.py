"""People for tests: the operators' command line, run as its users run it."""

from __future__ import annotations

import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from addons.cli.operator import operator
from addons.core.approval import State
from addons.core.identity import Identity
from scripts.devenv import forkserver
from scripts.devenv.forkserver import CHAPERONE
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.places import REPOSITORY
from tests.e2e.agent import SOON, eventually
from tests.e2e.records import approvals

COMMAND_SECONDS = 60


def chaperone(
    gateway: GatewayEnv, *arguments: str, token: str = "", conf: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The product's command about one gateway, or another configuration, by somebody with this token."""
    return forkserver.run(
        [*CHAPERONE, *arguments, f"--conf={conf or gateway.conf}"],
        timeout=COMMAND_SECONDS,
        env={"PATH": "", "PYTHONPATH": str(REPOSITORY), "HOME": str(gateway.folder), "CHAPERONE_TOKEN": token},
    )


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who answers."""

    token: str

    def answers(self, gateway: GatewayEnv, *arguments: str) -> str:
        """`approvals approve ID` and the like; what it printed."""
        done = chaperone(gateway, "approvals", *arguments, token=self.token)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def approves(self, gateway: GatewayEnv, approval_id: str) -> None:
        """What `approvals approve ID` does, without a process of its own: most tests just need somebody who agrees."""
        with closing(operator(gateway.conf).open_store()) as store:
            store.decide(approval_id, State.GRANTED, _verified(gateway.conf, self.token), "", time.time())

    def is_refused(self, gateway: GatewayEnv, *arguments: str) -> str:
        """Why such an answer did not count."""
        done = chaperone(gateway, "approvals", *arguments, token=self.token)
        assert done.returncode == 1, done.stdout
        return done.stderr


@cache
def _verified(conf: Path, token: str) -> Identity:
    return operator(conf).verify(token)


def pending(gateway: GatewayEnv, seconds: float = SOON, **columns: str) -> dict[str, Any]:
    """The question about this object that waits for an answer, once there is one."""
    rows = eventually("a question", lambda: approvals(gateway, state="pending", **columns), seconds)
    assert len(rows) == 1, [(row["target"], row["argv"]) for row in rows]
    found: dict[str, Any] = rows[0]
    return found
