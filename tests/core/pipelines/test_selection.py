"""Which events and alerts a pipeline takes: a row for each thing that can be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.alert import Fired
from addons.core.pipelines.models import SelectSpec
from addons.core.pipelines.selection import Selection
from tests.core.pipelines.events import call, denied, made

EXEC = made(call("GET /api/v1/namespaces/shop/pods/web/exec?command=sh"), code=101)
ANONYMOUS: dict[str, Any] = {"user": None, "annotations": None, "stage": "Panic"}


@pytest.mark.parametrize(
    ("select", "taken"),
    [
        ({}, [True, True, True]),
        ({"connections": ["pr*"]}, [True, True, False]),
        ({"connections": ["dev"]}, [False, False, False]),
        ({"users": ["https://idp#*"]}, [True, True, False]),
        ({"verbs": ["get"], "resources": ["pods/exec"]}, [False, True, False]),
        ({"namespaces": ["sho?"]}, [True, True, False]),
        ({"verdicts": ["deny", "refuse"]}, [True, False, False]),
        ({"rules": ["secrets"]}, [True, False, False]),
        ({"stages": ["Panic"]}, [False, False, True]),
    ],
)
def test_events(select: dict[str, list[str]], taken: list[bool]) -> None:
    selection = Selection(SelectSpec.model_validate(select))
    assert [selection.takes(event) for event in (denied(), EXEC, ANONYMOUS)] == taken


@pytest.mark.parametrize(
    ("select", "told"),
    [
        ({}, [True, True]),
        ({"severities": ["high"]}, [True, False]),
        ({"rules": ["a*"]}, [True, False]),
        ({"rules": ["*"], "severities": ["low", "critical"]}, [False, True]),
    ],
)
def test_alerts(select: dict[str, list[str]], told: list[bool]) -> None:
    alerts = [
        Fired(rule="abc", severity="high", key="k", reason=""),
        Fired(rule="b", severity="critical", key="k", reason=""),
    ]
    selection = Selection(SelectSpec.model_validate(select), of_alerts=True)
    assert [selection.tells(alert) for alert in alerts] == told


def test_the_rules_of_an_alert_need_not_be_the_one_that_decided() -> None:
    assert Selection(SelectSpec(rules=["other"]), of_alerts=True).takes(denied())
