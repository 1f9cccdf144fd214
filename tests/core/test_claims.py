from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.claims import CHECKED, MAX_GROUPS, UNCHECKED, RejectedToken, identity_from_claims
from addons.core.guardrails.cel import compile_claims_expression
from addons.core.identity_provider import IdentityProvider

NOW = 1_800_000_000.0
PROVIDER = IdentityProvider(
    name="idp",
    issuer="https://idp.example",
    audiences=("chaperone", "other-gateway"),
    algorithms=frozenset({"RS256"}),
    owner="team",
    required_claims=(("tenant", ("acme", 7)), ("email_verified", (True,))),
)
GOOD: dict[str, Any] = {
    "iss": "https://idp.example", "aud": "chaperone", "sub": "repo:acme/web:ref:refs/heads/main", "exp": NOW + 60,
    "iat": NOW - 1, "nbf": NOW - 1, "jti": "j1", "groups": ["platform", "On Call"], "team": "web",
    "act": {"sub": "agent-7"}, "tenant": "acme", "email_verified": True,
}  # fmt: skip
MISSING = object()


def claims(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**GOOD, **changes}.items() if value is not MISSING}


def test_every_field_comes_from_its_claim() -> None:
    identity = identity_from_claims(GOOD, PROVIDER, NOW)
    assert (identity.iss, identity.sub, identity.aud) == (GOOD["iss"], GOOD["sub"], ("chaperone",))
    assert (identity.exp, identity.jti, identity.act, identity.owner) == (NOW + 60, "j1", "agent-7", "web")
    assert identity.groups == ("platform", "On Call")
    assert identity.claims == GOOD


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"aud": ["x", "other-gateway"]}, id="one audience of several"),
        pytest.param({"groups": MISSING}, id="no groups"),
        pytest.param({"groups": ["g"] * MAX_GROUPS}, id="as many groups as allowed"),
        pytest.param({"jti": MISSING, "act": MISSING, "team": MISSING, "nbf": MISSING, "iat": MISSING}, id="optional"),
        pytest.param({"iat": NOW + 30, "nbf": NOW + 30}, id="within the leeway"),
        pytest.param({"tenant": 7}, id="second of the required values"),
        pytest.param({"sub": "x" * 255}, id="longest sub"),
        pytest.param({"exp": NOW + 0.1}, id="a fraction of a second left"),
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    assert identity_from_claims(claims(**changes), PROVIDER, NOW).iss == PROVIDER.issuer


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"iss": "https://idp.example/"}, "issuer", id="issuer with a slash more"),
        pytest.param({"iss": MISSING}, "issuer", id="no issuer"),
        pytest.param({"aud": "x"}, "another audience", id="audience of somebody else"),
        pytest.param({"aud": []}, "another audience", id="empty audience"),
        pytest.param({"aud": MISSING}, "audience", id="no audience"),
        pytest.param({"aud": {"chaperone": 1}}, "audience", id="audience is an object"),
        pytest.param({"aud": ["chaperone", 1]}, "audience", id="audience with a number"),
        pytest.param({"exp": MISSING}, "no expiry", id="no exp"),
        pytest.param({"exp": NOW}, "expired 0 s ago", id="exp is now"),
        pytest.param({"exp": NOW - 10}, "expired 10 s ago", id="no leeway for exp"),
        pytest.param({"exp": "9999999999"}, "exp is not a time", id="exp is text"),
        pytest.param({"exp": True}, "exp is not a time", id="exp is a truth value"),
        pytest.param({"exp": math.inf}, "exp is not a time", id="exp is infinite"),
        pytest.param({"exp": math.nan}, "exp is not a time", id="exp is no number"),
        pytest.param({"exp": 10**400}, "exp is not a time", id="exp is huge"),
        pytest.param({"nbf": NOW + 31}, "not valid before 31 s", id="nbf beyond the leeway"),
        pytest.param({"nbf": None}, "nbf is not a time", id="nbf is null"),
        pytest.param({"iat": NOW + 31}, "issued 31 s in the future", id="iat beyond the leeway"),
        pytest.param({"iat": -1}, "iat is not a time", id="iat is negative"),
        pytest.param({"sub": MISSING}, "sub must", id="no sub"),
        pytest.param({"sub": None}, "sub must", id="sub is null"),
        pytest.param({"sub": ""}, "sub must", id="B-22 empty sub"),
        pytest.param({"sub": " "}, "sub must", id="B-22 blank sub"),
        pytest.param({"sub": "a b"}, "sub must", id="B-22 space in sub"),
        pytest.param({"sub": "a\nb"}, "sub must", id="B-22 line feed in sub"),
        pytest.param({"sub": "a\n"}, "sub must", id="B-22 line feed after sub"),
        pytest.param({"sub": "a\r\nX: y"}, "sub must", id="B-22 header in sub"),
        pytest.param({"sub": "a\x00"}, "sub must", id="B-22 NUL in sub"),
        pytest.param({"sub": "ag\u00e9nt"}, "sub must", id="B-22 non-ASCII sub"),
        pytest.param({"sub": "x" * 256}, "sub must", id="sub too long"),
        pytest.param({"sub": ["agent"]}, "sub must", id="sub is a list"),
        pytest.param({"sub": "system:admin"}, "reserved", id="B-22 system: sub"),
        pytest.param({"sub": "SYSTEM:admin"}, "reserved", id="B-22 SYSTEM: sub"),
        pytest.param({"groups": "platform"}, "list of group names", id="groups is text"),
        pytest.param({"groups": None}, "list of group names", id="groups is null"),
        pytest.param({"groups": ["g"] * (MAX_GROUPS + 1)}, "more than 200", id="B-22 too many groups"),
        pytest.param({"groups": [""]}, "each name in its groups", id="empty group"),
        pytest.param({"groups": ["ok", 1]}, "each name in its groups", id="group is a number"),
        pytest.param({"groups": ["a,b"]}, "each name in its groups", id="B-22 comma in group"),
        pytest.param({"groups": ["a\r\nb"]}, "each name in its groups", id="B-22 line feed in group"),
        pytest.param({"groups": ["a\x00"]}, "each name in its groups", id="B-22 NUL in group"),
        pytest.param({"groups": [" a"]}, "each name in its groups", id="space before group"),
        pytest.param({"groups": ["a "]}, "each name in its groups", id="space after group"),
        pytest.param({"groups": ["gr\u00fcn"]}, "each name in its groups", id="B-22 non-ASCII group"),
        pytest.param({"groups": ["x" * 256]}, "each name in its groups", id="group too long"),
        pytest.param({"groups": ["system:masters"]}, "reserved", id="B-22 system: group"),
        pytest.param({"jti": 5}, "jti must", id="jti is a number"),
        pytest.param({"act": "agent"}, "act must be an object", id="act is text"),
        pytest.param({"act": {}}, "act.sub must", id="act without sub"),
        pytest.param({"act": {"sub": "system:x"}}, "reserved", id="act is reserved"),
        pytest.param({"team": ["web"]}, "each name in its team", id="owner is a list"),
        pytest.param({"team": "system:nodes"}, "reserved", id="owner is reserved"),
        pytest.param({"tenant": MISSING}, "claim tenant is missing", id="required claim missing"),
        pytest.param({"tenant": "other"}, "claim tenant is missing or", id="required claim differs"),
        pytest.param({"tenant": ["acme"]}, "claim tenant is missing or", id="required claim is a list"),
        pytest.param({"email_verified": 1}, "claim email_verified", id="1 is not true"),
    ],
)
def test_rejected(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RejectedToken, match=reason.replace(".", r"\.")):
        identity_from_claims(claims(**changes), PROVIDER, NOW)


