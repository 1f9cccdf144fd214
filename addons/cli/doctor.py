"""`chaperone doctor`: finds what is wrong with a set-up, and says what to do about it."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from addons.cli.ruleset import NO_SECRET_KEY
from addons.edge.archive_probes import examine_archive
from addons.edge.probes import Finding, examine, healthy
from addons.edge.schema import STORE_FILE
from addons.edge.store_probe import examine_store
from addons.policy import load_policy
from addons.settings import load_settings

_ENFORCEMENT = """\
Not checked from here: whether agents can reach the API server around the gateway. Run, where an agent runs:
  curl --noproxy '*' -k -m 5 https://API-SERVER/version     # must time out or be refused"""


def doctor(
    *, conf: Path = Path("mitm.conf"), output: Annotated[Literal["text", "json"], Parameter(alias="-o")] = "text"
) -> int:
    """Check the configuration, the rules and everything the gateway needs to reach. Changes nothing.

    Parameters
    ----------
    conf
        The configuration file.
    output
        "text" for people, "json" for programs.
    """
    now = datetime.datetime.now(datetime.UTC)
    settings = load_settings(conf)
    policy = load_policy(settings.rules, NO_SECRET_KEY, now)
    findings = [Finding("configuration and rules", True, f"{conf}: no mistakes")]
    if output == "text":
        show(findings[0])
    certs, state = Path(settings.certs), Path(settings.state)
    password_file = Path(settings.store_password_file) if settings.store_password_file else None
    looks = itertools.chain(
        examine(certs, state, policy.providers, policy.connections.values(), now),
        map(examine_store, [state / STORE_FILE], [settings.store], [password_file]),  # when its turn comes
        () if settings.archive is None else examine_archive(settings.archive, state, now.timestamp()),
    )
    for finding in looks:
        findings.append(finding)
        if output == "text":
            show(finding)
    if output == "json":
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        print(_ENFORCEMENT)
    return 0 if healthy(findings) else 1


def show(finding: Finding) -> None:
    """One line, and what to do about it if it is not as it should be."""
    print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what}: {finding.detail}", flush=True)
    if not finding.ok:
        print(f"      {finding.remedy}", flush=True)
