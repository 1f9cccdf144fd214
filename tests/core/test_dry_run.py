from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.dry_run import UnsafeDryRun, dry_run_operations, dry_run_target, resource_of, takes_dry_run

NS = "/api/v1/namespaces/web"


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        pytest.param(f"{NS}/pods", f"{NS}/pods?dryRun=All", id="no query"),
        pytest.param(f"{NS}/pods?a=1&b=%20", f"{NS}/pods?a=1&b=%20&dryRun=All", id="others stay, byte for byte"),
        pytest.param(f"{NS}/pods?dryRun=", f"{NS}/pods?dryRun=All", id="replaced"),
        pytest.param(f"{NS}/pods?dryRun=x&dryRun=All&a", f"{NS}/pods?a&dryRun=All", id="every one replaced"),
        pytest.param(f"{NS}/pods?dry%52un=x", f"{NS}/pods?dryRun=All", id="encoded name"),
        pytest.param(f"{NS}/pods?DryRun=x", f"{NS}/pods?DryRun=x&dryRun=All", id="other case is another parameter"),
        pytest.param(f"{NS}/pods?&&", f"{NS}/pods?dryRun=All", id="empty pairs"),
        pytest.param(f"{NS}/pods/proxy", f"{NS}/pods/proxy?dryRun=All", id="a pod named proxy"),
        pytest.param(f"{NS}/serviceaccounts/token", f"{NS}/serviceaccounts/token?dryRun=All", id="named token"),
        pytest.param(
            f"{NS}/pods/p/ephemeralcontainers", f"{NS}/pods/p/ephemeralcontainers?dryRun=All", id="subresource"
        ),
        pytest.param("/api/v1/namespaces/exec", "/api/v1/namespaces/exec?dryRun=All", id="a namespace named exec"),
        pytest.param(f"{NS}/finalize", f"{NS}/finalize?dryRun=All", id="subresource of a namespace"),
        pytest.param(
            "/apis/apps/v1/namespaces/web/deployments",
            "/apis/apps/v1/namespaces/web/deployments?dryRun=All",
            id="group",
        ),
    ],
)
def test_target(target: str, asked: str) -> None:
    assert dry_run_target("PATCH", target) == asked


@pytest.mark.parametrize(
    ("method", "target"),
    [
        pytest.param("DELETE", f"{NS}/pods/p", id="B-67 delete"),
        pytest.param("DELETE", f"{NS}/pods", id="B-67 delete a collection"),
        pytest.param("GET", f"{NS}/pods/p", id="read"),
        pytest.param("patch", f"{NS}/pods/p", id="unknown method"),
        pytest.param("POST", f"{NS}/serviceaccounts/default/token", id="B-67a TokenRequest"),
        pytest.param("POST", f"{NS}/serviceaccounts/default/%74oken?dryRun=All", id="B-67a encoded"),
        pytest.param("POST", f"{NS}/serviceaccounts/default/token/", id="B-67a trailing slash"),
        pytest.param("POST", f"{NS}/pods/p/exec?command=ls", id="exec"),
        pytest.param("POST", f"{NS}/pods/p/attach", id="attach"),
        pytest.param("POST", f"{NS}/pods/p/portforward", id="port-forward"),
        pytest.param("PUT", f"{NS}/services/s/proxy/deep/path", id="service proxy"),
        pytest.param("POST", "/api/v1/nodes/n/proxy/run/x/y/z", id="node proxy"),
        pytest.param("POST", "/api/v1/proxy/namespaces/web/pods/p", id="proxy as a verb"),
        pytest.param("POST", "/api/v1/watch/pods", id="watch as a verb"),
        pytest.param("POST", "/logs", id="not a resource"),
        pytest.param("POST", "/api/v1", id="no resource"),
        pytest.param("POST", "/apis/apps/v1", id="no resource of a group"),
    ],
)
def test_no_safe_dry_run(method: str, target: str) -> None:
    with pytest.raises(UnsafeDryRun):
        dry_run_target(method, target)


@given(st.lists(st.text("dryRunxX%5=+;", max_size=12)))
def test_there_is_exactly_one_dry_run_in_any_query(pairs: list[str]) -> None:
    query = dry_run_target("POST", f"{NS}/pods?{'&'.join(pairs)}").partition("?")[2].split("&")
    assert query[-1] == "dryRun=All"
    assert not any(pair.partition("=")[0] == "dryRun" for pair in query[:-1])
    assert all(pair in pairs for pair in query[:-1])


def test_resources_are_found_by_position() -> None:
    assert resource_of("/apis/apps/v1/namespaces/web/deployments/d/scale?x") == ("deployments", "scale")
    assert resource_of("/api/v1/namespaces/web") == ("namespaces", "")
    assert resource_of("/api/v1/namespaces/web/status") == ("namespaces", "status")


OPENAPI: dict[str, Any] = {
    "paths": {
        "/apis/x.io/v1/namespaces/{namespace}/widgets/{name}": {
            "parameters": [{"name": "name"}, "odd"],
            "get": {"parameters": [{"name": "pretty"}]},
            "patch": {"parameters": [{"name": "dryRun"}]},
            "put": {},
        },
        "/apis/x.io/v1/all": {"parameters": [{"name": "dryRun"}], "post": {}},
        "/apis/x.io/v1/odd": "odd",
    }
}


@pytest.mark.parametrize(
    ("method", "target", "takes"),
    [
        ("PATCH", "/apis/x.io/v1/namespaces/web/widgets/w?force=true", True),
        ("PUT", "/apis/x.io/v1/namespaces/web/widgets/w", False),
        ("PATCH", "/apis/x.io/v1/namespaces/web/widgets/w/pause", False),
        ("PATCH", "/apis/x.io/v1/namespaces/web/gadgets/w", False),
        ("POST", "/apis/x.io/v1/all", True),
    ],
)
def test_what_the_openapi_document_says(method: str, target: str, takes: bool) -> None:
    assert takes_dry_run(dry_run_operations(OPENAPI), method, target) is takes


@pytest.mark.parametrize("document", [{}, {"paths": []}, {"paths": {"/x": {"post": {"parameters": {}}}}}])
def test_an_odd_openapi_document_promises_nothing(document: dict[str, Any]) -> None:
    assert dry_run_operations(document) == frozenset()
