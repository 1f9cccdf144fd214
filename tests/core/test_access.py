from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from addons.core.access import AccessPolicy, AccessRules, choose
from addons.core.access_request import AUTOMATIC, AccessRequest, State
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.identity_provider import IdentityProvider
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal
from addons.core.session import Session, session_id
from tests.core.access_documents import FULL, IDP, OTHER, rule, rules

NOW = 1_800_000_100.0
ISSUED = 1_800_000_000
ROLE_EDIT = "arn:aws:iam::123456789012:role/edit"


def session(intent: str = "", connection: str = "prod", **fields: Any) -> Session:
    values = {"iss": "https://idp", "sub": "bob", "aud": ("c",), "exp": ISSUED + 7200.0, "groups": ("g",),
              "claims": {"iat": ISSUED}, **fields}  # fmt: skip
    identity = Identity(**values)
    job = session_id(identity, connection, intent)
    return Session(id=job, identity=identity, connection=connection, started_at=NOW, intent=intent)


def grants(compiled: AccessRules, asked: Session, now: float = NOW) -> tuple[Grant, ...]:
    found = AccessPolicy(compiled, [IDP]).grants(asked, now)
    assert not isinstance(found, Refusal), found
    return found


def refusal(compiled: AccessRules, asked: Session, providers: Sequence[IdentityProvider] = (IDP,)) -> Refusal:
    found = AccessPolicy(compiled, providers).grants(asked, NOW)
    assert isinstance(found, Refusal)
    assert found.code == 403
    return found


def test_every_field_of_a_rule_reaches_the_grant() -> None:
    (grant,) = grants(rules(FULL), session("INC-7 look", groups=("web-agents",)))
    assert (grant.connection, grant.role) == ("prod", "arn:aws:iam::123456789012:role/web")
    assert (grant.not_before_at, grant.expires_at) == (ISSUED, ISSUED + 1800)
    assert (grant.scope.namespaces, grant.scope.resources, grant.scope.verbs) == (
        ("web",), ("pods", "pods/log"), ("get", "list"),
    )  # fmt: skip
    assert (grant.intent, grant.granted_by, grant.identity.sub) == ("INC-7 look", "web", "bob")
    assert len(grant.id) == 20


def test_a_subject_is_admitted_without_any_group() -> None:
    assert grants(rules(FULL), session("INC-7 look", sub="alice", groups=()))


@pytest.mark.parametrize(
    ("asked", "rule_name", "parts"),
    [
        pytest.param(session("INC-7 x"), "no-grant", ["(g)", "web-agents"], id="not in the group"),
        pytest.param(session("INC-7 x", groups=()), "no-grant", ["(none)"], id="in no group"),
        pytest.param(session("INC-7 x", iss="https://partner", sub="alice"), "no-grant", [], id="same sub elsewhere"),
        pytest.param(session("INC-7 x", connection="dev", groups=("web-agents",)), "no-grant", ["dev"], id="elsewhere"),
        pytest.param(
            session("", groups=("web-agents",)), "intent-required", ["INC-[0-9]+ .+", "INC-42"], id="no intent"
        ),
        pytest.param(
            session("see INC-7 x", groups=("web-agents",)), "intent-required", [], id="intent matches in part"
        ),
    ],
)
def test_no_grant(asked: Session, rule_name: str, parts: list[str]) -> None:
    found = refusal(rules(FULL), asked)
    assert found.rule == rule_name
    text = found.message("ref")
    assert all(part in text for part in parts)
    assert "alice" not in text, "subjects are not shown to others"


@pytest.mark.parametrize(
    ("who", "claims", "groups", "admitted"),
    [
        pytest.param({}, {"repository": "org/web"}, ("g",), True, id="in the group, and true"),
        pytest.param({}, {"repository": "org/other"}, ("g",), False, id="in the group, and false"),
        pytest.param({}, {}, ("g",), False, id="without the claim"),
        pytest.param({}, {"repository": "org/web"}, ("h",), False, id="true, in another group"),
        pytest.param({}, {"repository": 2**70}, ("g",), False, id="a number that CEL has not"),
        pytest.param({}, {"repository": "\ud800"}, ("g",), False, id="text that CEL has not"),
        pytest.param({"groups": None}, {"repository": "org/web"}, (), True, id="alone, and true"),
        pytest.param({"groups": None}, {"repository": 1}, (), False, id="alone, and no text"),
        pytest.param({"groups": None, "subjects": "[carol]"}, {"repository": "org/web"}, (), False, id="somebody else"),
        pytest.param({"groups": None, "condition": "\"'g' in groups\""}, {}, ("g",), True, id="over groups"),
    ],
)
def test_a_condition_over_claims_and_groups(
    who: dict[str, Any], claims: dict[str, Any], groups: tuple[str, ...], admitted: bool
) -> None:
    condition = "claims.repository == 'org/web'"
    compiled = rules(rule("a", **{"condition": f'"{condition}"', **who}))
    found = AccessPolicy(compiled, [IDP]).grants(session(groups=groups, claims={"iat": NOW, **claims}), NOW)
    assert isinstance(found, tuple) == admitted


