"""The plan: what is asked for upstream, and how each reply is treated."""

from __future__ import annotations

import pytest

from addons.core.masking import Masker, MaskPlan, Reply, compile_masking, mask_reply
from addons.core.masking.codec import Unmaskable
from addons.core.masking.frames import FrameMasker
from tests.core.masking.support import AWS, KEY, compact, compiled, delivered, request, secret

NS = "/api/v1/namespaces/team-a"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def plan(text: str) -> MaskPlan:
    return delivered().plan(request(text))


@pytest.mark.parametrize(
    ("target", "reply"),
    [
        (f"GET {NS}/secrets/db", Reply.OBJECTS),
        ("GET /api/v1/secrets", Reply.OBJECTS),
        ("GET /api/v1/watch/secrets", Reply.OBJECTS),
        (f"DELETE {NS}/secrets", Reply.OBJECTS),
        (f"POST {NS}/serviceaccounts/a/token", Reply.OBJECTS),
        (f"GET {NS}/serviceaccounts/a", Reply.OBJECTS),
        (f"GET {NS}/services", Reply.OBJECTS),
        ("GET /apis/apps/v1/deployments", Reply.OBJECTS),
        ("GET /apis/events.k8s.io/v1/events", Reply.OBJECTS),
        ("GET /apis/example.com/v1/secrets", Reply.OBJECTS),
        (f"GET {NS}/pods/p/log?follow=true", Reply.TEXT),
        (f"GET {NS}/pods/p/proxy/x", Reply.TEXT),
        (f"GET {NS}/services/s/proxy/secrets", Reply.TEXT),
        ("GET /api/v1/nodes/n/proxy/pods", Reply.TEXT),
        (f"POST {NS}/pods/p/exec?command=ls", Reply.CHANNELS),
        (f"GET {NS}/pods/p/attach", Reply.CHANNELS),
        (f"POST {NS}/pods/p/portforward", Reply.PASSED),
        ("GET /version", Reply.PASSED),
        ("GET /apis", Reply.PASSED),
        ("GET /openapi/v3/api/v1", Reply.PASSED),
        ("GET /metrics", Reply.TEXT),
        ("GET /versions", Reply.TEXT),
    ],
)
def test_what_a_request_answers_with(target: str, reply: Reply) -> None:
    found = plan(target)
    assert found.reply is reply
    assert found.passes is (reply is Reply.PASSED)
    assert plan(target) is found


def test_without_rules_everything_passes() -> None:
    nothing, problems = compile_masking([], KEY)
    assert problems == []
    for target in (f"GET {NS}/secrets", f"GET {NS}/pods/p/log", f"GET {NS}/pods/p/exec", "GET /metrics"):
        assert nothing.plan(request(target)).passes


def test_caches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.core.masking.masker._MAX_CACHED", 0)
    masker, _ = compiled("")
    assert masker.plan(request("GET /version")) is not masker.plan(request("GET /version"))
    assert masker._rules_of_kind("", "Secret") == ()
    assert masker._kinds == {}


@pytest.mark.parametrize(
    ("target", "original", "sent"),
    [
        (f"GET {NS}/secrets", f"{TABLE},{PARTIAL},application/json", f"{TABLE},{PARTIAL},application/json"),
        (f"GET {NS}/secrets", "", "application/json"),
        (f"GET {NS}/secrets", "*/*", "application/json"),
        (f"GET {NS}/secrets", PROTOBUF, "application/json"),
        (f"GET {NS}/secrets", f"{PROTOBUF},application/json;q=0.5, */*", "application/json;q=0.5"),
        (f"GET {NS}/secrets", "application/cbor, Application/JSON", " Application/JSON"),
        (f"GET {NS}/secrets", "application/yaml", "application/yaml"),
        (f"GET {NS}/secrets", "application/json;as=Other;v=v1;g=x", "application/json"),
        (f"GET {NS}/secrets", "application/json;profile=x", "application/json"),
        (
            f"GET {NS}/secrets?watch=1",
            "application/yaml,application/json;stream=watch",
            "application/json;stream=watch",
        ),
        (f"GET {NS}/pods/p/log", "*/*", "*/*"),
        (f"POST {NS}/pods/p/portforward", PROTOBUF, PROTOBUF),
    ],
)
def test_only_forms_that_can_be_masked_are_asked_for(target: str, original: str, sent: str) -> None:
    assert plan(target).accept(original) == sent
    assert plan(target).accept(original) == sent


