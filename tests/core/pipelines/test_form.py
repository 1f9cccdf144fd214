"""What each form makes of an event and of an alert."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.pipelines.form import batch, form
from addons.core.pipelines.pipeline import Format
from tests.core.pipelines.events import alert_of, denied, facts


@pytest.mark.parametrize(
    ("its", "key", "of_event", "of_alert"),
    [
        ("audit", "kind", "Event", None),
        ("audit", "schema", None, "chaperone.dev/alert/v1"),
        ("ocsf", "class_uid", 6003, 2004),
        ("ecs", "ecs", {"version": "8.17.0"}, {"version": "8.17.0"}),
    ],
)
def test_forms(its: Format, key: str, of_event: Any, of_alert: Any) -> None:
    event = denied()
    assert form(facts(event), None, its).get(key) == of_event
    assert form(facts(event), alert_of(event), its).get(key) == of_alert


def test_an_event_is_as_in_the_log() -> None:
    assert form(facts(denied()), None, "audit") == denied()


def test_an_alert() -> None:
    event = denied()
    assert form(facts(event), alert_of(event), "audit") == {
        "schema": "chaperone.dev/alert/v1",
        "key": alert_of(event).key,
        "severity": "critical",
        "rule": "secrets",
        "reason": "reads secrets",
        "at": "2025-11-23T20:16:41.750000Z",
        "summary": "https://idp#agent get secrets key in shop: deny by secrets",
        "session": "s1",
        "event": event,
    }


def test_a_batch() -> None:
    assert batch("siem", [{"a": 1}]) == {"schema": "chaperone.dev/events/v1", "pipeline": "siem", "events": [{"a": 1}]}
