"""The API server as the judge of our reading: the same request lines, and its own audit log of what they mean to it.

A disagreement is a failure. What we refuse as ambiguous is counted, because a gateway that refuses everything never
disagrees; of what real clients send, nothing may be refused.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addons.core.reading import read_request
from addons.core.request_line import AmbiguousRequest
from scripts.devenv.cluster import Cluster
from tests.conformance.api_server import ApiServer, Reading, Sent, reading_of

CORPUS = Path(__file__).parent / "corpus"
EXAMPLES = int(os.environ.get("CHAPERONE_FUZZ_EXAMPLES", "100"))
"""Of thirty requests each."""
MOST_REFUSED = 0.5
"""Of what is made up here, which is odd on purpose."""

_WORDS = (
    "pods secrets configmaps nodes services namespaces deployments bindings watch proxy status finalize exec log token"
    " scale a team-a web api apis v1 v2 apps x.example.com things https:web:443 web:80 a+b a:b ~ * A"
    " %73ecrets sec%72ets %2573ecrets a%20b a;b caf%C3%A9"
).split()
_ODD = ". .. %2e a%2fb a%5cb a%00b a%zz a%1 %C0%AF".split()
_SEGMENTS = st.sampled_from(_WORDS * 8 + _ODD)
_STARTS = st.sampled_from(
    ["/api/v1"] * 20
    + "/apis/apps/v1 /apis/batch/v1 /apis/rbac.authorization.k8s.io/v1 /apis/x.example.com/v1alpha1 /api/v2".split() * 3
    + "/api /apis /apis/apps / /API/v1 /version /healthz /openapi/v3 //api/v1 /api//v1 /./api/v1 /x/../api/v1".split()
)
_SEPARATORS = st.sampled_from(["/"] * 60 + ["//", "/./", "%2f", "/../", ";/"])
_KEYS = st.sampled_from(
    "watch fieldSelector labelSelector limit continue timeoutSeconds timeout resourceVersion dryRun command stdin tty"
    " container ports pretty Watch w%61tch field%53elector fieldManager sendInitialEvents allowWatchBookmarks".split()
)
_VALUES = st.sampled_from(
    "true false 0 1 TRUE False yes no t f metadata.name=a metadata.name%3Da metadata.name==a metadata.name!=a"
    " metadata.name=a,metadata.name=b metadata.namespace=x,metadata.name=a metadata.name=a%5C,b metadata.name=a=b"
    " metadata.name=.. metadata.name=a/b metadata.name=a%25 spec.nodeName=n app=web app+in+(a,b) !app app=( 10 -1 x 5s"
    " 9223372036854775808 +1 0x1 All all %zz a%00 a;b a%3Bb fal%C5%BFe %20false =".split()
)
_METHODS = st.sampled_from(
    ["GET"] * 12 + ["POST", "PUT", "PATCH", "DELETE", "HEAD"] * 2 + ["get", "LIST", "OPTIONS", "TRACE", "PROPFIND"]
)
_HEADERS = st.lists(
    st.sampled_from(
        [
            ("X-HTTP-Method-Override", "DELETE"),
            ("X-Original-URL", "/api/v1/secrets"),
            ("Content-Type", "application/apply-patch+yaml"),
            ("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io"),
            ("Kubectl-Command", "kubectl get"),
            ("X-Forwarded-Uri", "/api/v1/secrets"),
        ]
    ),
    max_size=1,
)


@st.composite
def targets(draw: st.DrawFn) -> str:
    """A path of known and unknown words, sometimes oddly joined, with the odd query."""
    path = draw(_STARTS)
    for segment in draw(st.lists(_SEGMENTS, max_size=7)):
        path += draw(_SEPARATORS) + segment
    path += draw(st.sampled_from([""] * 8 + ["/", "//"]))
    pairs = draw(st.lists(st.tuples(_KEYS, st.sampled_from(["=", "=", "=", "", "=="]), _VALUES), max_size=3))
    query = draw(st.sampled_from(["&"] * 9 + [";"])).join("".join(pair) for pair in pairs)
    return path + (f"?{query}" if query or draw(st.booleans()) else "")


SENT = st.builds(Sent, _METHODS, targets(), _HEADERS)


def ours(sent: Sent) -> Reading | None:
    """Our reading; None for what is refused."""
    try:
        return reading_of(read_request(sent.method, sent.target, sent.headers))
    except AmbiguousRequest:
        return None


def compare(api_server: ApiServer, requests: Sequence[Sent]) -> Counter[str]:
    """How many were read alike, refused by us, or not read by the API server at all. Fails on a disagreement."""
    count: Counter[str] = Counter()
    for sent, theirs in zip(requests, api_server.read(requests), strict=True):
        mine = ours(sent)
        if mine is None or theirs is None:
            count["refused" if mine is None else "not read there"] += 1
            continue
        assert mine == theirs, f"{sent.method} {sent.target}: we read {mine}, the API server {theirs}"
        count["alike"] += 1
    return count


@pytest.fixture(scope="module")
def api_server(cluster: Cluster) -> Iterator[ApiServer]:
    """A connection straight to it."""
    server = ApiServer(cluster)
    yield server
    server.close()


def test_made_up_requests_are_read_as_the_api_server_reads_them(api_server: ApiServer) -> None:
    total: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        derandomize="CHAPERONE_FUZZ_EXAMPLES" not in os.environ,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(SENT, min_size=30, max_size=30))
    def fuzz(requests: list[Sent]) -> None:
        total.update(compare(api_server, requests))

    fuzz()
    print(dict(total))
    assert total["refused"] <= MOST_REFUSED * total.total(), total
    assert total["alike"] >= total.total() / 2, total


def corpus(name: str) -> list[Sent]:
    """The requests of a file: one JSON array of method, target and headers a line."""
    lines = (CORPUS / name).read_text(encoding="utf-8").splitlines()
    return [Sent(method, target, tuple(map(tuple, headers))) for method, target, headers in map(json.loads, lines)]


def test_the_corpus_of_odd_requests_is_read_alike(api_server: ApiServer) -> None:
    assert compare(api_server, corpus("odd.jsonl")).total() > 50


def test_what_clients_send_is_read_alike_and_never_refused(api_server: ApiServer) -> None:
    """Recorded from kubectl by `scripts/record_traffic.py`; lines of helm and of informers are among them."""
    requests = corpus("traffic.jsonl")
    assert compare(api_server, requests) == Counter(alike=len(requests))


def test_a_wrong_reading_is_found(api_server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = read_request
    monkeypatch.setattr(f"{__name__}.read_request", lambda method, target, _: real(method, target + "x", ()))
    with pytest.raises(AssertionError, match="we read"):
        compare(api_server, [Sent("GET", "/api/v1/namespaces/team-a/pods/web")])
