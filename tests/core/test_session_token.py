"""What session tokens say, and that no exchange says more than the proof did."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.claims import RejectedToken, identity_from_claims
from addons.core.console import Console
from addons.core.identity import Identity
from addons.core.lock import Lock
from addons.core.session import Session
from addons.core.session_token import (
    Binding,
    NotGranted,
    acting,
    bound_to,
    lifetime,
    narrowed,
    not_after,
    origin_of,
    session_claims,
    session_of,
    spoken_for,
)

NOW = 1_800_000_000.0
CONSOLE = Console(name="c", url="https://c.example", audience="chaperone", longest_seconds=3600)


def identity(sub: str = "ann", iss: str = "https://idp", **values: Any) -> Identity:
    claims = {"sub": sub, **values.pop("claims", {})}
    return Identity(iss=iss, sub=sub, aud=("chaperone",), exp=NOW + 600, claims=claims, **values)


def token_of(
    of: Identity, binding: Binding | None = None, act: str = "", token_id: str = "t1", **changes: Any
) -> Identity:
    """The identity of a new session token, as the gateway reads it."""
    claims = session_claims(of, binding or bound_to(of), act, CONSOLE.url, CONSOLE.audience, (NOW, NOW + 60), token_id)
    return identity_from_claims({**claims, **changes}, CONSOLE.provider, NOW)


@pytest.mark.parametrize("name", ["connection", "intent", "jkt"])
@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        pytest.param("", "", "", id="unbound"),
        pytest.param("", "a", "a", id="bound now"),
        pytest.param("a", "", "a", id="stays bound"),
        pytest.param("a", "a", "a", id="the same"),
        pytest.param("a", "b", None, id="another"),
    ],
)
def test_a_binding_is_never_loosened(name: str, old: str, new: str, kept: str | None) -> None:
    subject, wish = identity(**{name: old}), Binding(**{name: new})
    if kept is None:
        with pytest.raises(NotGranted, match="bound to another"):
            narrowed(subject, wish)
    else:
        assert narrowed(subject, wish) == Binding(**{name: kept})


TEXT = st.sampled_from(["", "a", "b"])


@given(st.tuples(TEXT, TEXT, TEXT), st.tuples(TEXT, TEXT, TEXT))
def test_whatever_is_wished_for_what_was_bound_is(old: tuple[str, str, str], wish: tuple[str, str, str]) -> None:
    subject = identity(connection=old[0], intent=old[1], jkt=old[2])
    try:
        new = narrowed(subject, Binding(connection=wish[0], intent=wish[1], jkt=wish[2]))
    except NotGranted:
        return
    for before, wished, after in zip(old, wish, (new.connection, new.intent, new.jkt), strict=True):
        assert after == (before or wished)


AGENT = identity("agent")


@pytest.mark.parametrize(
    ("subject", "actor", "act"),
    [
        pytest.param(identity(), None, "", id="nobody"),
        pytest.param(identity(), identity(), "", id="itself"),
        pytest.param(identity(), AGENT, "agent", id="an agent"),
        pytest.param(identity(), identity("ann", "https://other"), "ann", id="of the same name elsewhere"),
        pytest.param(identity(act="agent"), None, "agent", id="stays"),
        pytest.param(identity(act="agent"), identity(), "agent", id="stays, by itself"),
        pytest.param(identity(claims={"may_act": {"sub": "agent"}}), AGENT, "agent", id="may_act"),
        pytest.param(
            identity(claims={"may_act": {"sub": "agent", "iss": "https://idp"}}), AGENT, "agent", id="may_act with iss"
        ),
        pytest.param(
            identity(claims={"may_act": {"sub": "raw", "iss": "https://x"}}),
            replace(AGENT, iss="https://x", claims={"sub": "raw"}),
            "agent",
            id="may_act, by what the actor's own token calls it",
        ),
        pytest.param(identity(claims={"may_act": {"sub": "x"}}), None, "", id="may_act and no actor"),
        pytest.param(identity(claims={"may_act": {"sub": "x"}}), identity(), "", id="may_act and itself"),
    ],
)
def test_who_acts(subject: Identity, actor: Identity | None, act: str) -> None:
    assert acting(subject, actor) == act


@pytest.mark.parametrize(
    ("subject", "actor", "why"),
    [
        pytest.param(identity(act="first"), AGENT, "chain of actors", id="somebody acts already"),
        pytest.param(identity(), identity("agent", act="x"), "on somebody's behalf", id="the actor is acted for"),
        *(
            pytest.param(identity(claims={"may_act": may_act}), AGENT, "may_act", id=name)
            for name, may_act in {
                "another may act": {"sub": "other"},
                "one of another issuer may act": {"sub": "agent", "iss": "https://x"},
                "may_act without sub": {},
                "may_act sub no text": {"sub": ["agent"]},
                "may_act no object": "agent",
                "may_act null": None,
            }.items()
        ),
        pytest.param(
            identity(claims={"may_act": {"sub": "agent"}}),
            identity("agent", "https://other"),
            "may_act",
            id="of the same name, but elsewhere",
        ),
    ],
)
def test_who_may_not_act(subject: Identity, actor: Identity, why: str) -> None:
    with pytest.raises(NotGranted, match=why):
        acting(subject, actor)


def test_who_may_act_is_still_known_after_an_exchange() -> None:
    first = token_of(identity(claims={"may_act": {"sub": "agent"}}))
    again = token_of(first)
    assert acting(again, AGENT) == "agent"
    with pytest.raises(NotGranted, match="may_act"):
        acting(again, identity("mallory"))


def test_every_claim() -> None:
    full = identity(
        groups=("g", "h"), owner="team", act="ignored", claims={"sub": "raw", "iat": 1, "repository": "web"}
    )
    binding = Binding(connection="prod", intent="INC-7", jkt="thumb")
    assert session_claims(full, binding, "agent", "https://c", "aud", (NOW + 0.9, NOW + 60.9), "id") == {
        "iss": "https://c",
        "aud": "aud",
        "sub": "ann",
        "groups": ["g", "h"],
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "id",
        "sid": "id",
        "origin": {"iss": "https://idp", "sub": "raw", "claims": {"repository": "web"}},
        "owner": "team",
        "act": {"sub": "agent"},
        "connection": "prod",
        "intent": "INC-7",
        "cnf": {"jkt": "thumb"},
    }
    assert session_claims(identity(), Binding(), "", "https://c", "aud", (NOW, NOW + 60), "id").keys() == {
        "iss", "aud", "sub", "groups", "iat", "exp", "jti", "sid", "origin",
    }  # fmt: skip


def test_a_token_of_a_token_is_of_the_same_session_and_of_the_same_origin() -> None:
    first = token_of(identity(groups=("g",), owner="team", claims={"sub": "raw", "sid": "the provider's own"}))
    second = token_of(first, Binding(connection="prod", jkt="k"), "agent", "t2")
    third = token_of(second, token_id="t3")
    assert (first.session_token, first.iss, first.sub, first.owner) == (True, "https://idp", "ann", "team")
    assert (second.connection, second.jkt, second.act, second.jti) == ("prod", "k", "agent", "t2")
    assert (third.connection, third.jkt, third.groups) == ("prod", "k", ("g",))
    assert [session_of(each) for each in (first, second, third)] == ["t1"] * 3
    assert origin_of(third) == {"iss": "https://idp", "sub": "raw", "claims": {}}
    assert first.username == third.username == "https://idp#ann"
    assert third.subjects == {"ann", "raw"}


def test_a_session_is_only_that_of_a_session_token() -> None:
    stranger = identity(claims={"sid": "t1", "origin": {"iss": "https://x", "sub": "y"}})
    assert session_of(stranger) == ""
    assert origin_of(stranger) == {"iss": "https://idp", "sub": "ann", "claims": {}}
    assert stranger.subjects == {"ann"}
    lock = Lock(id="revoked", session="t1", reason="r", made_by="m", made_at=NOW)
    assert lock.holds(Session(id="s", identity=token_of(identity()), connection="prod", started_at=NOW))
    assert not lock.holds(Session(id="s", identity=stranger, connection="prod", started_at=NOW))


@pytest.mark.parametrize(
    ("changes", "origin"),
    [
        pytest.param({"sub": "raw"}, "raw", id="the token's own subject"),
        pytest.param({}, "ann", id="no subject of its own"),
    ],
)
def test_origin_without_a_session_token(changes: dict[str, Any], origin: str) -> None:
    assert origin_of(replace(identity(), claims=changes)) == {"iss": "https://idp", "sub": origin, "claims": {}}


def test_rules_read_what_the_first_issuer_said() -> None:
    first = token_of(identity(claims={"repository": "web", "iat": 1.0, "sid": "of the provider", "groups": ["raw"]}))
    second = token_of(first, token_id="t2")
    for each in (first, second):
        assert (each.claims["repository"], each.claims["iat"], each.claims["sid"]) == ("web", NOW, "t1")
        assert each.claims["groups"] == []
    odd = token_of(identity(), origin={"iss": "https://idp", "sub": "ann", "claims": "none"})
    assert odd.claims["sub"] == "ann"


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"origin": {}}, id="origin empty"),
        pytest.param({"origin": "x"}, id="origin no object"),
    ],
)
def test_origin_of_a_session_token_that_does_not_say(claims: dict[str, Any]) -> None:
    assert origin_of(replace(identity(), session_token=True, claims=claims))["sub"] == "ann"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        pytest.param({}, ("", "", ""), id="unbound"),
        pytest.param({"cnf": {}}, ("", "", ""), id="no key in cnf"),
        pytest.param({"cnf": {"jkt": "k"}}, ("", "", "k"), id="a key"),
        pytest.param({"connection": "a", "intent": "b"}, ("a", "b", ""), id="connection and intent"),
    ],
)
def test_what_a_session_token_is_bound_to(changes: dict[str, Any], found: tuple[str, str, str]) -> None:
    of = token_of(identity(), **changes)
    assert (of.connection, of.intent, of.jkt) == found


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"origin": None}, id="no origin"),
        pytest.param({"origin": "https://idp"}, id="origin no object"),
        pytest.param({"origin": {"sub": "ann"}}, id="origin without issuer"),
        pytest.param({"origin": {"iss": "", "sub": "ann"}}, id="origin with an empty issuer"),
        pytest.param({"origin": {"iss": ["https://idp"]}}, id="origin issuer no text"),
        pytest.param({"sid": ""}, id="no session"),
        pytest.param({"sid": None}, id="session null"),
        pytest.param({"connection": ["prod"]}, id="connection no text"),
        pytest.param({"connection": None}, id="connection null"),
        pytest.param({"intent": 1}, id="intent no text"),
        pytest.param({"cnf": {"jkt": 1}}, id="key no text"),
        pytest.param({"cnf": {"x5t#S256": "c"}}, id="bound to something else"),
        pytest.param({"cnf": None}, id="cnf null"),
        pytest.param({"cnf": "k"}, id="cnf no object"),
        pytest.param({"cnf": []}, id="cnf a list"),
    ],
)
def test_what_is_no_session_token(changes: dict[str, Any]) -> None:
    with pytest.raises(RejectedToken, match="not a session token"):
        token_of(identity(), **changes)


def test_a_bare_identity_speaks_for_nobody() -> None:
    assert spoken_for(identity()) is None


@pytest.mark.parametrize(
    ("seconds", "ends", "found"),
    [
        pytest.param(0, float("inf"), 3600, id="the longest"),
        pytest.param(60, float("inf"), 60, id="as asked"),
        pytest.param(9999, float("inf"), 3600, id="longer than the longest"),
        pytest.param(0, NOW + 30, 30, id="the proof's own end"),
        pytest.param(20, NOW + 30, 20, id="before the proof's own end"),
        pytest.param(0, NOW - 1, -1, id="over already"),
    ],
)
def test_lifetime(seconds: int, ends: float, found: float) -> None:
    assert lifetime(seconds, 3600, NOW, ends) == (NOW, NOW + found)


def test_only_a_session_token_ends_what_is_made_of_it() -> None:
    assert not_after(identity()) == float("inf")
    assert not_after(token_of(identity())) == NOW + 60