def test_a_token_for_a_single_use_has_an_id() -> None:
    provider = replace(PROVIDER, single_use=True)
    assert identity_from_claims(GOOD, provider, NOW).jti == "j1"
    with pytest.raises(RejectedToken, match="no jti"):
        identity_from_claims(claims(jti=MISSING), provider, NOW)


ROLES = 'claims.realm.roles.map(r, "kc:" + r)'


@pytest.mark.parametrize(
    ("expression", "realm", "groups"),
    [
        pytest.param(ROLES, {"roles": ["dev", "ops"]}, ("kc:dev", "kc:ops"), id="prefixed"),
        pytest.param(ROLES, {"roles": []}, (), id="none"),
        pytest.param("claims.realm.split('/')", "a/b", ("a", "b"), id="split"),
    ],
)
def test_groups_of_an_expression(expression: str, realm: object, groups: tuple[str, ...]) -> None:
    provider = replace(PROVIDER, groups=compile_claims_expression(expression))
    assert identity_from_claims(claims(realm=realm), provider, NOW).groups == groups


@pytest.mark.parametrize(
    ("expression", "realm", "reason"),
    [
        pytest.param(ROLES, MISSING, "do not give", id="claim missing"),
        pytest.param(ROLES, {"roles": [1]}, "do not give", id="wrong type inside"),
        pytest.param(ROLES, {"roles": ["\ud800"]}, "do not give", id="lone surrogate"),
        pytest.param("claims.realm", "dev", "must be a list", id="text"),
        pytest.param("claims.realm", {"dev": 1}, "must be a list", id="object"),
        pytest.param("claims.realm", ["dev", 1], "each name", id="list with a number"),
        pytest.param("claims.realm", 10**400, "do not give", id="number too large"),
        pytest.param("claims.?realm", ["dev"], "do not give", id="optional"),
        pytest.param("claims.realm", ["system:masters"], "reserved", id="reserved"),
        pytest.param(ROLES, {"roles": ["a,b"]}, "each name", id="comma"),
    ],
)
def test_groups_of_an_expression_refused(expression: str, realm: object, reason: str) -> None:
    provider = replace(PROVIDER, groups=compile_claims_expression(expression))
    with pytest.raises(RejectedToken, match=reason):
        identity_from_claims(claims(realm=realm), provider, NOW)


