"""What is read out of an event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.audit import Stage
from addons.core.pipelines.ecs import ecs
from addons.core.pipelines.known import known, nanoseconds, present
from addons.core.pipelines.ocsf import ocsf
from addons.core.pipelines.otlp import log_record
from addons.core.pipelines.traces import Progress, spans
from tests.core.pipelines.events import ID, WARNED, call, denied, made


def test_all_of_it() -> None:
    found = known(denied())
    assert (found.id, found.stage, found.verb, found.kind) == (ID, "ResponseComplete", "get", "secrets")
    assert (found.username, found.groups, found.source) == ("https://idp#agent", ("a", "b"), "10.0.0.9")
    assert (found.namespace, found.name, found.api_group, found.api_version) == ("shop", "key", "", "v1")
    assert (found.code, found.risk, found.notes["rule"]) == (403, 95, "secrets")
    assert found.extra == {"iss": "https://idp", "act": "bot", "owner": "bob", "jti": "j"}
    assert found.at - found.received_at == 1_500_000_000
    assert found.summary == "https://idp#agent get secrets key in shop: deny by secrets"


@pytest.mark.parametrize(
    ("stage", "code", "outcome"),
    [
        (Stage.REQUEST_RECEIVED, 0, "unknown"),
        (Stage.RESPONSE_STARTED, 101, "success"),
        (Stage.RESPONSE_COMPLETE, 200, "success"),
        (Stage.RESPONSE_COMPLETE, 404, "failure"),
        (Stage.RESPONSE_COMPLETE, 0, "failure"),
        (Stage.PANIC, 503, "failure"),
        (Stage.PANIC, 0, "failure"),
    ],
)
def test_outcomes(stage: Stage, code: int, outcome: str) -> None:
    assert known(made(call(), stage, code)).outcome == outcome


@pytest.mark.parametrize(
    ("request_line", "more", "summary"),
    [
        ("GET /version", {}, "https://idp#agent get /version: allow"),
        ("GET /api/v1/pods", {"decision": WARNED}, "https://idp#agent list pods: warn by odd"),
        ("GET /api/v1/namespaces/n/pods/p/log", {"decision": None}, "https://idp#agent get pods/log p in n"),
    ],
)
def test_summaries(request_line: str, more: dict[str, Any], summary: str) -> None:
    assert known(made(call(request_line, **more))).summary == summary


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01.000001Z", 1_000_001_000),
        ("1970-01-01T00:00:01", 1_000_000_000),
        ("2025-11-23T20:16:40.250000Z", 1_763_929_000_250_000_000),
        ("", 0),
        ("soon", 0),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert nanoseconds(text) == expected


def test_what_says_nothing_is_left_out() -> None:
    assert present({"a": "", "b": None, "c": [], "d": {}, "e": (), "f": 0, "g": False}) == {"f": 0, "g": False}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["auditID", "stage", "verb", "requestURI", "user", "objectRef", "responseStatus", "sourceIPs", "annotations",
     "userAgent", "requestReceivedTimestamp", "stageTimestamp"]
)  # fmt: skip
INNER = st.dictionaries(
    st.sampled_from(["username", "groups", "extra", "code", "message", "resource", "chaperone.dev/risk", "name"]), JSON
)


@given(st.dictionaries(NAMES, JSON | INNER))
def test_whatever_is_in_the_log_has_every_form(event: dict[str, Any]) -> None:
    facts = known(event)
    assert ecs(facts)["event"]["dataset"] == "kubernetes.audit_logs"
    assert ocsf(facts)["class_uid"] == 6003
    assert log_record(facts, None, event, 0)["body"]
    spans(facts, Progress(), trusted=False)
