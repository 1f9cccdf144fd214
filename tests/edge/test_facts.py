"""What audit events are told of an exchange."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from mitmproxy.test import tflow, tutils

from addons.core.request_info import request_info
from addons.core.request_line import parse_target
from addons.edge.facts import call_of
from addons.exchange import Exchange
from addons.policy import Policy

PODS = "POST /api/v1/namespaces/a/pods"
NAMED, GENERATED = {"metadata": {"name": "web"}}, {"metadata": {"generateName": "web-", "name": "web-x7x"}}


def exchange(asked: str = PODS, **fields: Any) -> Exchange:
    method, _, target = asked.partition(" ")
    return Exchange(received_at=1.0, request=request_info(method, *parse_target(target)), **fields)


def judged(content: Any) -> Any:
    return SimpleNamespace(facts=SimpleNamespace(object=content))


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (exchange(body_object=NAMED), "web"),
        (exchange(judged=judged(NAMED)), "web"),
        (exchange(body_object={}, judged=judged(NAMED)), ""),
        (exchange(judged=judged(GENERATED)), ""),
        (exchange(judged=judged(None)), ""),
        (exchange(), ""),
        (exchange(body_object={"metadata": None}), ""),
        (exchange(body_object={"metadata": {"name": 5}}), ""),
        (exchange("PUT /api/v1/namespaces/a/pods/p", body_object=NAMED), ""),
        (exchange("POST /api/v1/namespaces/a/pods/p/exec", body_object=NAMED), ""),
        (Exchange(received_at=1.0), ""),
    ],
)
def test_the_name_of_what_is_created(found: Exchange, name: str) -> None:
    assert call_of(tflow.tflow(), found).object_name == name


@pytest.mark.parametrize("traced", [True, False])
def test_a_callers_trace_is_recorded_only_where_traces_are_wanted(traced: bool) -> None:
    flow = tflow.tflow(req=tutils.treq(headers=((b"traceparent", b"00-abc"),)))
    policy = cast(Policy, SimpleNamespace(version="v", traced=traced))
    assert call_of(flow, exchange(policy=policy)).traceparent == ("00-abc" if traced else "")
    assert call_of(flow, exchange()).traceparent == ""
