from __future__ import annotations

import json
from typing import Any

import pytest

from addons.core.service_account import UnusableAnswer, renew_at, token_of, token_request, token_target


def test_where_it_is_asked() -> None:
    assert token_target("system:serviceaccount:web:agent.1") == "/api/v1/namespaces/web/serviceaccounts/agent.1/token"


@pytest.mark.parametrize(("left", "asked"), [(10, 600), (1800.9, 1800), (9000, 3600)])
def test_for_how_long(left: float, asked: int) -> None:
    spec = json.loads(token_request((), left))["spec"]
    assert spec == {"expirationSeconds": asked}


def test_for_whom() -> None:
    assert json.loads(token_request(("a", "b"), 900))["spec"]["audiences"] == ["a", "b"]


def test_a_token() -> None:
    answer = {"status": {"token": "t", "expirationTimestamp": "1970-01-01T00:16:40Z"}}
    assert token_of(answer) == ("t", 1000.0)


@pytest.mark.parametrize(
    "status",
    [
        None, "x", {}, {"token": "t"}, {"token": "", "expirationTimestamp": "1970-01-01T00:16:40Z"},
        {"token": 7, "expirationTimestamp": "1970-01-01T00:16:40Z"}, {"token": "t", "expirationTimestamp": "soon"},
        {"token": "t", "expirationTimestamp": "1970-01-01T00:16:40"},
    ],
)  # fmt: skip
def test_no_token(status: Any) -> None:
    with pytest.raises(UnusableAnswer):
        token_of({"status": status})


def test_it_is_renewed_ahead_of_time() -> None:
    assert renew_at(1000, 2000) == 1800
