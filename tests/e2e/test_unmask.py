"""A right to see values: for whom an access rule gives it, as far as its scope reaches, and in no record."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import yaml

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.leaks import core, search
from tests.e2e.records import gateway_events
from tests.e2e.secret_objects import MASKED, encoded, secret
from tests.support.kubernetes import Kubectl


@pytest.fixture(scope="module")
def gateway(gateways: Gateways, admin: Kubectl) -> GatewayEnv:
    """A gateway where agents who say why may see Secrets of this namespace."""
    gateway = gateways.start("unmasking", settings={"hold_seconds": 0})
    (file,) = (gateway.rules / "access").glob("*.yaml")
    rules = list(yaml.safe_load_all(file.read_text()))
    plain: dict[str, Any] = next(rule for rule in rules if "agents" in rule["spec"]["groups"])
    shown = {
        **plain["spec"],
        "intent": {"pattern": "ROT-[0-9]+ .*", "example": "ROT-7 rotate"},
        "priority": 100,
        "scope": {"namespaces": [admin.namespace], "resources": ["secrets"]},
        "unmask": ["secrets"],
    }
    file.write_text(yaml.safe_dump_all([*rules, {**plain, "metadata": {"name": "rotators"}, "spec": shown}]))
    os.kill(gateway.child.pid, signal.SIGHUP)
    return gateway


INTENT = ("--as=agent", "--as-user-extra=reason=ROT-7 rotate the password")


def test_values_are_shown_to_whom_has_the_right(
    gateway: GatewayEnv, agent: Agent, admin: Kubectl, planted: list[str]
) -> None:
    value = "unmasked-" + os.urandom(12).hex()
    planted.append(value)
    admin("apply", "-f", "-", stdin=secret("rotated", password=value))
    assert MASKED in agent("get", "secret", "rotated", "-o", "yaml")
    quiet = agent.run  # what is shown here is no leak: it is kept out of the transcript that others search

    def asked(*words: str) -> str:
        return Kubectl.run(agent, *words, *INTENT).stdout

    said = eventually("the right", lambda: encoded(value) in asked("get", "secret", "rotated", "-o", "yaml"), 10)
    assert said
    assert quiet("get", "secret", "rotated", "-n", "default", *INTENT).returncode != 0
    assert encoded(value) in asked("get", "secrets", "-o", "json")
    assert encoded(value) in asked("get", "secret", "rotated", "-o", "json", "--watch", "--request-timeout=1s")
    assert MASKED in agent("get", "secret", "rotated", "-o", "yaml")


def test_it_is_on_record_and_the_value_is_not(gateway: GatewayEnv, planted: list[str]) -> None:
    shown = [event for event in gateway_events(gateway) if "chaperone.dev/unmask" in event["annotations"]]
    assert {event["annotations"]["chaperone.dev/unmask"] for event in shown} == {"secrets"}
    assert {event["objectRef"]["resource"] for event in shown} <= {"secrets"}
    value = next(value for value in planted if value.startswith("unmasked-"))
    leaked = search(core(value))
    files = [path for path in gateway.folder.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if leaked(path.read_bytes())] == []
    records = b"".join(path.read_bytes() for path in gateway.state_dir.glob("sessions/*/flows-*.mitm"))
    assert MASKED.encode() in records