def test_without_any_group_to_join_the_hint_is_to_ask() -> None:
    assert "ask the people" in refusal(rules(rule("a", groups=None, subjects="[carol]")), session()).hint


def test_the_highest_priority_wins() -> None:
    compiled = rules(rule("low"), rule("high", priority=1), rule("lowest", priority=-1))
    assert [grant.granted_by for grant in grants(compiled, session())] == ["high"]


def test_the_roles_of_a_connection() -> None:
    compiled = rules(rule("b"), rule("a"), rule("again", role="arn:aws:iam::123456789012:role/a"))
    policy = AccessPolicy(compiled, [IDP])
    assert policy.roles("prod") == [f"arn:aws:iam::123456789012:role/{name}" for name in "ab"]
    assert policy.roles("elsewhere") == []


def test_two_roles_of_one_priority_are_refused() -> None:
    found = refusal(rules(rule("b"), rule("a")), session())
    assert found.rule == "ambiguous-access"
    assert "a (arn:aws:iam::123456789012:role/a), b (" in found.why


def test_rules_of_one_role_add_up() -> None:
    role = "arn:aws:iam::123456789012:role/shared"
    compiled = rules(
        rule("b", role=role, scope="{namespaces: [b]}"), rule("a", role=role, scope="{namespaces: [a], verbs: [get]}")
    )
    both = grants(compiled, session())
    assert [grant.granted_by for grant in both] == ["a", "b"]

    def asked(namespace: str, verb: str = "get") -> KubeRequest:
        return KubeRequest(
            method="GET", path="/x", is_resource_request=True, verb=verb, namespace=namespace, resource="pods"
        )

    assert choose(both, asked("a")) is both[0]
    assert choose(both, asked("b", "delete")) is both[1]
    refused = choose(both, asked("c"))
    assert isinstance(refused, Refusal) and refused.rule == "out-of-scope"
    assert refused.why.endswith("the namespace c is not among a; the namespace c is not among b")
    cluster = choose(both, asked(""))
    assert isinstance(cluster, Refusal)


def test_of_two_rules_of_one_role_the_one_that_unmasks_is_taken_where_it_reaches() -> None:
    role = "arn:aws:iam::123456789012:role/shared"
    shown = rule("b", role=role, unmask="[secrets]", scope="{namespaces: [b]}")
    both = grants(rules(rule("a", role=role), shown), session())
    assert [(grant.granted_by, grant.unmask) for grant in both] == [("b", ("secrets",)), ("a", ())]


def test_an_intent_can_tell_rules_apart() -> None:
    compiled = rules(
        rule("read", intent='{pattern: "read.*", example: read logs}'),
        rule("fix", intent='{pattern: "fix.*", example: fix it}'),
    )
    assert [grant.granted_by for grant in grants(compiled, session("fix web"))] == ["fix"]


@pytest.mark.parametrize(
    ("fields", "now", "window"),
    [
        pytest.param({}, ISSUED + 100.0, (ISSUED, ISSUED + 3600), id="first window"),
        pytest.param({}, ISSUED + 3600.0, (ISSUED + 3600, ISSUED + 7200), id="second window"),
        pytest.param({"exp": ISSUED + 500.0}, ISSUED + 100.0, (ISSUED, ISSUED + 500), id="ends with the token"),
        pytest.param({}, ISSUED - 10.0, (ISSUED - 3600, ISSUED), id="issuer's clock is ahead"),
        pytest.param(
            {"claims": {}}, ISSUED + 100.0, (ISSUED // 3600 * 3600, ISSUED // 3600 * 3600 + 3600), id="no iat"
        ),
    ],
)
def test_the_window_is_the_same_in_every_process(fields: dict[str, Any], now: float, window: tuple[int, int]) -> None:
    (grant,) = grants(rules(rule("a")), session(**fields), now)
    assert (grant.not_before_at, grant.expires_at) == window
    assert grant.not_before_at <= now < grant.expires_at
    (again,) = grants(rules(rule("a")), session(**fields), now + 1)
    assert again.id == grant.id


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(session(sub="eve"), id="identity"),
        pytest.param(session("why"), id="intent"),
        pytest.param(session(act="agent"), id="actor"),
        pytest.param(session(claims={"iat": ISSUED + 1}), id="window"),
        pytest.param(session(claims={"iat": ISSUED, "sid": "s"}), id="job"),
    ],
)
def test_grants_of_different_jobs_have_different_ids(asked: Session) -> None:
    compiled = rules(rule("a"))
    assert grants(compiled, asked)[0].id != grants(compiled, session())[0].id


