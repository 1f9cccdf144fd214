from __future__ import annotations

import pytest

from addons.core.guardrails.models import RateFacts
from addons.core.guardrails.rate import Rate, rate_of_one
from addons.core.guardrails.selftest import request_of


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("GET /api/v1/namespaces/a/pods/p", Rate()),
        ("GET /version", Rate()),
        ("GET /api/v1/pods", Rate(lists=1)),
        ("GET /api/v1/pods?watch=true", Rate(lists=1)),
        ("PATCH /api/v1/namespaces/a/pods/p", Rate(writes=1)),
        ("DELETE /api/v1/namespaces/a/pods", Rate(writes=1)),
        ("GET /api/v1/namespaces/a/pods/p/exec", Rate(writes=1)),
    ],
)
def test_the_rate_of_one_request(text: str, rate: Rate) -> None:
    assert rate_of_one(request_of(text)) == rate


def test_what_a_test_says_takes_the_place_of_it() -> None:
    request = request_of("GET /api/v1/pods")
    assert RateFacts().rate(request) == Rate(lists=1)
    assert RateFacts(requests=120, denied=3).rate(request) == Rate(requests=120, lists=1, denied=3)
