"""The request as later steps use it."""

from __future__ import annotations

import pytest

from addons.core.request_info import request_info

NS = "/api/v1/namespaces/team-a"


@pytest.mark.parametrize(
    ("method", "path", "connects"),
    [
        ("GET", f"{NS}/pods/web/exec", True),
        ("POST", f"{NS}/pods/web/exec", True),
        ("GET", f"{NS}/pods/web/attach", True),
        ("GET", f"{NS}/pods/web/portforward", True),
        ("GET", f"{NS}/services/web/proxy/x", True),
        ("DELETE", "/api/v1/nodes/n/proxy", True),
        ("GET", f"{NS}/pods/web/log", False),
        ("GET", f"{NS}/pods/web", False),
        ("GET", "/apis/x/v1/namespaces/a/pods/web/exec", False),
    ],
)
def test_is_connect(method: str, path: str, connects: bool) -> None:
    assert request_info(method, path).is_connect is connects


def test_first() -> None:
    request = request_info("GET", f"{NS}/pods", (("a", "1"), ("a", "2"), ("b", "")))
    assert (request.first("a"), request.first("b"), request.first("c")) == ("1", "", "")
