"""Which sessions and events are looked for, and what a cast holds."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.session_search import Search, moment

ABOUT = {"connection": "prod", "identity": {"sub": "agent-7", "act": "ci", "owner": None}}
EVENT = {
    "verb": "create",
    "stageTimestamp": "2026-02-01T12:00:00.000000Z",
    "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop"},
    "annotations": {"chaperone.dev/decision": "deny", "chaperone.dev/rule": "no-exec"},
}


@pytest.mark.parametrize(
    ("search", "about", "found"),
    [
        (Search(), ABOUT, True),
        (Search(who=["agent-*"]), ABOUT, True),
        (Search(who=["ci"]), ABOUT, True),
        (Search(who=["x", "agent-?"]), ABOUT, True),
        (Search(who=["agent"]), ABOUT, False),
        (Search(who=["None"]), ABOUT, False),
        (Search(who=["*"], connection=["staging"]), ABOUT, False),
        (Search(who=["*"], connection=["prod"]), ABOUT, True),
        (Search(who=["unidentified"]), {}, True),
        (Search(who=["unidentified"]), {"identity": "torn"}, True),
        (Search(connection=["*"]), {}, False),
    ],
)
def test_sessions(search: Search, about: dict[str, Any], found: bool) -> None:
    assert search.session(about) is found
    assert not search.of_events


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"verb": ["create"]}, True),
        ({"verb": ["get", "cr*"]}, True),
        ({"verb": ["get"]}, False),
        ({"resource": ["pods"]}, True),
        ({"resource": ["pods/exec"]}, True),
        ({"resource": ["pods/*"]}, True),
        ({"resource": ["secrets"]}, False),
        ({"namespace": ["shop"]}, True),
        ({"namespace": ["kube-*"]}, False),
        ({"verdict": ["deny"]}, True),
        ({"verdict": ["allow"]}, False),
        ({"rule": ["no-*"]}, True),
        ({"rule": ["yes-*"]}, False),
        ({"since": "2026-02-01T12:00:00.000000Z"}, True),
        ({"since": "2026-02-01T12:00:00.000001Z"}, False),
        ({"until": "2026-02-01T12:00:00.000001Z"}, True),
        ({"until": "2026-02-01T12:00:00.000000Z"}, False),
        ({"verb": ["create"], "rule": ["x"]}, False),
    ],
)
def test_events(options: dict[str, Any], found: bool) -> None:
    search = Search(**options)
    assert search.of_events
    assert search.event(EVENT) is found
    assert not search.event({}), "what is not said is not what is looked for"


def test_events_of_a_group_and_of_strange_kinds() -> None:
    assert Search(resource=["deployments.apps"]).event({"objectRef": {"resource": "deployments", "apiGroup": "apps"}})
    assert Search(verb=["get"]).event({"verb": "get", "objectRef": [], "annotations": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", "1970-01-01T22:00:00.000000Z"),
        ("90s", "1970-01-01T23:58:30.000000Z"),
        ("1d", "1970-01-01T00:00:00.000000Z"),
        ("5m", "1970-01-01T23:55:00.000000Z"),
        ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
        ("2026-01-31T12:00Z", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31T12:00:01.5+02:00", "2026-01-31T10:00:01.500000Z"),
    ],
)
def test_moments(text: str, expected: str) -> None:
    assert moment(text, 86400) == expected


@pytest.mark.parametrize("text", ["yesterday", "2 h", "2w", "-1d"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        moment(text, 0)
