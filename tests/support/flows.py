"""Flows for tests of single addons: as they stand before the addon, with an exchange begun."""

from __future__ import annotations

import io
import json
from typing import Any

from mitmproxy.http import Headers, HTTPFlow
from mitmproxy.io import FlowReader
from mitmproxy.test import tflow, tutils

from addons.core.connection import Connection
from addons.core.decision import Thresholds
from addons.core.guardrails import Facts, Judged, Needs
from addons.core.kube_request import KubeRequest
from addons.core.profile import Profile
from addons.exchange import Exchange, begin

NOW = 1_800_000_000.0

CONNECTION = Connection(
    name="prod", host="api.prod.example", port=443, address=("127.0.0.1", 1), server_name="api.prod.example",
    ca_file="/ca.pem", eks_cluster="prod", region="eu-central-1",
)  # fmt: skip


def begun(
    *fields: tuple[bytes, bytes], connection: Connection = CONNECTION, **values: Any
) -> tuple[HTTPFlow, Exchange]:
    """A live flow with these request headers, and its exchange with these fields set."""
    flow = tflow.tflow(req=tutils.treq(headers=Headers(fields)))
    flow.live = True
    exchange = begin(flow, NOW)
    exchange.connection = connection
    for name, value in values.items():
        setattr(exchange, name, value)
    return flow, exchange


def status(flow: HTTPFlow) -> dict[str, Any]:
    """The Status a flow was refused with."""
    assert flow.response is not None
    found: dict[str, Any] = json.loads(flow.response.content or b"")
    assert found["kind"] == "Status"
    return found


def records(data: bytes) -> list[HTTPFlow]:
    """The flows of flow records, as stock mitmproxy reads them."""
    return [flow for flow in FlowReader(io.BytesIO(data)).stream() if isinstance(flow, HTTPFlow)]


def judged(request: KubeRequest, **facts: Any) -> Judged:
    """What the guardrails step leaves of a request that it judged by the standard profile."""
    return Judged(
        facts=Facts(request=request, **facts),
        needs=Needs(),
        thresholds=Thresholds(),
        profile=Profile.STANDARD,
        rules="digest",
    )
