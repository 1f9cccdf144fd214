from __future__ import annotations

import asyncio
import http.server
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from addons.core.authorization import Bearer
from addons.core.connection import Connection
from addons.core.dry_run import UnsafeDryRun
from addons.core.grant import Grant
from addons.core.guardrails.effective import ServerRefusal
from addons.core.identity import Identity
from addons.core.resources import BUILTIN
from addons.core.secret import Secret
from addons.edge.api_server import UpstreamUnavailable
from addons.edge.credentials import Credentials, CredentialUnavailable
from addons.edge.upstream import MISS_INTERVAL, Upstream
from tests.support.proxy import Upstream as Server
from tests.support.proxy import upstream as run_server

TOKEN = Bearer(Secret("k8s-aws-v1.secret"))
WHO = Identity(iss="https://idp", sub="agent", aud=("c",), exp=9e9)
GRANT = Grant(id="g", identity=WHO, connection="test", role="arn", not_before_at=0, expires_at=9e9)
PODS = "/api/v1/namespaces/web/pods"
Handler = http.server.BaseHTTPRequestHandler


class Source:
    """Credentials that are there, or not."""

    def __init__(self) -> None:
        self.dropped: list[Bearer] = []
        self.ready: Bearer | None = None
        self.failure: CredentialUnavailable | None = None

    async def token(self, grant: Grant) -> Bearer:
        if self.failure is not None:
            raise self.failure
        return TOKEN

    def any_token(self, connection: str) -> Bearer | None:
        return self.ready

    def drop(self, grant: Grant, token: Bearer) -> None:
        self.dropped.append(token)


class Cluster:
    """The server, what it answers by path, and how the gateway sees it."""

    def __init__(self, server: Server, answers: dict[str, Any]) -> None:
        self.server, self.answers = server, answers
        self.connection = server.connection()
        self.source, self.now = Source(), 1000.0
        self.upstream = self.make(self.connection)

    def make(self, connection: Connection) -> Upstream:
        return Upstream({"test": connection}, cast(Credentials, self.source), lambda: self.now)

    @property
    def asked(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _, _ in self.server.requests]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    answers: dict[str, Any] = {}

    def answer(handler: Handler) -> None:
        found = answers.get(handler.path.partition("?")[0], (200, {"kind": "Pod"}))
        if callable(found):
            found(handler)
            return
        status, body = found
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        if 300 <= status < 400:
            handler.send_header("Location", "https://elsewhere.example/")
        handler.end_headers()
        handler.wfile.write(content)

    with run_server(tmp_path, answer) as server:
        found = Cluster(server, answers)
        yield found
        await found.upstream.close()


async def test_a_dry_run_is_the_request_itself_as_a_question(cluster: Cluster) -> None:
    headers = {
        "Content-Type": "application/vnd.kubernetes.protobuf",
        "User-Agent": "kubectl/1",
        "Accept": "x",
        "X-Y": "z",
    }
    target = f'{PODS}?fieldManager=a%2fb&dryRun=None&x=["]'
    answer = await cluster.upstream.dry_run(cluster.connection, TOKEN, "POST", target, headers, b"k8s\x00body")
    ((method, path, sent, body),) = cluster.server.requests
    assert (method, path, body) == ("POST", f'{PODS}?fieldManager=a%2fb&x=["]&dryRun=All', b"k8s\x00body")
    assert sent["Content-Type"] == "application/vnd.kubernetes.protobuf"
    assert (sent["Accept"], sent["User-Agent"]) == ("application/json", "kubectl/1")
    assert (sent["Authorization"], sent["Host"]) == ("Bearer k8s-aws-v1.secret", "api.cluster.test:443")
    assert "X-Y" not in sent and sent["Accept-Encoding"] == "identity"
    assert (answer.status, answer.object) == (200, {"kind": "Pod"})


async def test_what_a_deletecollection_reaches_is_counted_by_names_alone(cluster: Cluster) -> None:
    metadata = {"continue": "more", "remainingItemCount": 40}
    cluster.answers[PODS] = (200, {"metadata": metadata, "items": [{}, {}]})
    assert await cluster.upstream.affected(GRANT, f"{PODS}?labelSelector=a%3Db&limit=500") == 42
    ((method, path, sent, _),) = cluster.server.requests
    assert (method, path) == ("GET", f"{PODS}?labelSelector=a%3Db&limit=500")
    assert sent["Accept"].startswith("application/json;as=PartialObjectMetadataList")
    cluster.answers[PODS] = (403, {"kind": "Status"})
    refused = await cluster.upstream.affected(GRANT, PODS)
    assert isinstance(refused, ServerRefusal)
    assert (refused.status, refused.asked) == (403, "a list of what this request would delete")
    cluster.answers[PODS] = (200, {"kind": "Pod"})
    with pytest.raises(UpstreamUnavailable, match="did not answer with a list"):
        await cluster.upstream.affected(GRANT, PODS)


