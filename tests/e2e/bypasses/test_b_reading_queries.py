"""Section B, queries: what is watched, which object a list is narrowed to, which of several values counts."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import quote

import pytest

from tests.e2e.bypasses.caller import Caller
from tests.e2e.people import Person, pending
from tests.e2e.records import approvals
from tests.support.kubernetes import Kubectl

MAPS = "/api/v1/namespaces/NS/configmaps"


@pytest.fixture(scope="module", autouse=True)
def objects(admin: Kubectl) -> None:
    """ConfigMaps `c1` and `c2`, and pod `p1`."""
    for name in ("c1", "c2"):
        admin("create", "configmap", name, "--from-literal=a=b")
    admin.run_pod("p1")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/api/v1/watch/configmaps", "watch configmaps - -"),
        ("/api/v1/watch/namespaces/NS/configmaps", "watch configmaps NS -"),
        ("/api/v1/watch/namespaces/NS/configmaps/c1", "watch configmaps NS c1"),
        ("/api/v1/watch/namespaces/NS/configmaps?watch=false", "watch configmaps NS -"),
        (f"{MAPS}?watch", "watch configmaps NS -"),
        (f"{MAPS}?watch=", "watch configmaps NS -"),
        (f"{MAPS}?watch=1", "watch configmaps NS -"),
        (f"{MAPS}?watch=true", "watch configmaps NS -"),
        (f"{MAPS}?watch=TRUE", "watch configmaps NS -"),
        (f"{MAPS}?watch=yes", "watch configmaps NS -"),
        (f"{MAPS}?watch=no", "watch configmaps NS -"),
        (f"{MAPS}?watch=f", "watch configmaps NS -"),
        (f"{MAPS}?w%61tch=1", "watch configmaps NS -"),
        (f"{MAPS}?watch=true&watch=false", "watch configmaps NS -"),
        (f"{MAPS}?watch=%20false", "watch configmaps NS -"),
        (f"{MAPS}?watch=0", "list configmaps NS -"),
        (f"{MAPS}?watch=false", "list configmaps NS -"),
        (f"{MAPS}?watch=False", "list configmaps NS -"),
        (f"{MAPS}?watch=FALSE", "list configmaps NS -"),
        (f"{MAPS}?watch=fal%C5%BFe", "list configmaps NS -"),
        (f"{MAPS}?watch=false&watch=true", "list configmaps NS -"),
        (f"{MAPS}?Watch=true", "list configmaps NS -"),
        (f"{MAPS}?watch;=true", "list configmaps NS -"),
        (f"{MAPS}?limit=x&watch=1", "watch configmaps NS -"),
        (f"{MAPS}?limit=x&watch=fal%C5%BFe", "watch configmaps NS -"),
        (f"{MAPS}?limit=x&watch=false", "list configmaps NS -"),
        (f"{MAPS}/c1?watch=true", "get configmaps NS c1"),
        (f"{MAPS}/?watch=1", "watch configmaps NS -"),
    ],
)
def test_b13_forms_of_a_watch(target: str, expected: str, caller: Caller) -> None:
    caller.is_read(expected, target, head_only=True)


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/watch/secrets",
        "/api/v1/secrets?watch=yes",
        "/api/v1/secrets?watch=false",
        "/api/v1/watch/namespaces/kube-system/secrets",
    ],
)
def test_b13_no_form_of_it_is_past_a_rule(target: str, caller: Caller) -> None:
    caller.is_refused(403, "no-lists-of-all-secrets", target)


@pytest.mark.parametrize("target", ["/api/v1/watch", "/api/v1/watch/", "/api/v1/proxy", "/apis/apps/v1/watch"])
def test_b13_a_verb_in_the_path_without_a_resource_is_refused(target: str, caller: Caller) -> None:
    answer = caller.asks(target)
    assert answer.status in (400, 403)
    assert caller.oracle.arrived() == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_b13_a_watch_in_the_path_is_only_read(method: str, caller: Caller) -> None:
    caller.is_refused(403, "unknown-verb", "/api/v1/watch/namespaces/NS/configmaps/c1", method=method)


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        ("metadata.name=c1", "c1"),
        ("metadata.name==c1", "c1"),
        ("metadata.name=c1,type=Opaque", "c1"),
        ("type=Opaque,metadata.name=c1", "c1"),
        ("metadata.namespace=x,metadata.name=c1", "c1"),
        (",metadata.name=c1,", "c1"),
        ("metadata.name=c2,metadata.name=c1", "c1"),
        ("metadata.name!=c2,metadata.name=c1", "c1"),
        ("metadata.name=c\\,1", "c,1"),
        ("metadata.name=c\\=1", "c=1"),
        ("metadata.name=c1==", "-"),
        ("metadata.name=c1=2", "-"),
        ("metadata.name=c1,broken", "-"),
        ("metadata.name!=c1", "-"),
        ("metadata.name", "-"),
        ("metadata.name=", "-"),
        ("Metadata.Name=c1", "-"),
        (" metadata.name=c1", "-"),
        ("metadata.name =c1", "-"),
        ("metadata.name=a/b", "-"),
        ("metadata.name=..", "-"),
        ("metadata.name=.", "-"),
        ("metadata.name=c%1", "-"),
        ("metadata.uid=c1", "-"),
        ("", "-"),
    ],
)
@pytest.mark.parametrize("verb", ["list", "watch"])
def test_b14_a_selector_that_names_one_object_counts_as_reading_it(
    verb: str, selector: str, name: str, caller: Caller
) -> None:
    target = f"{MAPS}?fieldSelector={quote(selector, safe='')}{'&watch=1' if verb == 'watch' else ''}"
    caller.is_read(f"{verb} configmaps NS {name}", target, head_only=True)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("fieldSelector=metadata.name=c1", "c1"),
        ("fieldSelector=metadata.name%3D%3Dc1", "c1"),
        ("fieldSelector=metadata.name=c1&fieldSelector=metadata.name=c2", "c1"),
        ("fieldSelector=&fieldSelector=metadata.name=c2", "-"),
        ("FieldSelector=metadata.name=c1", "-"),
        ("fieldSelector=metadata.name=c1;x", "-"),
        ("field%53elector=metadata.name=c1", "c1"),
        ("fieldSelector=metadata.name=c1&labelSelector=a%3Db", "c1"),
        ("fieldSelector=metadata.name=c1&labelSelector=a%20b", "-"),
        ("fieldSelector=metadata.name=c1&limit=1", "c1"),
        ("fieldSelector=metadata.name=c1&limit=one", "-"),
        ("fieldSelector=metadata.name=c1&limit=%2B1", "c1"),
        ("fieldSelector=metadata.name=c1&timeoutSeconds=1", "c1"),
        ("fieldSelector=metadata.name=c1&timeoutSeconds=1s", "-"),
        ("fieldSelector=metadata.name=c1&continue=x", "c1"),
        ("fieldSelector=metadata.name=c1&resourceVersion=0", "c1"),
        ("fieldSelector=metadata.name=c1&resourceVersionMatch=Exact", "c1"),
        ("fieldSelector=metadata.name=c1&sendInitialEvents=maybe", "c1"),
        ("fieldSelector=metadata.name=c1&allowWatchBookmarks=maybe", "c1"),
    ],
)
def test_b14_it_does_so_as_far_as_the_other_options_can_be_read(query: str, name: str, caller: Caller) -> None:
    caller.is_read(f"list configmaps NS {name}", f"{MAPS}?{query}", head_only=True)


@pytest.mark.parametrize("target", ["/api/v1/watch/namespaces/NS/configmaps?fieldSelector=metadata.name=c1"])
def test_b14_but_not_in_a_watch_by_path(target: str, caller: Caller) -> None:
    caller.is_read("watch configmaps NS -", target, head_only=True)


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("limit=1&limit=5", "limit=1&limit=5"),
        ("%6cimit=1", "limit=1"),
        ("limit=1;limit=5", ""),
        ("limit=1;&Limit=5", "Limit=5"),
        ("a=b;c=d&limit=1", "limit=1"),
        ("limit=%31&labelSelector=a+b", "limit=1&labelSelector=a+b"),
        ("&&limit=1&", "limit=1"),
        ("=x&limit=1", "=x&limit=1"),
        ("limit", "limit="),
        ("limit=1%26limit=5", "limit=1%26limit%3D5"),
        ("limit=1%3Blimit", "limit=1%3Blimit"),
        ("limit=1?limit=2", "limit=1%3Flimit%3D2"),
    ],
)
def test_b15_a_query_is_sent_in_one_spelling(query: str, sent: str, caller: Caller) -> None:
    caller.asks(f"{MAPS}?{query}")
    (event,) = caller.oracle.events()
    assert event["requestURI"].partition("configmaps")[2] == (f"?{sent}" if sent else "")


@pytest.mark.parametrize(
    ("query", "items"), [("limit=1&limit=5", 1), ("Limit=1", 3), ("limit=1;limit=5", 3), ("%6cimit=1", 1)]
)
def test_b15_and_means_the_same_as_without_a_gateway(query: str, items: int, caller: Caller) -> None:
    """Three are there: `c1`, `c2` and the cluster's own certificate."""
    assert len(caller.asks(f"{MAPS}?{query}").json()["items"]) == items
    raw = f"{MAPS}?{query}".replace("NS", caller.admin.namespace)
    assert len(json.loads(caller.admin("get", "--raw", raw))["items"]) == items


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("limit=%", "a % that is not followed"),
        ("limit=%zz", "a % that is not followed"),
        ("a=%ff", "not UTF-8"),
        ("a=%00", "NUL"),
        ("&".join(["a=b"] * 1001), "more than 1000 parameters"),
    ],
)
def test_b15_a_query_that_cannot_be_read_is_refused(query: str, reason: str, caller: Caller) -> None:
    assert reason in caller.is_refused(400, "ambiguous-request", f"{MAPS}?{query}").message


