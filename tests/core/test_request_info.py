"""RequestInfo, one row per fact; the expectations are the API server's own (checked against its audit log)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.request_info import request_info
from addons.core.request_line import AmbiguousRequest, parse_target

NS = "/api/v1/namespaces/team-a"


def shown(method: str, target: str) -> str:
    """verb group/version/resource/subresource in namespace, named name."""
    request = request_info(method, *parse_target(target))
    if not request.is_resource_request:
        return f"{request.verb} {request.path}"
    what = "/".join(filter(None, (request.api_group, request.api_version, request.resource, request.subresource)))
    return f"{request.verb} {what} {request.namespace or '-'} {request.name or '-'}"


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        # collections, objects, subresources
        ("GET", "/api/v1/namespaces", "list v1/namespaces - -"),
        ("GET", NS, "get v1/namespaces team-a team-a"),
        ("GET", f"{NS}/pods", "list v1/pods team-a -"),
        ("GET", f"{NS}/pods/", "list v1/pods team-a -"),
        ("GET", f"{NS}/pods/web", "get v1/pods team-a web"),
        ("HEAD", f"{NS}/pods/web", "get v1/pods team-a web"),
        ("HEAD", "/api/v1/pods", "list v1/pods - -"),
        ("GET", "/api/v1/pods", "list v1/pods - -"),
        ("GET", f"{NS}/pods/web/status", "get v1/pods/status team-a web"),
        ("GET", f"{NS}/pods/web/proxy/a/b", "get v1/pods/proxy team-a web"),
        ("PUT", f"{NS}/finalize", "update v1/namespaces/finalize team-a team-a"),
        ("PUT", f"{NS}/status", "update v1/namespaces/status team-a team-a"),
        ("GET", f"{NS}/status/x", "get v1/namespaces/status team-a team-a"),
        ("GET", f"{NS}/namespaces/b", "get v1/namespaces team-a b"),
        ("POST", f"{NS}/pods", "create v1/pods team-a -"),
        ("POST", f"{NS}/pods/web/exec", "create v1/pods/exec team-a web"),
        ("PATCH", f"{NS}/pods/web", "patch v1/pods team-a web"),
        ("PUT", f"{NS}/pods/web", "update v1/pods team-a web"),
        ("DELETE", f"{NS}/pods/web", "delete v1/pods team-a web"),
        ("DELETE", f"{NS}/pods", "deletecollection v1/pods team-a -"),
        ("DELETE", "/api/v1/nodes", "deletecollection v1/nodes - -"),
        ("DELETE", "/api/v1/namespaces", "deletecollection v1/namespaces - -"),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments", "deletecollection apps/v1/deployments a -"),
        ("DELETE", f"{NS}/pods/", "deletecollection v1/pods team-a -"),
        ("DELETE", NS, "delete v1/namespaces team-a team-a"),
        ("POST", "/api/v1/namespaces", "create v1/namespaces - -"),
        ("POST", "/apis/apps/v1beta3/namespaces/a/deployments", "create apps/v1beta3/deployments a -"),
        ("PATCH", f"{NS}/status", "patch v1/namespaces/status team-a team-a"),
        ("GET", f"{NS}/finalize", "get v1/namespaces/finalize team-a team-a"),
        ("GET", f"{NS}/exec", "list v1/exec team-a -"),
        ("GET", f"{NS}/status/pods/web", "get v1/namespaces/status team-a team-a"),
        ("HEAD", NS, "get v1/namespaces team-a team-a"),
        ("POST", "/apis/apps/v1/namespaces/a/deployments", "create apps/v1/deployments a -"),
        ("GET", "/apis/batch/v1/jobs/x/y/z", "get batch/v1/jobs/y - x"),
        # other methods have no verb
        ("get", f"{NS}/pods", " v1/pods team-a -"),
        ("LIST", f"{NS}/pods", " v1/pods team-a -"),
        ("OPTIONS", f"{NS}/pods/web", " v1/pods team-a web"),
        # verbs in the path
        ("GET", "/api/v1/watch/pods", "watch v1/pods - -"),
        ("GET", "/api/v1/watch/namespaces/a/pods", "watch v1/pods a -"),
        ("GET", "/api/v1/watch/namespaces/a/pods/web", "watch v1/pods a web"),
        ("DELETE", "/api/v1/watch/pods", "watch v1/pods - -"),
        ("GET", "/api/v1/watch/namespaces", "watch v1/namespaces - -"),
        ("GET", "/api/v1/watch/namespaces/a", "watch v1/namespaces a a"),
        ("GET", "/api/v1/watch/namespaces/a/status", "watch v1/namespaces/status a a"),
        ("GET", "/api/v1/watch/namespaces/a/pods/web/log", "watch v1/pods/log a web"),
        ("GET", "/api/v1/watch/watch", "watch v1/watch - -"),
        ("GET", "/api/v1/watch/proxy/pods", "watch v1/proxy - pods"),
        ("GET", "/api/v1/pods/watch", "get v1/pods - watch"),
        ("GET", "/apis/apps/v1/watch/namespaces/a/deployments", "watch apps/v1/deployments a -"),
        ("POST", "/api/v1/watch/pods", "watch v1/pods - -"),
        ("LIST", "/api/v1/watch/pods", "watch v1/pods - -"),
        ("GET", "/api/v1/proxy/pods", "proxy v1/pods - -"),
        ("GET", "/api/v1/proxy/nodes/n", "proxy v1/nodes - n"),
        ("GET", "/api/v1/proxy/namespaces/a/pods/web", "proxy v1/pods a web"),
        ("GET", "/api/v1/proxy/namespaces/a/pods/web/any/thing", "proxy v1/pods a web"),
        ("GET", "/apis/g/v1/proxy/namespaces/a/things/x", "proxy g/v1/things a x"),
        # B-13 watch
        ("GET", f"{NS}/pods?watch", "watch v1/pods team-a -"),
        ("GET", f"{NS}/pods?watch=yes", "watch v1/pods team-a -"),
        ("GET", f"{NS}/pods?watch=TRUE", "watch v1/pods team-a -"),
        ("GET", f"{NS}/pods?watch=0", "list v1/pods team-a -"),
        ("GET", f"{NS}/pods?watch=False", "list v1/pods team-a -"),
        ("GET", f"{NS}/pods?watch=fal%C5%BFe", "list v1/pods team-a -"),
        ("GET", f"{NS}/pods?watch=fal%C5%BFe&limit=x", "watch v1/pods team-a -"),
        ("GET", f"{NS}/pods?watch=false&limit=x", "list v1/pods team-a -"),
        ("GET", f"{NS}/pods?limit=x", "list v1/pods team-a -"),
        ("GET", f"{NS}/pods?watch=false&watch=true", "list v1/pods team-a -"),
        ("GET", f"{NS}/pods?watch=true&watch=false", "watch v1/pods team-a -"),
        ("GET", f"{NS}/pods?Watch=true", "list v1/pods team-a -"),
        ("GET", f"{NS}/pods/web?watch=true", "get v1/pods team-a web"),
        ("DELETE", f"{NS}/pods?watch=true", "deletecollection v1/pods team-a -"),
        # B-14 a selector that names one object
        ("GET", f"{NS}/secrets?fieldSelector=metadata.name%3Ds1", "list v1/secrets team-a s1"),
        ("GET", f"{NS}/secrets?fieldSelector=metadata.name==s1,type=Opaque", "list v1/secrets team-a s1"),
        ("GET", f"{NS}/secrets?watch=1&fieldSelector=metadata.name=s1", "watch v1/secrets team-a s1"),
        ("GET", f"{NS}/secrets?fieldSelector=metadata.name=s1,foo", "list v1/secrets team-a -"),
        ("GET", f"{NS}/secrets?fieldSelector=metadata.name=s1&labelSelector=a%20b", "list v1/secrets team-a -"),
        ("GET", f"{NS}/secrets?fieldSelector=metadata.name=s1&limit=", "list v1/secrets team-a -"),
        ("GET", f"{NS}/secrets?fieldSelector=metadata.name=s1&timeoutSeconds=9", "list v1/secrets team-a s1"),
        ("GET", f"{NS}/secrets?fieldSelector=metadata.name=a%2Fb", "list v1/secrets team-a -"),
        ("GET", f"{NS}/secrets?fieldSelector=metadata.name=..", "list v1/secrets team-a -"),
        ("GET", f"{NS}/secrets?fieldSelector=metadata.name=a%2525", "list v1/secrets team-a -"),
        ("DELETE", f"{NS}/secrets?fieldSelector=metadata.name=s1", "deletecollection v1/secrets team-a -"),
        # not resources
        ("GET", "/", "get /"),
        ("GET", "/api", "get /api"),
        ("GET", "/api/v1", "get /api/v1"),
        ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
        ("POST", "/apis/apps/v1", "post /apis/apps/v1"),
        ("GET", "/API/v1/pods", "get /API/v1/pods"),
        ("GET", "/apis/v1/pods", "get /apis/v1/pods"),
        ("GET", "/apis/apps/v1/", "get /apis/apps/v1"),
        ("GET", "/api/v1/", "get /api/v1"),
        ("GET", "/prefix/v1/pods", "get /prefix/v1/pods"),
        ("LIST", "/version", "list /version"),
        ("GET", "/openapi/v3/apis/apps/v1", "get /openapi/v3/apis/apps/v1"),
    ],
    ids=lambda value: value if "/" in value else None,
)
def test_reading(method: str, target: str, expected: str) -> None:
    assert shown(method, target) == expected


@pytest.mark.parametrize(
    ("target", "field", "label"),
    [
        ("/api/v1/pods?fieldSelector=a=b&labelSelector=c", "a=b", "c"),
        ("/api/v1/pods?fieldSelector=a=b&fieldSelector=c=d", "a=b", ""),
        ("/api/v1/pods?fieldSelector=nonsense", "nonsense", ""),
        ("/api/v1/pods?watch=true&fieldSelector=metadata.name=a,b&labelSelector=c", "metadata.name=a,b", "c"),
        ("/api/v1/pods?watch=false&fieldSelector=metadata.name=a,b&labelSelector=(", "metadata.name=a,b", "("),
        ("/apis/g/v1/things?fieldSelector=metadata.name=a&labelSelector=b=c&labelSelector=d", "metadata.name=a", "b=c"),
        ("/api/v1/watch/pods?fieldSelector=a=b&labelSelector=c", "", ""),
        ("/api/v1/watch/pods/web?fieldSelector=metadata.name=a&labelSelector=c", "", ""),
        (f"{NS}/pods/web?fieldSelector=a=b", "", ""),
    ],
)
def test_selectors(target: str, field: str, label: str) -> None:
    request = request_info("GET", *parse_target(target))
    assert (request.field_selector, request.label_selector) == (field, label)


@pytest.mark.parametrize(("method", "verb"), [("GET", "list"), ("DELETE", "deletecollection"), ("POST", "create")])
def test_selectors_are_those_of_collections(method: str, verb: str) -> None:
    """Of what is created there is no collection to select from."""
    request = request_info(method, *parse_target("/apis/g/v1/things?fieldSelector=a=b&labelSelector=c"))
    selected = ("", "") if verb == "create" else ("a=b", "c")
    assert (request.verb, request.field_selector, request.label_selector) == (verb, *selected)


@pytest.mark.parametrize(
    ("target", "prefix", "parts"),
    [
        ("/api/v1/pods", "api", "pods"),
        ("/api/v1/namespaces", "api", "namespaces"),
        (NS, "api", "namespaces team-a"),
        (f"{NS}/status", "api", "namespaces team-a status"),
        (f"{NS}/pods/web/proxy/a", "api", "pods web proxy a"),
        ("/apis/apps/v1/namespaces/a/deployments/web", "apis", "deployments web"),
        ("/api/v1/proxy/namespaces/a/pods/web/sub/path", "api", "pods web sub path"),
        ("/api/v1/watch/pods", "api", "pods"),
        ("/api/v1", "", ""),
        ("/apis/apps/v1", "apis", ""),
        ("/version", "", ""),
    ],
)
def test_parts_begin_at_the_resource(target: str, prefix: str, parts: str) -> None:
    request = request_info("GET", target)
    assert (request.api_prefix, request.parts) == (prefix, tuple(parts.split()))


@pytest.mark.parametrize(
    ("query", "stdin", "tty"),
    [
        ("", False, False),
        ("stdin=true&tty=true", True, True),
        ("stdin=&tty", True, True),
        ("stdin=yes&tty=x", True, True),
        ("stdin=0&tty=FALSE", False, False),
        ("stdin=false&stdin=true", False, False),
        ("Stdin=true", False, False),
    ],
)
@pytest.mark.parametrize("subresource", ["exec", "attach"])
def test_b31_stream_options(subresource: str, query: str, stdin: bool, tty: bool) -> None:
    request = request_info("GET", *parse_target(f"{NS}/pods/web/{subresource}?{query}"))
    assert (request.stdin, request.tty, request.stdout) == (stdin, tty, False)


def test_exec_takes_every_command_and_the_first_container() -> None:
    query = "command=sh&container=a&command=-c&container=b&command=rm%20-rf%20%2F&Command=no"
    request = request_info("GET", *parse_target(f"{NS}/pods/web/exec?{query}"))
    assert (request.argv, request.container) == (("sh", "-c", "rm -rf /"), "a")


@pytest.mark.parametrize("target", ["/apis/x/v1/namespaces/a/pods/web/exec?command=ls", f"{NS}/pods/web?command=ls"])
def test_only_the_core_exec_has_argv(target: str) -> None:
    assert request_info("GET", *parse_target(target)).argv == ()


def test_attach_has_no_argv() -> None:
    assert request_info("GET", *parse_target(f"{NS}/pods/web/attach?command=ls")).argv == ()


def test_port_forward_takes_every_port() -> None:
    request = request_info("POST", *parse_target(f"{NS}/pods/web/portforward?ports=80&ports=22,0443"))
    assert request.ports == (80, 22, 443)


@pytest.mark.parametrize("ports", ["ports=", "ports=x", "ports=65536", "ports=-1", "ports=80,", "ports=%2B80"])
def test_ports_are_numbers(ports: str) -> None:
    with pytest.raises(AmbiguousRequest, match="ports"):
        request_info("POST", *parse_target(f"{NS}/pods/web/portforward?{ports}"))


@pytest.mark.parametrize("target", ["/api/v1/watch", "/apis/g/v1/proxy/"])
def test_a_verb_without_a_resource_is_an_error_of_the_server(target: str) -> None:
    with pytest.raises(AmbiguousRequest, match="no resource"):
        request_info("GET", *parse_target(target))


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("pods/p?gracePeriodSeconds=0&gracePeriodSeconds=5", {"gracePeriodSeconds": 0}),
        ("pods/p?gracePeriodSeconds=soon", {}),
        ("pods?propagationPolicy=Orphan&orphanDependents=", {"propagationPolicy": "Orphan", "orphanDependents": True}),
        ("pods/p?orphanDependents=false&gracePeriodSeconds=30", {"gracePeriodSeconds": 30}),
        ("pods/p", {}),
    ],
)
def test_delete_options(target: str, options: dict[str, object]) -> None:
    assert request_info("DELETE", *parse_target(f"{NS}/{target}")).delete_options.named() == options
    assert request_info("GET", *parse_target(f"{NS}/{target}")).delete_options.named() == {}


@pytest.mark.parametrize(
    ("query", "dry"),
    [("", False), ("dryRun=All", True), ("dryRun=All&dryRun=All", True), ("dryRun=", False), ("dryRun=all", False)],
)
def test_dry_run(query: str, dry: bool) -> None:
    assert request_info("POST", *parse_target(f"{NS}/pods?{query}")).dry_run is dry


@given(
    st.text(alphabet="GETPOST"), st.lists(st.sampled_from(["api", "apis", "v1", "namespaces", "watch", "pods", "a"]))
)
def test_any_path_is_read_or_ambiguous(method: str, segments: list[str]) -> None:
    try:
        request = request_info(method, "/" + "/".join(segments))
    except AmbiguousRequest:
        return
    assert not request.parts or request.resource == request.parts[0]
