"""`chaperone connections`: which clusters there are, and whether they can be reached with each role."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from cyclopts import App

from addons.cli.doctor import show
from addons.cli.ruleset import NO_SECRET_KEY, Output
from addons.core.connection import Connection
from addons.edge.connection_check import check_roles
from addons.edge.minters import Minters
from addons.edge.probes import Finding, examine_connection, healthy
from addons.logs import configure_logs
from addons.policy import Policy, load_policy
from addons.settings import load_settings

app = App(name="connections", help="Which clusters there are, and whether they can be reached: list, check, add.")
app.command("addons.cli.onboarding:app", name="add")

_CONF = Path("mitm.conf")


@app.command(name="list")
def list_connections(*, output: Output = "text", conf: Path = _CONF) -> None:
    """List the clusters behind the gateway.

    Parameters
    ----------
    conf
        The gateway's configuration file.
    """
    found = [_about(connection) for connection in _policy(conf).connections.values()]
    if output == "json":
        print(json.dumps(found, indent=2))
        return
    for each in found:
        print(f"{each['name']}  {each['host']}  {each['kind']}  {each['profile']}")


@app.command
def check(*names: str, output: Output = "text", conf: Path = _CONF) -> int:
    """Check that a cluster is reached, is who it should be, and accepts every role that access rules give on it.

    For each role a credential is made as for a grant, and the cluster is asked who that is. Nothing is changed. Exit
    status 1 if anything needs attention.

    Parameters
    ----------
    names
        Connections; all without any.
    conf
        The gateway's configuration file.
    """
    policy = _policy(conf)
    if unknown := set(names) - policy.connections.keys():
        known = ", ".join(sorted(policy.connections))
        raise LookupError(f"there is no connection {', '.join(sorted(unknown))}; there is: {known}")
    configure_logs("console", "error")  # what is found says it
    findings = asyncio.run(_check(policy, names or tuple(policy.connections), output))
    if output == "json":
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    return 0 if healthy(findings) else 1


async def _check(policy: Policy, names: Sequence[str], output: str) -> list[Finding]:
    findings = []
    async for finding in _findings(policy, names):
        findings.append(finding)
        if output == "text":
            show(finding)
    return findings


async def _findings(policy: Policy, names: Sequence[str]) -> AsyncIterator[Finding]:
    minters = Minters()
    try:
        for connection in (policy.connections[name] for name in names):
            reached = await asyncio.to_thread(examine_connection, connection)
            yield reached
            if reached.ok:
                async for finding in check_roles(connection, policy.access.roles(connection.name), minters.by_kind):
                    yield finding
    finally:
        minters.close()


def _about(connection: Connection) -> dict[str, str]:
    return {
        "name": connection.name,
        "host": f"{connection.host}:{connection.port}",
        "address": f"{connection.address[0]}:{connection.address[1]}",
        "kind": connection.kind,
        "profile": str(connection.profile),
    }


def _policy(conf: Path) -> Policy:
    return load_policy(load_settings(conf).rules, NO_SECRET_KEY, datetime.datetime.now(datetime.UTC))
