"""Tokens of service accounts: what to ask a cluster for, and what it answers (TokenRequest, authentication.k8s.io/v1).

Source: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

MIN_SECONDS = 600
"""The shortest that the API server allows."""
MAX_SECONDS = 3600
LAST_SECONDS = 60.0
"""Before its end a token is not used any more."""
_RENEW_SHARE = 0.8
_PREFIX = "system:serviceaccount:"


class UnusableAnswer(ValueError):
    """The cluster did not answer with a token."""


def token_target(role: str) -> str:
    """Where the tokens of a service account are made; `role` is its user name."""
    namespace, name = role.removeprefix(_PREFIX).split(":")
    return f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"


def token_request(audiences: tuple[str, ...], seconds: float) -> bytes:
    """The body that asks for a token of about this many seconds."""
    spec: dict[str, Any] = {"expirationSeconds": max(MIN_SECONDS, min(MAX_SECONDS, int(seconds)))}
    if audiences:
        spec["audiences"] = list(audiences)
    return orjson.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})


def token_of(answer: Mapping[str, Any]) -> tuple[str, float]:
    """The token, and when it expires (Unix seconds). Raises UnusableAnswer."""
    status = answer.get("status")
    found: Mapping[str, Any] = status if isinstance(status, Mapping) else {}
    token = found.get("token")
    try:
        when = datetime.fromisoformat(str(found.get("expirationTimestamp")))
    except ValueError:
        when = None
    if not isinstance(token, str) or not token or when is None or when.tzinfo is None:
        raise UnusableAnswer("the answer to a TokenRequest holds no token")
    return token, when.timestamp()


def renew_at(now: float, expires_at: float) -> float:
    """When a token made `now` is made anew: after four fifths of its time."""
    return now + (expires_at - now) * _RENEW_SHARE
