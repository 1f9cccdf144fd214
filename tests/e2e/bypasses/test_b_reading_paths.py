"""Section B, paths and methods: read as the API server reads them, or refused and never sent."""

from __future__ import annotations

import pytest

from tests.e2e.bypasses.caller import Caller
from tests.e2e.secret_objects import secret
from tests.support.kubernetes import Kubectl


@pytest.fixture(scope="module", autouse=True)
def objects(admin: Kubectl) -> None:
    """Secret `s1`, ConfigMap `c1` and pod `p1`."""
    admin("create", "-f", "-", stdin=secret("s1", password="hunter2"))
    admin("create", "configmap", "c1", "--from-literal=a=b")
    admin.run_pod("p1")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/api/v1/namespaces/NS/%73ecrets/s1", "get secrets NS s1"),
        ("/api/v1/namespaces/NS/secrets/%73%31", "get secrets NS s1"),
        ("/%61pi/v1/n%61mespaces/NS/secrets/s1", "get secrets NS s1"),
        ("/api/v1/namespaces/NS/pods/p1/%6cog", "get pods/log NS p1"),
        ("/api/v1/namespaces/NS/configmaps/c%2531", "get configmaps NS c%31"),
        ("/api/v1/namespaces/NS/configmaps/c1%3Fa=b", "get configmaps NS c1?a=b"),
        ("/api/v1/namespaces/NS/configmaps/c1%3Ba;b", "get configmaps NS c1;a;b"),
        ("/api/v1/namespaces/NS/configmaps/c1+a%2Bb", "get configmaps NS c1+a+b"),
        ("/api/v1/namespaces/NS/configmaps/c1%20%23", "get configmaps NS c1 #"),
        ("/api/v1/namespaces/NS/configmaps/%C3%A9", "get configmaps NS é"),
    ],
)
def test_b10_what_is_escaped_once_is_what_it_stands_for(target: str, expected: str, caller: Caller) -> None:
    answer = caller.is_read(expected, target)
    assert b"hunter2" not in answer.raw
    assert b"aHVudGVyMg" not in answer.raw, "masked under any spelling"


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/namespaces/NS/secrets%2fs1",
        "/api/v1/namespaces/NS/secrets%2Fs1",
        "/api/v1/namespaces/NS%2fsecrets/s1",
        "/api/v1%2Fsecrets",
        "/api/v1/namespaces/NS/pods/p1%2fexec?command=ls",
        "/api/v1/namespaces/NS/secrets%5cs1",
        "/api/v1/namespaces/NS/secrets\\s1",
        "/api/v1/namespaces/NS/secrets/s1%00",
        "/api/v1/namespaces/NS/secrets/s1%0a",
        "/api/v1/namespaces/NS/secrets/s1%0d%0aX:y",
        "/api/v1/namespaces/NS/secrets/s1%7f",
        "/api/v1/namespaces/NS/secrets/%C2%85",
        "/api/v1/namespaces/NS/secrets/%ff",
        "/api/v1/namespaces/NS/secrets/s1%",
        "/api/v1/namespaces/NS/secrets/s1%7",
        "/api/v1/namespaces/NS/secrets/s1%zz",
        "/api/v1/namespaces/NS/secrets/s1#fragment",
        "/api/v1/namespaces/NS/secrets/é",
    ],
)
def test_b10_what_could_be_unescaped_in_two_ways_is_refused(target: str, caller: Caller) -> None:
    caller.is_refused(400, "ambiguous-request", target)


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("/api/v1/namespaces/NS/%2573ecrets/s1", "unknown-resource"),
        ("/api/v1/namespaces/NS/pods/p1/%2565xec?command=ls", "unknown-subresource"),
        ("/api/v1/namespaces/NS/pods/p1/%65xec?command=ls", "exec-needs-approval"),
        ("/api/v1/namespaces/NS/p%6fds/p1/exec?command=ls", "exec-needs-approval"),
    ],
)
def test_b10_an_escaped_word_is_not_past_the_rules(target: str, rule: str, caller: Caller) -> None:
    """Unescaped once and never twice: `%2573` is the text `%73`."""
    caller.is_refused(403, rule, target)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/api/v1/namespaces/NS/secrets/", "list secrets NS -"),
        ("/api/v1/namespaces/NS/secrets?", "list secrets NS -"),
        ("/api/v1/namespaces/NS/secrets/?", "list secrets NS -"),
        ("/api/v1/namespaces/NS/secrets/s1/", "get secrets NS s1"),
        ("/api/v1/namespaces/NS/", "get namespaces NS NS"),
        ("/api/v1/namespaces/NS/pods/p1/log/", "get pods/log NS p1"),
        ("/version/", "get /version"),
    ],
)
def test_b11_a_slash_or_question_mark_at_the_end_means_nothing(target: str, expected: str, caller: Caller) -> None:
    caller.is_read(expected, target)