def test_a_dangling_provider_never_becomes_a_policy() -> None:
    with pytest.raises(ValueError):
        AccessPolicy(rules(rule("a")), [IDP, OTHER])
    with pytest.raises(KeyError):
        AccessPolicy(rules(rule("a", identityProvider="missing")), [IDP])


def on_request(name: str = "edit", **spec: Any) -> str:
    return rule(
        name, **{"onRequest": "{approvers: [oncall], approvals: 2}", "priority": 10, "durationSeconds": 1800, **spec}
    )


def asked(compiled: AccessRules, who: Session, role: str = ROLE_EDIT, seconds: int = 600) -> AccessRequest | Refusal:
    return AccessPolicy(compiled, [IDP]).request(who, role, seconds, "abcdefgh", NOW)


def approved(*people: str, role: str = ROLE_EDIT, **fields: Any) -> AccessRequest:
    found = asked(rules(on_request()), session("INC-1"))
    assert isinstance(found, AccessRequest)
    values = {"state": State.GRANTED, "granted_at": NOW, "expires_at": NOW + 600, "approved_by": people, "role": role}
    return replace(found, **{**values, **fields})


def test_a_request_is_what_the_rule_says() -> None:
    found = asked(rules(on_request()), session("INC-1", owner="team"))
    assert isinstance(found, AccessRequest)
    assert (found.state, found.iss, found.sub, found.owner) == (State.PENDING, "https://idp", "bob", "team")
    assert (found.connection, found.role, found.rule, found.intent) == ("prod", ROLE_EDIT, "edit", "INC-1")
    assert (found.seconds, found.longest_seconds, found.approvers, found.approvals) == (600, 1800, ("oncall",), 2)


@pytest.mark.parametrize(
    ("who", "role", "seconds", "rule_name"),
    [
        (session("INC-1", groups=()), ROLE_EDIT, 600, "no-grant"),
        (session(""), ROLE_EDIT, 600, "access-on-request"),
        (session("restart"), ROLE_EDIT, 600, "access-on-request"),
        (session("INC-1"), "arn:aws:iam::123456789012:role/view", 600, "access-on-request"),
        (session("INC-1"), ROLE_EDIT, 1801, "access-on-request"),
        (session("INC-1"), ROLE_EDIT, 0, "access-on-request"),
    ],
)
def test_what_may_not_be_asked_for(who: Session, role: str, seconds: int, rule_name: str) -> None:
    compiled = rules(rule("view"), on_request(intent="{pattern: 'INC-[0-9]+', example: INC-42}"))
    found = asked(compiled, who, role, seconds)
    assert isinstance(found, Refusal)
    assert found.rule == rule_name


@pytest.mark.parametrize(
    ("request_", "role"),
    [
        pytest.param(approved("a", "b"), "edit", id="granted"),
        pytest.param(approved("a"), "view", id="more have to agree by now"),
        pytest.param(approved(AUTOMATIC, "a"), "view", id="the rule was automatic"),
        pytest.param(approved("a", "b", rule="gone"), "view", id="the rule is gone"),
        pytest.param(approved("a", "b", role="arn:aws:iam::123456789012:role/old"), "view", id="of another role"),
        pytest.param(approved("a", "b", sub="alice"), "view", id="somebody else's"),
        pytest.param(approved("a", "b", state=State.REVOKED), "view", id="revoked"),
        pytest.param(approved("a", "b", expires_at=NOW), "view", id="expired"),
    ],
)
def test_what_was_granted_counts(request_: AccessRequest, role: str) -> None:
    policy = AccessPolicy(rules(rule("view"), on_request()), [IDP])
    found = policy.grants(session(), NOW, [request_])
    assert not isinstance(found, Refusal)
    assert found[0].role.endswith(role)


def test_the_grant_is_the_requests() -> None:
    policy = AccessPolicy(rules(on_request()), [IDP])
    found = policy.grants(session(), NOW, [approved("a", "b"), approved("a", "b", id="longer", expires_at=NOW + 900)])
    assert not isinstance(found, Refusal)
    (grant,) = found
    assert grant.id.startswith("longer-") and grant.request == "longer"
    assert (grant.intent, grant.granted_by, grant.not_before_at, grant.expires_at) == ("INC-1", "a, b", NOW, NOW + 900)
    assert policy.on_request("prod") and not policy.on_request("dev")


def test_an_automatic_rule_needs_nobody() -> None:
    policy = AccessPolicy(rules(on_request(onRequest="{automatic: true}")), [IDP])
    assert not isinstance(policy.grants(session(), NOW, [approved(AUTOMATIC, approvers=())]), Refusal)