@pytest.mark.parametrize(
    ("query", "argv"),
    [
        ("command=ls&command=-l", ["ls", "-l"]),
        ("command=ls&Command=rm&COMMAND=rm", ["ls"]),
        ("%63ommand=ls&command=%2Dl", ["ls", "-l"]),
        ("command=ls;command=rm&command=-l", ["-l"]),
        ("command=ls%3Bcommand=rm", ["ls;command=rm"]),
        ("command=&command=ls", ["", "ls"]),
        ("command", [""]),
        ("command=a+b&command=c%20d", ["a b", "c d"]),
        ("command[]=ls&command.0=ls", []),
    ],
)
def test_b15_the_argv_of_an_exec(query: str, argv: list[str], caller: Caller) -> None:
    """What people are asked about; no pod of these names is needed for that."""
    pod = f"p-{hashlib.sha256(query.encode()).hexdigest()[:10]}"
    caller.is_refused(403, "exec-needs-approval", f"/api/v1/namespaces/NS/pods/{pod}/exec?{query}")
    assert [json.loads(row["argv"]) for row in approvals(caller.gateway, name=pod)] == [argv]


KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
WEBSOCKET = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", KEY)


def test_b15_what_was_asked_about_is_what_is_run(caller: Caller, oncall: Person) -> None:
    """The first container, every command in its order, no pair with a semicolon, no other case: as the pod shows."""
    query = "%63ommand=echo&command=one&command=two;command=three&Command=four&stdout=1&container=main&container=other"
    target = f"/api/v1/namespaces/NS/pods/p1/exec?{query}"
    assert caller.asks(target, *WEBSOCKET, head_only=True).status == 403
    question = pending(caller.gateway, name="p1", namespace=caller.admin.namespace)
    assert json.loads(question["argv"]) == ["echo", "one"]
    oncall.approves(caller.gateway, question["id"])
    answer = caller.asks(target, *WEBSOCKET, seconds=1)
    assert answer.status == 101
    assert b"\x01one\n" in answer.raw
