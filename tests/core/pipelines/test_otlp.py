"""OTLP in JSON, read back by the protocol's own messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from addons.core.audit import Stage
from addons.core.pipelines.otlp import any_value, log_record, logs, rejected, span_id, trace_id
from tests.core.pipelines.events import ID, WARNED, alert_of, call, denied, facts, made
from tests.core.pipelines.otlp_reading import plain, with_base64_ids

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(JSON)
def test_any_value(value: Any) -> None:
    written = json.loads(json.dumps(any_value(value)))
    assert plain(ParseDict(written, AnyValue())) == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, {}),
        (True, {"boolValue": True}),
        (False, {"boolValue": False}),
        (1, {"intValue": "1"}),  # 64 bits: in JSON, protobuf has them as text
        (1.0, {"doubleValue": 1.0}),
        ("1", {"stringValue": "1"}),
        ([], {"arrayValue": {"values": []}}),
        ((None, "a"), {"arrayValue": {"values": [{}, {"stringValue": "a"}]}}),
        ({"a": [True]}, {"kvlistValue": {"values": [
            {"key": "a", "value": {"arrayValue": {"values": [{"boolValue": True}]}}}]}}),
    ],
)  # fmt: skip
def test_each_kind_of_value_has_its_own_name(value: Any, written: dict[str, Any]) -> None:
    assert any_value(value) == written


def test_what_is_no_unicode() -> None:
    assert any_value("\ud800") == {"stringValue": "?"}


def test_log_records() -> None:
    event = denied()
    known = facts(event)
    body = logs([log_record(known, None, event, 5), log_record(known, alert_of(event), {"x": 1}, 6)], "host-1")
    request = ParseDict(with_base64_ids(body), ExportLogsServiceRequest())
    (whole,) = request.resource_logs
    assert {each.key: plain(each.value) for each in whole.resource.attributes}["host.name"] == "host-1"
    first, second = whole.scope_logs[0].log_records
    assert plain(first.body) == event
    assert (first.time_unix_nano, first.observed_time_unix_nano) == (known.at, 5)
    assert (first.severity_number, first.event_name) == (13, "chaperone.audit")
    assert (second.severity_number, second.event_name) == (21, "chaperone.alert")
    assert first.trace_id.hex() == ID.replace("-", "")
    assert {each.key: plain(each.value) for each in second.attributes} == {
        "k8s.cluster.name": "prod",
        "k8s.namespace.name": "shop",
        "user.name": "https://idp#agent",
        "chaperone.session": "s1",
        "chaperone.decision": "deny",
        "chaperone.rule": "secrets",
        "chaperone.alert.key": alert_of(event).key,
    }


@pytest.mark.parametrize(
    ("event", "severity"),
    [(made(call()), 9), (made(call(decision=WARNED)), 13), (made(call(), Stage.PANIC, 503), 17)],
)
def test_severities(event: dict[str, Any], severity: int) -> None:
    assert log_record(facts(event), None, event, 0)["severityNumber"] == severity


def test_ids() -> None:
    assert trace_id(ID) == ID.replace("-", "")
    assert len(trace_id("not a uuid")) == 32
    assert len(span_id(ID, "call")) == 16
    assert span_id(ID, "call") != span_id(ID, "decide")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, (0, "")),
        ([], (0, "")),
        ({"partialSuccess": {}}, (0, "")),
        ({"partialSuccess": None}, (0, "")),
        ({"partialSuccess": {"rejectedLogRecords": "3", "errorMessage": "too old"}}, (3, "too old")),
        ({"partialSuccess": {"rejectedSpans": 2}}, (2, "")),
        ({"partialSuccess": {"rejectedSpans": "many"}}, (0, "")),
    ],
)
def test_what_a_receiver_did_not_take(answer: Any, expected: tuple[int, str]) -> None:
    assert rejected(answer) == expected
