from __future__ import annotations

from typing import Any

import pytest

from addons.access import Access
from addons.core.access import AccessPolicy, compile_access
from addons.core.access_request import AccessRequest, State
from addons.core.documents import parse_documents
from addons.core.identity import Identity
from addons.core.identity_provider import IdentityProvider
from addons.core.kube_request import KubeRequest
from addons.core.session import Session, session_id
from addons.edge.store import StoreUnavailable
from addons.exchange import IncompleteExchange
from tests.support.flows import NOW, begun, status

RULES = """
apiVersion: chaperone/v1
kind: Access
metadata: {name: web}
spec:
  groups: [g]
  connections: [prod]
  role: arn:aws:iam::123456789012:role/web
  durationSeconds: 900
  scope: {namespaces: [web]}
"""
IDP = IdentityProvider(name="corp", issuer="https://idp", audiences=("c",), algorithms=frozenset({"RS256"}))


def policy(text: str = RULES) -> AccessPolicy:
    rules, problems = compile_access(parse_documents(text, "a.yaml")[0])
    assert not problems
    return AccessPolicy(rules, [IDP])


def session(**fields: Any) -> Session:
    values = {"iss": "https://idp", "sub": "bob", "aud": ("c",), "exp": NOW + 7200.0, "groups": ("g",),
              "claims": {"iat": NOW}, **fields}  # fmt: skip
    identity = Identity(**values)
    return Session(id=session_id(identity, "prod", ""), identity=identity, connection="prod", started_at=NOW)


def request(namespace: str = "web") -> KubeRequest:
    return KubeRequest(
        method="GET", path="/x", is_resource_request=True, verb="get", namespace=namespace, resource="pods"
    )


class Granted:
    """What the store says; `later` only when it is asked."""

    def __init__(self) -> None:
        self.now: list[AccessRequest] | None = []
        self.later: list[AccessRequest] | StoreUnavailable = []

    def known(self) -> list[AccessRequest] | None:
        return self.now

    async def read_again(self) -> list[AccessRequest]:
        if isinstance(self.later, StoreUnavailable):
            raise self.later
        return self.later


class World:
    """An addon whose policy and clock a test may change."""

    def __init__(self) -> None:
        self.now, self.policy = NOW, policy()
        self.granted = Granted()
        self.addon = Access(lambda _: self.policy, self.granted, lambda: self.now)  # type: ignore[arg-type]

    def grant(self, **values: Any) -> Any:
        flow, exchange = begun(**{"session": session(), "request": request(), **values})
        self.addon.request(flow)
        return exchange.grant or status(flow)

    async def waited(self) -> str:
        """The rule that refuses what the store is asked about, "" where it grants."""
        flow, exchange = begun(session=session(), request=request())
        waiting = self.addon.request(flow)
        assert waiting is not None
        await waiting
        assert (exchange.grant is None) == (exchange.refusal is not None)
        return exchange.refusal.rule if exchange.refusal else ""


def test_the_grant_is_worked_out_once_per_window() -> None:
    world = World()
    first = world.grant()
    assert first.role == "arn:aws:iam::123456789012:role/web"
    assert world.grant() is first
    world.now += 900
    second = world.grant()
    assert second.id != first.id and second.not_before_at == first.expires_at


def test_the_roles_of_a_connection() -> None:
    assert policy().roles("prod") == ["arn:aws:iam::123456789012:role/web"]
    assert policy().roles("other") == []


def test_a_reload_takes_effect_at_once() -> None:
    world = World()
    world.grant()
    world.policy = policy(RULES.replace("[g]", "[others]"))
    assert world.grant()["details"]["causes"][0]["reason"] == "no-grant"


def test_another_identity_of_the_same_job_has_a_grant_of_its_own() -> None:
    world = World()
    first = world.grant()
    later = session(exp=NOW + 100.0)
    assert world.grant(session=later).expires_at == NOW + 100 < first.expires_at


def test_outside_of_the_scope_is_refused() -> None:
    refused = World().grant(request=request("kube-system"))
    assert (refused["code"], refused["details"]["causes"][0]["reason"]) == (403, "out-of-scope")


def test_a_settled_flow_is_left_alone() -> None:
    flow, exchange = begun(session=session(), request=request())
    flow.error = object()  # type: ignore[assignment]
    World().addon.request(flow)
    assert exchange.grant is None


@pytest.mark.parametrize("missing", ["session", "request"])
def test_without_an_earlier_step_there_is_no_grant(missing: str) -> None:
    with pytest.raises(IncompleteExchange, match=missing):
        World().grant(**{missing: None})


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.access._JOBS", 2)
    world = World()
    for number in range(5):
        world.grant(session=session(sub=f"agent-{number}"))
    assert len(world.addon._jobs) == 2


ON_REQUEST = f"{RULES}  onRequest: {{approvers: [oncall]}}\n"
REQUEST = AccessRequest(
    id="abcdefgh", state=State.GRANTED, iss="https://idp", sub="bob", connection="prod",
    role="arn:aws:iam::123456789012:role/web", rule="web", intent="INC-1", seconds=600, longest_seconds=900,
    approvers=("oncall",), asked_at=NOW, granted_at=NOW, expires_at=NOW + 600, approved_by=("https://idp#alice",),
)  # fmt: skip


async def test_a_revoked_request_counts_no_more_although_its_grant_is_remembered() -> None:
    world = World()
    world.policy, world.granted.now = policy(ON_REQUEST), [REQUEST]
    assert world.grant() is world.grant()
    world.granted.now = []
    assert await world.waited() == "access-on-request"


@pytest.mark.parametrize("known", [None, []])
@pytest.mark.parametrize(
    ("later", "rule"),
    [([REQUEST], ""), ([], "access-on-request"), (StoreUnavailable("away"), "grants-unreadable")],
)
async def test_what_was_granted_is_read_before_anything_is_refused(
    later: list[AccessRequest] | StoreUnavailable, rule: str, known: list[AccessRequest] | None
) -> None:
    world = World()
    world.policy, world.granted.now, world.granted.later = policy(ON_REQUEST), known, later
    assert await world.waited() == rule
