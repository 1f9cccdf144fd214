"""Who an agent is, is settled at the gateway: nothing a caller claims, and no token of it, reaches the API server."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, Transcript, client, eventually
from tests.e2e.bad_tokens import BAD, Mint
from tests.e2e.gateways import Gateways
from tests.e2e.leaks import EKS_TOKEN, found
from tests.e2e.records import ApiServer, gateway_events
from tests.e2e.wiretap import Wiretap, wiretap
from tests.support.kubernetes import Kubectl


@pytest.fixture(scope="module")
def wire(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiretap]:
    """What the gateway of this module sends upstream."""
    with wiretap(cluster, tmp_path_factory.mktemp("wire")) as tap:
        yield tap


@pytest.fixture(scope="module")
def gateway(gateways: Gateways, wire: Wiretap) -> GatewayEnv:
    """A gateway whose wire is tapped."""
    return gateways.start("tapped", wire.upstream)


@pytest.mark.parametrize("what", BAD)
def test_b22_a_bad_token_is_401_and_says_what_to_do(
    what: str, gateway: GatewayEnv, mint: Mint, transcript: Transcript, wire: Wiretap
) -> None:
    make, why = BAD[what]
    token = make(mint)
    mark = wire.mark()
    with client(gateway, token) as http:
        reply = http.get("/api/v1/namespaces")
    message = reply.json()["message"]
    assert (reply.status_code, reply.json()["reason"]) == (401, "Unauthorized")
    assert reply.headers["www-authenticate"].startswith("Bearer")
    assert why in message
    assert f"{gateway.issuer} for the audience chaperone" in message, "what to do"
    assert wire.since(mark) == b""
    if token:  # without any, kubectl asks its user for a password
        said = Agent.of(gateway, transcript, f"bad {what}", token).refused("get", "namespaces")
        assert "You must be logged in to the server" in said
        assert token not in said + message


def test_b23_b24_other_ways_to_hand_over_a_token_are_not_taken(gateway: GatewayEnv, mint: Mint, wire: Wiretap) -> None:
    token = mint("sneaky", groups=["agents"])
    protocol = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    mark = wire.mark()
    for headers, query in [
        ({"Authorization": f"Basic {token}"}, ""),
        ({"Authorization": f"Bearer {token} junk"}, ""),
        ({}, f"?access_token={token}"),
        ({"X-Forwarded-Access-Token": token, "Cookie": f"token={token}"}, ""),
        ({"X-Remote-User": "root", "X-Remote-Group": "system:masters"}, ""),
        (
            {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
                "Sec-WebSocket-Protocol": f"base64url.bearer.authorization.k8s.io.{protocol}, v5.channel.k8s.io",
            },
            "?watch=true",
        ),
    ]:
        with client(gateway, "", headers) as http:
            assert http.get(f"/api/v1/namespaces{query}").status_code == 401, headers
    with client(gateway, token) as http:
        both = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
        assert http.send(httpx.Request("GET", f"{gateway.api_url}/api", headers=both)).status_code in (400, 401)
    assert wire.since(mark) == b""


@pytest.mark.parametrize("contact", ["first", "later"])
def test_a_group_without_access_learns_which_would_have_it(
    contact: str, gateway: GatewayEnv, as_user: Callable[..., Agent], alice: Agent, wire: Wiretap, tmp_path: Path
) -> None:
    """At first contact kubectl asks for discovery documents, and shows why they are refused only as plain text."""
    alice("api-resources")
    intern = as_user(gateway, "intern", "interns")
    mark = wire.mark()
    said = (intern.setting(KUBECACHEDIR=str(tmp_path)) if contact == "first" else intern).refused("get", "pods")
    assert "rule: no-grant" in said
    assert "no access rule of development names you or one of your groups (interns)" in said
    assert "groups: agents, agents-edit, " in said
    assert wire.since(mark) == b""


def test_b28_a_token_that_expires_on_an_open_connection_is_refused_from_then_on(
    gateway: GatewayEnv, mint: Mint
) -> None:
    with client(gateway, mint("brief", groups=["agents"], claims={"exp": int(time.time()) + 3})) as http:
        assert http.get("/api/v1/namespaces").status_code == 200
        reply = eventually(
            "the token's expiry", lambda: (got := http.get("/api/v1/namespaces")).status_code != 200 and got
        )
    assert reply.status_code == 401
    assert "expired" in reply.json()["message"]


@pytest.fixture(scope="module")
def alice(gateway: GatewayEnv, as_user: Callable[..., Agent], admin: Kubectl) -> Agent:
    return as_user(gateway, "alice@example.com", "agents-view").within(admin.namespace)


IMPERSONATIONS = [
    ["--as=system:admin", "--as-group=system:masters"],
    ["--as=root", "--as-uid=0", "--as-user-extra=scopes=all"],
]


@pytest.mark.parametrize("flags", IMPERSONATIONS, ids=lambda flags: flags[0])
def test_impersonation_by_the_caller_never_arrives(
    flags: list[str], alice: Agent, cluster: Cluster, api_server: ApiServer, wire: Wiretap
) -> None:
    mark, sent = api_server.mark(), wire.mark()
    alice("get", "configmaps", *flags)
    (event,) = api_server.about(mark, f"{alice.namespace}/configmaps")
    assert "impersonatedUser" not in event
    role = cluster.role_arns["view"].rpartition("/")[2]
    session = f"arn:aws:sts::{cluster.account}:assumed-role/{role}/alice-example.com-"
    assert event["user"]["username"].startswith(session), "the original identity is in the session's name"
    assert b"impersonate" not in wire.since(sent).lower()


FORGED = {
    "Impersonate-User": "root",
    "impersonate-group": "system:masters",
    "Impersonate-Extra-Scopes": "all",
    "X-Remote-User": "root",
    "X-Remote-Group": "system:masters",
    "X-Forwarded-For": "10.0.0.1",
    "Forwarded": "for=10.0.0.1",
    "X-Real-IP": "10.0.0.1",
    "Via": "1.1 trusted",
    "Audit-ID": "chosen-by-the-caller",
    "X-HTTP-Method-Override": "DELETE",
    "Proxy-Authorization": "Basic Zm9yZ2Vk",
    "Cookie": "session=forged",
}


def test_forged_headers_never_arrive(alice: Agent, wire: Wiretap, api_server: ApiServer) -> None:
    mark, sent = api_server.mark(), wire.mark()
    path = f"/api/v1/namespaces/{alice.namespace}/pods"
    with alice.http(**FORGED, Connection="keep-alive, Authorization, Audit-ID, Impersonate-User") as http:
        assert http.get(path).status_code == 200
    head = wire.since(sent).decode("latin-1").lower()
    for name in FORGED:
        if name != "Audit-ID":
            assert f"\r\n{name.lower()}:" not in head, name
    assert "chosen-by-the-caller" not in head
    (event,) = api_server.about(mark, path)
    assert event["sourceIPs"] == ["127.0.0.1"]
    assert re.fullmatch(r"[0-9a-f-]{36}", event["auditID"])


def test_only_the_roles_own_token_goes_upstream(alice: Agent, wire: Wiretap, transcript: Transcript) -> None:
    alice("get", "pods")
    alice("auth", "can-i", "list", "pods")
    sent = wire.since()
    assert not found([token.encode() for token in transcript.tokens if token], sent)
    bearers = re.findall(rb"(?im)^authorization: (\S+) (\S+)\r$", sent)
    assert bearers
    assert all(scheme == b"Bearer" and token.startswith(EKS_TOKEN) for scheme, token in bearers)
    assert len(re.findall(rb"(?im)^audit-id:", sent)) <= len(bearers)


def test_b22_names_that_look_alike_are_not_one_session(gateway: GatewayEnv, as_user: Callable[..., Agent]) -> None:
    names = set()
    for sub in ("bob@example.com", "bob:example.com", "bob|example.com", "bob-example.com"):
        who = as_user(gateway, sub, "agents-view")
        names.add(json.loads(who("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"])
    assert len(names) == 4


def test_what_the_agent_says_it_is_doing_is_recorded(
    gateway: GatewayEnv, mint: Mint, alice: Agent, api_server: ApiServer
) -> None:
    kubeconfig = gateway.agent_kubeconfig(
        mint("carol", groups=["agents-view"]), name="carol", intent="INC-42 disk full"
    )
    mark = api_server.mark()
    replace(alice, kubeconfig=str(kubeconfig), user="carol")("get", "configmaps")
    (event,) = api_server.about(mark, f"{alice.namespace}/configmaps")
    (ours, *_) = [each for each in gateway_events(gateway) if each["auditID"] == event["auditID"]]
    assert ours["annotations"]["chaperone.dev/intent"] == "INC-42 disk full"
    assert ours["user"]["username"] == f"{gateway.issuer}#carol"


def test_b28_callers_on_one_gateway_are_never_mixed_up(
    gateway: GatewayEnv, as_user: Callable[..., Agent], api_server: ApiServer
) -> None:
    """Each of several at once is who it is: nothing is kept from another's request."""
    agents = [as_user(gateway, f"worker-{number}", "agents-view") for number in range(4)]

    def asks(agent: Agent) -> set[str]:
        seen = set()
        with agent.http() as http:
            for _ in range(8):
                review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
                reply = http.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json=review)
                seen.add(reply.json()["status"]["userInfo"]["username"].rpartition("/")[2])
        return seen

    with ThreadPoolExecutor(4) as pool:
        for agent, seen in zip(agents, pool.map(asks, agents, timeout=60), strict=True):
            assert len(seen) == 1
            assert seen.pop().startswith(f"{agent.user}-")