@pytest.mark.parametrize(
    ("method", "target"), [("DELETE", f"{PODS}/p"), ("POST", "/api/v1/namespaces/web/serviceaccounts/s/token")]
)
async def test_an_unsafe_dry_run_is_never_asked_for(cluster: Cluster, method: str, target: str) -> None:
    with pytest.raises(UnsafeDryRun):
        await cluster.upstream.dry_run(cluster.connection, TOKEN, method, target, {}, b"{}")
    assert cluster.asked == []


async def test_an_api_that_is_not_built_in_must_say_that_it_knows_dry_run(cluster: Cluster) -> None:
    document = "/openapi/v3/apis/x.io/v1"
    widgets = "/apis/x.io/v1/namespaces/web/widgets"
    cluster.answers[document] = (200, {"paths": {}})
    with pytest.raises(UnsafeDryRun, match="knows dryRun"):
        await cluster.upstream.dry_run(cluster.connection, TOKEN, "POST", widgets, {}, b"{}")
    assert cluster.asked == [("GET", document)]
    with pytest.raises(UnsafeDryRun, match="knows dryRun"):
        await cluster.upstream.dry_run(cluster.connection, TOKEN, "POST", widgets, {}, b"{}")
    assert len(cluster.asked) == 1, "too soon to ask again"
    cluster.now += MISS_INTERVAL
    operation = {"parameters": [{"name": "dryRun"}]}
    path = "/apis/x.io/v1/namespaces/{namespace}/widgets"
    cluster.answers[document] = (200, {"paths": {path: {"post": operation}}})
    for _ in range(2):
        await cluster.upstream.dry_run(cluster.connection, TOKEN, "POST", widgets, {}, b"{}")
    assert cluster.asked[1:] == [("GET", document)] + [("POST", f"{widgets}?dryRun=All")] * 2


async def test_effective_object(cluster: Cluster) -> None:
    assert await cluster.upstream.effective(GRANT, "PATCH", f"{PODS}/p", {}, b"{}") == {"kind": "Pod"}
    assert cluster.asked == [("PATCH", f"{PODS}/p?dryRun=All")]


async def test_the_servers_refusal_is_the_answer(cluster: Cluster) -> None:
    cluster.answers[f"{PODS}/p"] = (422, {"kind": "Status", "message": "no"})
    answer = await cluster.upstream.effective(GRANT, "PATCH", f"{PODS}/p", {}, b"{}")
    assert isinstance(answer, ServerRefusal)
    assert (answer.status, answer.content_type) == (422, "application/json")
    assert json.loads(answer.body)["message"] == "no"


async def test_current_object(cluster: Cluster) -> None:
    assert await cluster.upstream.current(GRANT, f"{PODS}/p") == {"kind": "Pod"}
    cluster.answers[f"{PODS}/p"] = (404, {"kind": "Status"})
    assert await cluster.upstream.current(GRANT, f"{PODS}/p") is None
    cluster.answers[f"{PODS}/p"] = (403, {"kind": "Status"})
    assert isinstance(await cluster.upstream.current(GRANT, f"{PODS}/p"), ServerRefusal)
    assert set(cluster.asked) == {("GET", f"{PODS}/p")}


async def test_b86_which_object_it_is(cluster: Cluster) -> None:
    """No more of it than its metadata is asked for: it may be a Secret that nobody has approved yet."""
    cluster.answers[f"{PODS}/p"] = (200, {"kind": "PartialObjectMetadata", "metadata": {"uid": "u1"}})
    assert await cluster.upstream.uid(GRANT, f"{PODS}/p") == "u1"
    for code in (403, 404):
        cluster.answers[f"{PODS}/p"] = (code, {"kind": "Status"})
        assert await cluster.upstream.uid(GRANT, f"{PODS}/p") == ""
    cluster.answers[f"{PODS}/p"] = (500, {"kind": "Status"})
    with pytest.raises(UpstreamUnavailable, match="500"):
        await cluster.upstream.uid(GRANT, f"{PODS}/p")


def slow(handler: Handler) -> None:
    time.sleep(0.5)
    handler.send_response(200)
    handler.end_headers()


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(2**30))
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param((302, b""), "redirect", id="B-71 redirect"),
        pytest.param((200, b"[]"), "not answer with an object", id="a list"),
        pytest.param((200, b"text"), "not answer with an object", id="text"),
        pytest.param(endless, "more than 1000000 bytes", id="endless"),
        pytest.param(slow, "TimeoutError", id="slow"),
    ],
)
async def test_without_an_answer_nothing_passes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, answer: Any, message: str
) -> None:
    monkeypatch.setattr("addons.edge.api_server.MAX_BYTES", 1_000_000)
    monkeypatch.setattr("addons.edge.api_server._DEADLINE", 0.3)
    cluster.answers[f"{PODS}/p"] = answer
    with pytest.raises(UpstreamUnavailable, match=message) as caught:
        await cluster.upstream.effective(GRANT, "PUT", f"{PODS}/p", {}, b"{}")
    assert "secret" not in str(caught.value)


