"""Traces out of audit events, read back by OTLP's own messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from addons.core.audit import Call, Stage
from addons.core.pipelines.otlp import span_id, traces
from addons.core.pipelines.traces import Progress, caller, spans
from tests.core.pipelines.events import ID, WARNED, call, denied, facts, made
from tests.core.pipelines.otlp_reading import plain, with_base64_ids

PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"
NOT_SAMPLED = f"00-{'ab' * 16}-{'cd' * 8}-00"
SECOND = 1_000_000_000
START = 1_763_929_000_250_000_000


def sent(
    *stages: tuple[Stage, float, int], of: Call | None = None, traceparent: str = "", trusted: bool = False
) -> list[Span]:
    """The spans of a call with these events: stage, seconds after it was received, status."""
    progress: Progress | None = Progress()
    found: list[dict[str, Any]] = []
    for stage, after, code in stages:
        event = made(of or call(decision=WARNED), stage, code, after)
        event["annotations"] |= {"chaperone.dev/traceparent": traceparent} if traceparent else {}
        new, progress = spans(facts(event), progress or Progress(), trusted)
        found += new
    body = json.loads(json.dumps(traces(found, "host")))
    (whole,) = ParseDict(with_base64_ids(body), ExportTraceServiceRequest()).resource_spans
    return list(whole.scope_spans[0].spans)


RECEIVED, STARTED, COMPLETE = Stage.REQUEST_RECEIVED, Stage.RESPONSE_STARTED, Stage.RESPONSE_COMPLETE


def shape(span: Span) -> tuple[str, int, float, float]:
    start, end = ((at - START) / SECOND for at in (span.start_time_unix_nano, span.end_time_unix_nano))
    return span.name, span.kind, start, end


def test_an_ordinary_call() -> None:
    found = sent((RECEIVED, 0.5, 0), (COMPLETE, 2.0, 200))
    assert [shape(span) for span in found] == [
        ("decide", Span.SPAN_KIND_INTERNAL, 0.0, 0.5),
        ("get secrets", Span.SPAN_KIND_SERVER, 0.0, 2.0),
        ("upstream", Span.SPAN_KIND_CLIENT, 0.5, 2.0),
    ]
    assert {span.trace_id.hex() for span in found} == {ID.replace("-", "")}
    root = found[1]
    assert root.span_id.hex() == span_id(ID, "call")
    assert {span.parent_span_id for span in found if span is not root} == {root.span_id}
    assert not root.parent_span_id
    assert len({span.span_id for span in found}) == 3


def test_a_stream() -> None:
    found = sent((RECEIVED, 0.5, 0), (STARTED, 1.0, 101), (STARTED, 3.0, 101), (COMPLETE, 9.0, 101))
    assert [shape(span)[0::2] for span in found[2:]] == [("upstream", 0.5), ("stream", 1.0)]
    assert [shape(span)[3] for span in found[2:]] == [1.0, 9.0]


def test_a_refusal_reaches_no_cluster() -> None:
    assert [span.name for span in sent((COMPLETE, 0.1, 403))] == ["get secrets"]


def test_attributes_of_a_call() -> None:
    (root,) = sent((COMPLETE, 0.1, 403), of=call("GET /api/v1/namespaces/shop/secrets/key?x=1", decision=WARNED))
    assert {each.key: plain(each.value) for each in root.attributes} == {
        "http.request.method": "GET",
        "http.response.status_code": 403,
        "error.type": "403",
        "url.path": "/api/v1/namespaces/shop/secrets/key",
        "url.scheme": "https",
        "client.address": "10.0.0.9",
        "user_agent.original": "kubectl/v1.37.1",
        "user.name": "https://idp#agent",
        "k8s.cluster.name": "prod",
        "k8s.namespace.name": "shop",
        "chaperone.audit_id": ID,
        "chaperone.verb": "get",
        "chaperone.resource": "secrets",
        "chaperone.session": "s1",
        "chaperone.decision": "warn",
        "chaperone.rule": "odd",
        "chaperone.risk": 35,
    }


def test_no_command_line_is_in_a_trace() -> None:
    target = "GET /api/v1/namespaces/a/pods/p/exec?command=mysql&command=-phunter2"
    found = sent((RECEIVED, 0.1, 0), (STARTED, 0.2, 101), (COMPLETE, 1, 101), of=call(target))
    assert "hunter2" not in "".join(map(str, found))
    (method,) = [plain(each.value) for each in found[1].attributes if each.key == "http.request.method"]
    assert method == "_OTHER"


@pytest.mark.parametrize(
    ("stage", "code", "error"),
    [
        (COMPLETE, 200, False),
        (COMPLETE, 404, False),
        (COMPLETE, 503, True),
        (COMPLETE, 0, True),
        (Stage.PANIC, 503, True),
    ],
)
def test_status(stage: Stage, code: int, error: bool) -> None:
    (root,) = sent((stage, 1, code))
    assert (root.status.code == 2) is error


def test_a_caller_is_linked_and_not_believed() -> None:
    root = sent((COMPLETE, 1, 200), traceparent=PARENT)[0]
    assert root.trace_id.hex() == ID.replace("-", "")
    (link,) = root.links
    assert (link.trace_id.hex(), link.span_id.hex()) == ("ab" * 16, "cd" * 8)
    assert sent((COMPLETE, 1, 200), traceparent=NOT_SAMPLED) != []


def test_a_caller_that_is_trusted_is_the_parent() -> None:
    found = sent((RECEIVED, 0.5, 0), (COMPLETE, 1, 200), traceparent=PARENT, trusted=True)
    assert {span.trace_id.hex() for span in found} == {"ab" * 16}
    assert found[1].parent_span_id.hex() == "cd" * 8
    assert found[0].parent_span_id == found[1].span_id
    assert not found[1].links


def test_a_caller_that_is_trusted_decides_what_is_sampled() -> None:
    assert sent((RECEIVED, 0.5, 0), (COMPLETE, 1, 200), traceparent=NOT_SAMPLED, trusted=True) == []


def test_without_a_caller_trust_changes_nothing() -> None:
    assert sent((COMPLETE, 1, 200), trusted=True) == sent((COMPLETE, 1, 200))


def test_the_same_events_give_the_same_spans() -> None:
    assert spans(facts(denied()), Progress(), False) == spans(facts(denied()), Progress(), False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00-abc",
        PARENT.upper(),
        PARENT + "-x",
        "01" + PARENT[2:],
        f"00-{'0' * 32}-{'cd' * 8}-01",
        f"00-{'ab' * 16}-{'0' * 16}-01",
    ],
)
def test_what_is_no_traceparent(text: str) -> None:
    assert caller(text) is None
