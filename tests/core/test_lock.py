from __future__ import annotations

from dataclasses import replace

import pytest

from addons.core.identity import Identity
from addons.core.lock import Lock, stopped
from addons.core.session import Session

WHO = Identity(iss="https://idp", sub="agent", aud=("c",), exp=1.0, act="bot", owner="alice")
SESSION = Session(id="s1", identity=WHO, connection="prod", started_at=0.0)
ALL = Lock(id="a", reason="INC-1", made_by="oncall", made_at=0.0)


@pytest.mark.parametrize(
    ("scope", "holds", "what"),
    [
        ({}, True, "everything"),
        ({"subject": "agent"}, True, "subject agent"),
        ({"subject": "bot"}, True, "subject bot"),
        ({"subject": "alice"}, True, "subject alice"),
        ({"subject": "agen"}, False, "subject agen"),
        ({"connection": "prod"}, True, "connection prod"),
        ({"connection": "test"}, False, "connection test"),
        ({"session": "s1"}, True, "session s1"),
        ({"session": "s2"}, False, "session s2"),
        ({"subject": "agent", "connection": "prod"}, True, "subject agent, connection prod"),
        ({"subject": "agent", "connection": "test"}, False, "subject agent, connection test"),
        ({"subject": "other", "session": "s1"}, False, "subject other, session s1"),
    ],
)
def test_whom_it_stops(scope: dict[str, str], holds: bool, what: str) -> None:
    lock = Lock(id="a", reason="INC-1", made_by="oncall", made_at=0.0, **scope)
    assert (lock.holds(SESSION), lock.what()) == (holds, what)
    refusal = stopped([replace(ALL, connection="elsewhere"), lock], SESSION)
    assert (refusal is not None) == holds
    if refusal is not None:
        said = refusal.message("r")
        assert f"locked {what}: INC-1" in said and "retry: no" in said and "oncall" not in said


def test_who_has_neither_actor_nor_owner_is_not_everybody() -> None:
    plain = replace(SESSION, identity=replace(WHO, act="", owner=""))
    assert not replace(ALL, subject="bot").holds(plain)
    assert stopped([], plain) is None
