from __future__ import annotations

from typing import Any

import pytest

from addons.core.browser_session import (
    IDLE_SECONDS,
    LONGEST_SECONDS,
    BrowserSession,
    check_id_token,
    check_person,
    cookie_name,
    shut_out,
)
from addons.core.claims import RejectedToken
from addons.core.identity import Identity
from addons.core.lock import Lock

FAR = 1e9


def identity(**changes: Any) -> Identity:
    claims = {"sub": "ann", "nonce": "n", **changes.pop("claims", {})}
    return Identity(**{"iss": "i", "sub": "ann", "aud": ("console",), "exp": FAR, "claims": claims, **changes})


def session(exp: float = FAR, seen_at: float = 1000.0) -> BrowserSession:
    return BrowserSession(identity=identity(exp=exp), provider="p", csrf="c" * 43, begun_at=1000.0, seen_at=seen_at)


@pytest.mark.parametrize(
    ("found", "ends"),
    [
        pytest.param(session(), 1000 + IDLE_SECONDS, id="nobody was there"),
        pytest.param(session(seen_at=2000), 2000 + IDLE_SECONDS, id="somebody was"),
        pytest.param(session(seen_at=1000 + LONGEST_SECONDS), 1000 + LONGEST_SECONDS, id="its age"),
        pytest.param(session(exp=1300), 1300, id="what its provider said"),
    ],
)
def test_it_ends(found: BrowserSession, ends: float) -> None:
    assert (found.over(ends - 1), found.over(ends)) == (False, True)


def test_whose_it_is() -> None:
    assert (session().is_of(identity()), session().is_of(identity(iss="j"))) == (True, False)
    assert [session().has(text) for text in ("c" * 43, "", "d" * 43, "é", "\udc00")] == [True, *[False] * 4]


def test_the_cookie_has_the_prefix_where_there_is_tls() -> None:
    assert cookie_name("https://c.example") == "__Host-chaperone-session"
    assert cookie_name("http://127.0.0.1:1") == "chaperone-session"


@pytest.mark.parametrize(
    "who",
    [
        pytest.param(identity(act="agent"), id="an agent for her"),
        pytest.param(identity(session_token=True), id="a session token"),
        pytest.param(identity(connection="prod"), id="bound to a connection"),
        pytest.param(identity(intent="x"), id="bound to an intent"),
        pytest.param(identity(jkt="x"), id="bound to a key"),
        pytest.param(identity(claims={"cnf": {"x5t#S256": "x"}}), id="bound to a certificate"),
        pytest.param(identity(aud=("chaperone",)), id="for another client"),
        pytest.param(identity(aud=("console", "x"), claims={"azp": "x"}), id="asked for by another client"),
        pytest.param(identity(claims={"nonce": "m"}), id="of another sign-in"),
        pytest.param(identity(claims={"nonce": 1}), id="a nonce that is none"),
        pytest.param(Identity(iss="i", sub="ann", aud=("console",), exp=FAR), id="no nonce"),
    ],
)
def test_tokens_that_sign_nobody_in(who: Identity) -> None:
    with pytest.raises(RejectedToken):
        check_id_token(who, "console", "n")


def test_a_token_that_signs_somebody_in() -> None:
    check_id_token(identity(claims={"azp": "console"}), "console", "n")
    check_person(identity(aud=("saml",)))


@pytest.mark.parametrize(
    ("lock", "out"),
    [
        ({"subject": "ann"}, True),
        ({"subject": "bob"}, False),
        ({}, False),
        ({"connection": "prod"}, False),
        ({"subject": "ann", "connection": "prod"}, False),
        ({"subject": "ann", "session": "s"}, False),
    ],
)
def test_who_is_shut_out(lock: dict[str, str], out: bool) -> None:
    assert shut_out([Lock(id="l", reason="r", made_by="b", made_at=0, **lock)], identity()) is out