async def test_a_credential_the_cluster_does_not_accept_is_dropped(cluster: Cluster) -> None:
    cluster.answers[f"{PODS}/p"] = (401, {"kind": "Status"})
    with pytest.raises(UpstreamUnavailable, match="did not accept"):
        await cluster.upstream.current(GRANT, f"{PODS}/p")
    assert cluster.source.dropped == [TOKEN]


async def test_a_cluster_is_verified_by_its_name_and_its_own_ca(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with run_server(tmp_path / "other") as other:
        other_ca = str(other.ca_file)
    for changes in ({"server_name": "other.test"}, {"ca_file": other_ca}):
        upstream = cluster.make(cluster.server.connection(**changes))
        with pytest.raises(UpstreamUnavailable, match="ConnectError"):
            await upstream.current(GRANT, f"{PODS}/p")
        await upstream.close()
    assert cluster.asked == []


async def test_proxies_of_the_environment_are_not_used(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    upstream = cluster.make(cluster.connection)
    assert await upstream.current(GRANT, f"{PODS}/p")
    await upstream.close()


def widget(name: str = "widgets") -> dict[str, Any]:
    return {"resource": name, "scope": "Namespaced", "verbs": ["get"], "responseKind": {"kind": "Widget"}}


def aggregated(group: str, *resources: dict[str, Any]) -> tuple[int, Any]:
    versions = [{"version": "v1", "resources": list(resources)}]
    return 200, {"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": group}, "versions": versions}]}


async def test_discovery_is_asked_on_a_miss_once_per_interval(cluster: Cluster) -> None:
    cluster.answers.update({"/api": aggregated("", widget("pods")), "/apis": aggregated("x.io", widget())})
    assert cluster.upstream.resources_of(cluster.connection) is BUILTIN
    found = await asyncio.gather(*(cluster.upstream.refresh(cluster.connection, GRANT) for _ in range(20)))
    assert len(set(map(id, found))) == 1
    assert found[0].get("x.io", "v1", "widgets") is not None
    assert cluster.upstream.resources_of(cluster.connection) is found[0]
    assert sorted(cluster.asked) == [("GET", "/api"), ("GET", "/apis")]
    await cluster.upstream.refresh(cluster.connection, GRANT)
    assert len(cluster.asked) == 2, "too soon"
    cluster.now += MISS_INTERVAL
    await cluster.upstream.refresh(cluster.connection, GRANT)
    assert len(cluster.asked) == 4


async def test_discovery_without_a_grant_uses_a_role_session_that_is_there(cluster: Cluster) -> None:
    cluster.answers.update({"/api": aggregated(""), "/apis": aggregated("x.io", widget())})
    assert await cluster.upstream.refresh(cluster.connection) is BUILTIN
    assert cluster.asked == []
    cluster.source.ready = TOKEN
    assert (await cluster.upstream.refresh(cluster.connection)).get("x.io", "v1", "widgets")


async def test_classic_discovery(cluster: Cluster) -> None:
    entry = {"name": "widgets", "kind": "Widget", "namespaced": True, "verbs": ["get"]}
    versions = [{"groupVersion": "x.io/v1"}, {"groupVersion": "down.io/v1"}]
    cluster.answers.update(
        {
            "/api": (200, {"kind": "APIVersions", "versions": ["v1"]}),
            "/api/v1": (200, {"groupVersion": "v1", "resources": []}),
            "/apis": (200, {"kind": "APIGroupList", "groups": [{"versions": versions}]}),
            "/apis/x.io/v1": (200, {"groupVersion": "x.io/v1", "resources": [entry]}),
            "/apis/down.io/v1": (503, b"service unavailable"),
        }
    )
    found = await cluster.upstream.refresh(cluster.connection, GRANT)
    assert found.get("x.io", "v1", "widgets") is not None and len(found) == 1


def _credential_fails(cluster: Cluster) -> None:
    cluster.source.failure = CredentialUnavailable("test", "AccessDenied")


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda cluster: cluster.answers.update({"/apis": (403, {"kind": "Status"})}), id="refused"),
        pytest.param(lambda cluster: cluster.answers.update({"/apis": (200, {"kind": "Pod"})}), id="garbage"),
        pytest.param(lambda cluster: cluster.answers.update({"/apis": (302, b"")}), id="redirect"),
        pytest.param(_credential_fails, id="no credential"),
    ],
)
async def test_a_failed_discovery_changes_nothing(cluster: Cluster, break_it: Callable[[Cluster], None]) -> None:
    cluster.answers.update({"/api": aggregated(""), "/apis": aggregated("x.io", widget())})
    before = await cluster.upstream.refresh(cluster.connection, GRANT)
    break_it(cluster)
    cluster.now += MISS_INTERVAL
    assert await cluster.upstream.refresh(cluster.connection, GRANT) is before
