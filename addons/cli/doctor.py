"""`chaperone doctor`: finds what is wrong with a set-up, and says what to do about it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from addons.cli.ruleset import NO_SECRET_KEY
from addons.edge.agent_probes import BY_HAND, examine_agent
from addons.edge.archive_probes import examine_archive
from addons.edge.audit_ledger import AuditLedger
from addons.edge.own_probes import examine_own
from addons.edge.probes import Finding, examine, healthy
from addons.edge.schema import STORE_FILE
from addons.edge.store_probe import examine_store
from addons.policy import load_policy
from addons.settings import Settings, load_settings

_ENFORCEMENT = f"""\
Not checked from here: whether agents can reach the API server around the gateway. Run, where an agent runs:
  chaperone doctor --kubeconfig FILE
or {BY_HAND}"""


def doctor(
    *,
    conf: Path = Path("mitm.conf"),
    kubeconfig: Path | None = None,
    context: str = "",
    output: Annotated[Literal["text", "json"], Parameter(alias="-o")] = "text",
) -> int:
    """Check the configuration, the rules and everything the gateway needs to reach. Changes nothing.

    With a kubeconfig, look from an agent's side instead: whether all that it sends goes through the gateway, whether it
    trusts the gateway's CA, and whether there is a way around. Run that where agents run.

    Parameters
    ----------
    conf
        The configuration file.
    kubeconfig
        An agent's.
    context
        One of its contexts, instead of the current one.
    output
        "text" for people, "json" for programs.
    """
    if kubeconfig is not None:
        return _told(examine_agent(kubeconfig, context, os.environ), output)
    code = _told(_gateway_side(conf), output)
    if output == "text":
        print(_ENFORCEMENT)
    return code


def _gateway_side(conf: Path) -> Iterator[Finding]:
    """Every finding, as it is made. Raises InvalidConfiguration."""
    now = datetime.datetime.now(datetime.UTC)
    settings = load_settings(conf)
    policy = load_policy(settings.rules, NO_SECRET_KEY, now)
    yield Finding("configuration and rules", True, f"{conf}: no mistakes")
    certs, state = Path(settings.certs), Path(settings.state)
    yield from examine(certs, state, policy.providers, policy.connections.values(), now)
    password_file = Path(settings.store_password_file) if settings.store_password_file else None
    yield examine_store(state / STORE_FILE, settings.store, password_file)
    yield from examine_own(_certificates(settings), AuditLedger(state, settings.audit_key_file), policy.channels, now)
    if settings.archive is not None:
        yield from examine_archive(settings.archive, state, now.timestamp())


def _certificates(settings: Settings) -> dict[str, tuple[Path, Path]]:
    shown_by = {
        "the TLS listener": (settings.tls_certificate, settings.tls_key),
        "the console": (settings.console_certificate, settings.console_key),
    }
    return {name: (Path(first), Path(key)) for name, (first, key) in shown_by.items() if first}


def _told(looks: Iterable[Finding], output: str) -> int:
    """Each finding when it is there, or all of them as JSON; the exit status."""
    findings = []
    for finding in looks:
        findings.append(finding)
        if output == "text":
            show(finding)
    if output == "json":
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    return 0 if healthy(findings) else 1


def show(finding: Finding) -> None:
    """One line, and what to do about it if it is not as it should be."""
    print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what}: {finding.detail}", flush=True)
    if not finding.ok:
        print(f"      {finding.remedy}", flush=True)
