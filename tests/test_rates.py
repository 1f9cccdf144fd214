"""The step that counts: every request of a known caller, and the denials among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from addons.core.guardrails import GuardrailSet, Rate
from addons.core.guardrails.selftest import request_of
from addons.core.refusal import Refusal
from addons.edge.rates import RateTable
from addons.rates import Rates
from tests.core.guardrails.support import IDENTITY, loaded, rule
from tests.support.flows import NOW, begun

COUNTING = loaded(
    rule(
        body="when: rate.requests > 2\n  risk: 60",
        tests="""  tests:
    - {expect: match, request: GET /api/v1/pods, rate: {requests: 3}}
    - {expect: no-match, request: GET /api/v1/pods}
""",
    )
)


@pytest.fixture
def table(tmp_path: Path) -> RateTable:
    return RateTable(tmp_path, 1, 0, b"key")


def step(table: RateTable, rules: GuardrailSet = COUNTING) -> Rates:
    return Rates(lambda _: rules, table, lambda: NOW)


def test_every_request_is_counted_by_what_it_is(table: RateTable) -> None:
    rates = step(table)
    for text in ("GET /api/v1/pods", "GET /api/v1/namespaces/a/pods/p", "DELETE /api/v1/nodes/n"):
        flow, exchange = begun(identity=IDENTITY, request=request_of(text))
        rates.request(flow)
    assert exchange.rate == Rate(requests=3, writes=1, lists=1)


def test_what_could_not_be_read_is_a_request_too(table: RateTable) -> None:
    flow, exchange = begun(identity=IDENTITY, refusal=Refusal(code=400, rule="r", why="w"))
    step(table).request(flow)
    assert exchange.rate == Rate()


@pytest.mark.parametrize(
    ("refusal", "denied"),
    [
        (None, 0),
        (Refusal(code=403, rule="r", why="w"), 1),
        (Refusal(code=429, rule="r", why="w", retry_after_seconds=1), 0),
        (Refusal(code=503, rule="r", why="w"), 0),
    ],
)
def test_denials_are_counted_whoever_denied(table: RateTable, refusal: Refusal | None, denied: int) -> None:
    rates = step(table)
    flow, _ = begun(identity=IDENTITY, refusal=refusal)
    rates.request(flow)
    rates.response(flow)
    flow, exchange = begun(identity=IDENTITY)
    rates.request(flow)
    assert exchange.rate == Rate(requests=2, denied=denied)


def test_nobody_is_counted_who_is_not_known_or_while_no_rule_asks(table: RateTable) -> None:
    for rates, who in ((step(table), None), (step(table, loaded(rule())), IDENTITY)):
        flow, exchange = begun(identity=who, refusal=Refusal(code=403, rule="r", why="w"))
        rates.request(flow)
        rates.response(flow)
        assert exchange.rate is None
    flow, exchange = begun(identity=IDENTITY)
    step(table).request(flow)
    assert exchange.rate == Rate()