@pytest.mark.parametrize(
    ("part", "expression", "changes", "reason"),
    [
        pytest.param("subject", "claims.email", {"email": "system:node:a"}, "mapped subject uses the prefix", id="sub"),
        pytest.param("subject", "claims.email", {"email": 7}, "mapped subject must be", id="subject is no text"),
        pytest.param("subject", "claims.email", {}, "do not give the subject", id="no subject"),
        pytest.param("owner", "claims.email", {"email": "a,b"}, "name in its mapped owner", id="owner with a comma"),
        pytest.param("owner", "claims.email", {}, "do not give the owner", id="no owner"),
    ],
)
def test_a_mapped_part_is_held_to_the_same_rules(
    part: str, expression: str, changes: dict[str, Any], reason: str
) -> None:
    mapped: dict[str, Any] = {part: compile_claims_expression(expression)}
    with pytest.raises(RejectedToken, match=reason):
        identity_from_claims(claims(**changes), replace(PROVIDER, **mapped), NOW)


def test_a_mapped_subject_and_owner() -> None:
    subject, owner = (compile_claims_expression(f'"{part}:" + claims.tenant') for part in ("agent", "team"))
    identity = identity_from_claims(GOOD, replace(PROVIDER, subject=subject, owner=owner), NOW)
    assert (identity.sub, identity.owner) == ("agent:acme", "team:acme")
    assert identity_from_claims(GOOD, replace(PROVIDER, subject="team"), NOW).sub == "web"


@pytest.mark.parametrize(
    ("elsewhere", "refused"),
    [
        pytest.param({"groups": "src1"}, True, id="groups are elsewhere"),
        pytest.param({"roles": "src1"}, False, id="something else is"),
        pytest.param("groups", False, id="no object"),
    ],
)
def test_groups_that_are_elsewhere_are_not_none(elsewhere: object, refused: bool) -> None:
    token = claims(groups=MISSING, _claim_names=elsewhere)
    if refused:
        with pytest.raises(RejectedToken, match="too many to be in it"):
            identity_from_claims(token, PROVIDER, NOW)
    else:
        assert identity_from_claims(token, PROVIDER, NOW).groups == ()


def test_an_unmapped_owner_is_never_read() -> None:
    provider = IdentityProvider(name="p", issuer=GOOD["iss"], audiences=("chaperone",), algorithms=frozenset({"ES256"}))
    assert identity_from_claims(claims(**{"": "x"}), provider, NOW).owner == ""


@given(st.text(max_size=300))
def test_a_subject_that_passes_can_be_written_into_a_header(sub: str) -> None:
    try:
        identity = identity_from_claims(claims(sub=sub), PROVIDER, NOW)
    except RejectedToken as error:
        assert len(sub) < 12 or sub not in str(error), "the reason must not quote the token"
        return
    assert identity.sub == sub
    assert sub.isascii() and sub.isprintable() and sub.split() == [sub]


def test_what_is_checked_and_what_is_not_is_listed() -> None:
    assert {"iss", "aud", "exp", "nbf", "iat", "sub", "jti", "act", "groups", "owner", "_claim_names"} <= CHECKED.keys()
    assert {"azp", "nonce"} <= UNCHECKED.keys()