def test_remembered_accept_headers_are_bounded() -> None:
    found = compiled("""
apiVersion: chaperone/v1
kind: Masking
metadata: {name: m}
spec:
  description: d
  match: {apiGroups: ["*"], resources: ["*"]}
  paths: ["$.x"]
  tests: [{given: {x: 1}, expect: {x: MASKED}}, {given: {}, expect: unchanged}]
""")[0].plan(request("GET /api/v1/pods"))
    for index in range(2000):
        found.accept(f"text/{index}")
    assert len(found._accepted) == 1024


@pytest.mark.parametrize(
    ("target", "status", "content_type", "encoding", "mode"),
    [
        ("GET /openapi/v2", 200, PROTOBUF, "gzip", "pass"),
        (f"GET {NS}/services", 200, PROTOBUF, "", "refuse"),
        (f"GET {NS}/secrets", 200, "application/json", "", "list"),
        (f"GET {NS}/secrets", 200, "application/json; charset=utf-8", "identity", "list"),
        (f"GET {NS}/secrets/s", 200, "application/json", "", "document"),
        (f"DELETE {NS}/secrets", 200, "application/json", "", "document"),
        (f"GET {NS}/secrets", 403, "application/json", "", "document"),
        (f"GET {NS}/secrets", 200, "application/yaml", "", "document"),
        (f"GET {NS}/secrets", 200, "application/json", "gzip", "refuse"),
        (f"GET {NS}/secrets", 200, PROTOBUF, "", "refuse"),
        (f"GET {NS}/secrets", 200, "text/plain", "", "refuse"),
        (f"GET {NS}/secrets", 500, "text/plain", "", "document"),
        (f"GET {NS}/secrets", 304, "", "", "document"),
        (f"GET {NS}/secrets?watch=1", 200, "application/json", "", "frames"),
        (f"GET {NS}/secrets?watch=1", 403, "application/json", "", "document"),
        (f"GET {NS}/secrets?watch=1", 200, "application/yaml", "", "refuse"),
        (f"GET {NS}/secrets?watch=1", 101, "", "", "pass"),
        (f"GET {NS}/pods/p/log", 200, "text/plain", "", "text"),
        (f"GET {NS}/pods/p/log", 404, "application/json", "", "text"),
        (f"GET {NS}/pods/p/proxy/", 200, "text/html", "gzip", "refuse"),
        (f"GET {NS}/pods/p/exec", 101, "", "", "pass"),
        (f"GET {NS}/pods/p/exec", 403, "application/json", "", "text"),
    ],
)
def test_how_a_reply_is_treated(target: str, status: int, content_type: str, encoding: str, mode: str) -> None:
    assert plan(target).mode(status, content_type, encoding) == mode
    headers = {"content-type": content_type, "content-encoding": encoding}
    assert plan(target).mode_of(status, {key: value for key, value in headers.items() if value}) == mode


def test_a_short_list_is_a_document() -> None:
    found = plan(f"GET {NS}/secrets")
    assert found.mode_of(200, {"content-type": "application/json", "content-length": "9"}) == "document"
    assert found.mode_of(200, {"content-type": "application/json"}) == "list"


def test_endless_replies_are_known() -> None:
    assert plan(f"GET {NS}/secrets?watch=1").endless
    assert plan(f"GET {NS}/pods/p/log").endless
    assert not plan(f"GET {NS}/secrets").endless


def test_an_empty_body_stays_empty() -> None:
    assert plan(f"DELETE {NS}/secrets/db").mask_document(b"", "") == b""


def test_what_passes_is_not_looked_at() -> None:
    chunks = [AWS.encode(), b"\xff"]
    assert list(mask_reply(delivered(), request("GET /version"), "x/y", chunks)) == chunks


def test_an_error_of_a_searched_resource_keeps_its_quotes() -> None:
    text = plan(f"GET {NS}/configmaps").mask_document(f'no "x" {AWS}'.encode(), "text/plain")
    assert text.startswith(b'no "x" AKIAmasked:v1:')


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 100_000])
def test_watch_events_in_any_chunking(size: int) -> None:
    event = compact({"type": "ADDED", "object": secret()})
    bookmark = compact({"type": "BOOKMARK", "object": {"kind": "Secret", "metadata": {"resourceVersion": "1"}}})
    body = event + b"\n" + bookmark + event.strip()
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    masker: Masker = delivered()
    out = b"".join(mask_reply(masker, request("GET /api/v1/secrets?watch=true"), "application/json", chunks))
    assert out == b"".join(mask_reply(masker, request("GET /api/v1/secrets?watch=true"), "application/json", [body]))
    assert b"hunter2" not in out
    assert bookmark in out


