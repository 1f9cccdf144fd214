"""The gateways that end-to-end tests start."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.devenv import forkserver
from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv, Upstream, start_gateway
from scripts.devenv.processes import Child, is_running

RULES = Path(__file__).parent / "rules"
LASTING = frozenset({"shared", "impatient", "attacked", "lenient"})
"""Those that several modules use."""


def start(
    upstream: Cluster | Upstream,
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    rules: Path | None = RULES,
) -> GatewayEnv:
    """A gateway that ends with this process at the latest."""
    return start_gateway(
        upstream, folder, extra_rules=rules, settings=settings, owner_pid=os.getpid(), spawn=forkserver.spawn
    )


def end(gateways: Iterable[GatewayEnv]) -> list[Child]:
    """Asks these to end, and to seal what they wrote; those that ran."""
    running = [gateway.child for gateway in gateways if is_running(gateway.child)]
    for child in running:
        os.kill(child.pid, signal.SIGTERM)
    return running


@dataclass(slots=True)
class Gateways:
    """Every gateway of the session, running or not."""

    cluster: Cluster
    folder: Path
    started: list[GatewayEnv] = field(default_factory=list)

    def start(
        self,
        name: str,
        upstream: Cluster | Upstream | None = None,
        settings: Mapping[str, Any] | None = None,
        rules: Path | None = RULES,
    ) -> GatewayEnv:
        """A gateway of its own; without an upstream, in front of the cluster. A name has one gateway, once."""
        assert self.folder / name not in [known.folder for known in self.started], f"a second gateway {name}"
        gateway = start(upstream or self.cluster, self.folder / name, settings, rules)
        self.started.append(gateway)
        return gateway