@pytest.mark.parametrize("end", ["", "/", "?", "/?", "/?&"])
def test_b11_nor_is_it_a_way_past_a_rule(end: str, caller: Caller) -> None:
    caller.is_refused(403, "exec-needs-approval", f"/api/v1/namespaces/NS/pods/p1/exec{end}")
    caller.is_refused(403, "no-node-proxy", f"/api/v1/nodes/node-1/proxy{end}")
    caller.is_refused(403, "no-lists-of-all-secrets", f"/api/v1/secrets{end}")


@pytest.mark.parametrize(
    "target",
    [
        "//api/v1/secrets",
        "/api//v1/secrets",
        "/api/v1/namespaces/NS//secrets",
        "/api/v1/namespaces//secrets",
        "/api/v1/namespaces/NS/secrets//",
        "/./api/v1/secrets",
        "/api/v1/./secrets",
        "/api/v1/namespaces/NS/secrets/.",
        "/api/v1/namespaces/NS/secrets/..",
        "/x/../api/v1/secrets",
        "/api/v1/namespaces/NS/configmaps/../secrets/s1",
        "/api/v1/namespaces/NS/%2e%2e/NS/secrets",
        "/api/v1/namespaces/NS/%2e/secrets",
        "/api/v1/namespaces/NS/configmaps/.%2E/secrets/s1",
        "/api/v1/nodes/node-1/proxy/../../../secrets",
        "/version/..",
    ],
)
def test_b12_what_others_would_normalise_is_refused(target: str, caller: Caller) -> None:
    """404 at the API server itself, but a load balancer in front of it may make another path of it."""
    caller.is_refused(400, "ambiguous-request", target)


@pytest.mark.parametrize(
    "method", ["get", "Get", "LIST", "WATCH", "TRACE", "PROPFIND", "OPTIONS", "DELETECOLLECTION", "X"]
)
@pytest.mark.parametrize("target", ["/api/v1/namespaces/NS/secrets/s1", "/api/v1/namespaces/NS/pods", "/version"])
def test_b16_a_method_without_a_verb_is_refused(method: str, target: str, caller: Caller) -> None:
    caller.is_refused(403, "unknown-verb", target, method=method)


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_b16_a_method_in_a_header_means_nothing(name: str, caller: Caller) -> None:
    target = "/api/v1/namespaces/NS/configmaps/c1"
    answer = caller.is_read("get configmaps NS c1", target, f"{name}: DELETE")
    assert answer.status == 200
    assert name.lower().encode() not in caller.oracle.sent().lower()


def test_b16_head_is_read_as_get(caller: Caller) -> None:
    """Of objects the API server answers 405; it counts as the reading of one all the same."""
    answer = caller.is_read("get configmaps NS c1", "/api/v1/namespaces/NS/configmaps/c1", method="HEAD")
    assert answer.status == 405


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/metrics",
        "/metrics/slis",
        "/debug/pprof/",
        "/debug/pprof/heap",
        "/debug/flags/v",
        "/logs",
        "/logs/kube-apiserver.log",
        "/configz",
        "/statusz",
        "/flagz",
        "/.well-known/openid-configuration",
        "/openid/v1/jwks",
        "/swagger.json",
        "/ui",
        "/API/v1/secrets",
        "/api.",
        "/version/x",
        "/healthzz",
    ],
)
def test_b1a_paths_that_are_no_resources_are_refused(target: str, caller: Caller) -> None:
    caller.is_refused(403, "non-resource-path", target)


@pytest.mark.parametrize(
    "target",
    [
        *("/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/version"),
        *("/openapi/v2", "/openapi/v3", "/openapi/v3/apis/apps/v1"),
        *("/healthz", "/livez", "/livez/ping", "/readyz?verbose", "/readyz/etcd"),
    ],
)
def test_b1a_but_for_those_that_clients_need(target: str, caller: Caller) -> None:
    assert caller.is_read(f"get {target.partition('?')[0]}", target).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_b1a_and_those_are_only_read(method: str, caller: Caller) -> None:
    for target in ("/api/v1", "/version", "/healthz"):
        caller.is_refused(403, "unknown-verb", target, method=method)