def test_each_event_is_passed_on_when_it_is_complete() -> None:
    masker = plan("GET /api/v1/secrets?watch=true").frames()
    bookmark = compact({"type": "BOOKMARK", "object": {"kind": "Secret"}})
    assert masker.feed(bookmark[:5]) == []
    assert masker.feed(bookmark[5:] + bookmark[:3]) == [bookmark]
    assert masker.feed(bookmark[3:]) == [bookmark]
    assert masker.finish() == []


def test_what_is_asked_for_as_a_list_and_is_none_is_masked_as_a_whole() -> None:
    head = {"kind": "Secret", "apiVersion": "v1", "items": [{"a": 1}, {"a": 2}]}  # begins as a list does
    masker, body = plan("GET /api/v1/secrets").list(), compact(head | secret())
    assert masker.feed(body) == []
    (whole,) = masker.finish()
    assert whole == plan("GET /api/v1/secrets").mask_document(body, "application/json")
    assert b"hunter2" not in whole


def test_a_huge_event_ends_the_watch() -> None:
    masker = FrameMasker(lambda frame: frame, max_frame=10)
    assert masker.feed(b"0123456789") == []
    with pytest.raises(Unmaskable, match="larger than 10"):
        masker.feed(b"0")
    assert b'"type":"ERROR"' in masker.failure("why")


def test_log_text() -> None:
    out = b"".join(
        mask_reply(delivered(), request(f"GET {NS}/pods/p/log"), "text/plain", [b"a AKIA", AWS[4:].encode()])
    )
    assert out.startswith(b"a AKIAmasked:v1:")
    masker = plan(f"GET {NS}/pods/p/exec").channel()
    assert b"".join(masker.feed(AWS.encode())).startswith(b"AKIAmasked:v1:")


WARNINGS = [
    ('299 - "unknown field \\"spec.foo\\""', '299 - "unknown field \\"spec.foo\\""'),
    ('299 - "data: \\"hunter2\\" is odd"', '299 - "data: \\"(masked)\\" is odd"'),
    ('299 - "a", 299 kube-apiserver "b" "Sat, 25 Aug 2012 23:34:45 GMT"', None),
    ('299 - "a\\\\b"', None),
    (f'299 - "found {AWS} there"', '299 - "found AKIAmasked:v1:'),
    ('299 - "not closed', ""),
    ("299 - bare", ""),
    ("", ""),
]


@pytest.mark.parametrize(("sent", "shown"), WARNINGS)
def test_warnings_are_masked_as_messages_are(sent: str, shown: str | None) -> None:
    found = plan(f"POST {NS}/secrets").mask_warnings([sent])
    assert len(found) == (shown != "")
    assert not found or found[0].startswith(sent if shown is None else shown)


def test_warnings_about_searched_objects_keep_their_quotes() -> None:
    text = '299 - "no \\"x\\""'
    assert plan(f"POST {NS}/services").mask_warnings([text]) == [text]
    assert plan("GET /version").mask_warnings(["odd"]) == ["odd"]


def test_a_masker_without_some_rules_keeps_the_others() -> None:
    masker = delivered()
    assert masker.without(()) is masker
    other = masker.without(("secrets",))
    assert masker.without(("secrets",)) is other
    assert masker.names - other.names == {"secrets"}
    value = secret(data={"password": "aHVudGVyMg=="})
    value["metadata"]["annotations"] = {"note": f"id {AWS}"}
    shown = other.plan(request(f"GET {NS}/secrets/db")).mask_document(compact(value), "application/json")
    assert b"aHVudGVyMg==" in shown
    assert AWS.encode() not in shown


def test_a_session_s_plan_is_made_once_and_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    unbound = plan(f"GET {NS}/secrets")
    first, other = unbound.bound("prod", "s1"), unbound.bound("prod", "s2")
    assert unbound.bound("prod", "s1") is first
    assert len({id(each) for each in (unbound, first, other, unbound.bound("test", "s1"))}) == 4
    monkeypatch.setattr("addons.core.masking.plan._SESSIONS", 2)
    for number in range(5):
        unbound.bound("prod", f"n{number}")
        assert len(unbound._bound) <= 2
    assert unbound.bound("prod", "s1") is not first
