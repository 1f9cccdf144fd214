from __future__ import annotations

from datetime import UTC, datetime

import pytest

from addons.core.documents import parse_documents
from addons.core.guardrails.freeze import FreezeWindow, compile_windows, frozen
from addons.core.guardrails.selftest import request_of
from addons.core.problem import Problem
from tests.core.guardrails.support import compiled, loaded, rule

BERLIN = "Europe/Berlin"
ONCE = "from: 2026-11-27T00:00:00\n  to: 2026-11-30T08:00:00"
TESTS = """  tests:
    - {expect: frozen, now: 2026-11-28T00:00:00}
    - {expect: open, now: 2026-12-01T00:00:00}
"""


def window(when: str = ONCE, *, zone: str = BERLIN, more: str = "", tests: str = TESTS, name: str = "w") -> str:
    head = f"apiVersion: chaperone/v1\nkind: FreezeWindow\nmetadata: {{name: {name}}}\nspec:\n  description: d\n"
    return f"{head}  timeZone: {zone}\n  {when}\n{more}{tests}"


def made(*texts: str) -> tuple[list[FreezeWindow], list[Problem]]:
    documents, problems = parse_documents("\n---\n".join(texts), "w.yaml")
    assert problems == []
    return compile_windows(documents)


def one(when: str, **given: str) -> FreezeWindow:
    """The window, whatever its tests make of it."""
    windows, _ = made(window(when, **given))
    return windows[0]


def at(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


@pytest.mark.parametrize(
    ("when", "zone", "moment", "active"),
    [
        pytest.param(ONCE, BERLIN, "2026-11-26T23:00:00+00:00", True, id="its first second, in its own zone"),
        pytest.param(ONCE, BERLIN, "2026-11-26T22:59:59+00:00", False, id="the second before"),
        pytest.param(ONCE, BERLIN, "2026-11-30T06:59:59+00:00", True, id="its last second"),
        pytest.param(ONCE, BERLIN, "2026-11-30T07:00:00+00:00", False, id="its end is not in it"),
        pytest.param(
            "from: 2026-11-27T00:00:00+09:00\n  to: 2026-11-28T00:00:00Z", BERLIN, "2026-11-26T15:00:00+00:00", True,
            id="an offset of its own counts",
        ),
        pytest.param(
            "from: 2026-10-24T00:00:00\n  to: 2026-10-25T02:30:00", BERLIN, "2026-10-25T02:15:00+01:00", True,
            id="an end in the hour that happens twice is the second",
        ),
        pytest.param('weekly: [{days: [Fri], from: "18:00"}]', BERLIN, "2026-11-27T18:00:00+01:00", True, id="begins"),
        pytest.param('weekly: [{days: [Fri], from: "18:00"}]', BERLIN, "2026-11-27T17:59:59+01:00", False, id="before"),
        pytest.param('weekly: [{days: [Fri], from: "18:00"}]', BERLIN, "2026-11-28T00:00:00+01:00", False, id="24:00"),
        pytest.param("weekly: [{days: [Sat, Sun]}]", BERLIN, "2026-11-29T12:00:00+01:00", True, id="a whole day"),
        pytest.param("weekly: [{days: [Sat, Sun]}]", BERLIN, "2026-11-29T23:30:00+00:00", False, id="its zone's day"),
        pytest.param(
            'weekly: [{days: [Sun], from: "22:00", to: "06:00"}]', BERLIN, "2026-11-30T05:59:00+01:00", True,
            id="over midnight, and over the end of the week",
        ),
        pytest.param(
            'weekly: [{days: [Sun], from: "22:00", to: "06:00"}]', BERLIN, "2026-11-29T05:59:00+01:00", False,
            id="the night before is another one",
        ),
        pytest.param(
            'weekly: [{days: [Mon], from: "08:00", to: "08:00"}]', "UTC", "2026-12-01T07:59:00+00:00", True,
            id="a day around the clock",
        ),
        pytest.param(
            'weekly: [{days: [Mon], to: "01:00"}, {days: [Tue]}]', "UTC", "2026-12-01T12:00:00+00:00", True,
            id="any span",
        ),
        pytest.param(
            'weekly: [{days: [Sun], from: "02:15", to: "02:45"}]', BERLIN, "2026-10-25T02:30:00+01:00", True,
            id="by the clock on the wall, both times that it shows this hour",
        ),
    ],
)  # fmt: skip
def test_when_a_window_is_active(when: str, zone: str, moment: str, active: bool) -> None:
    assert one(when, zone=zone).active(at(moment)) is active


@pytest.mark.parametrize(
    ("more", "request_text", "connection", "reached"),
    [
        ("", "DELETE /api/v1/nodes/n", "prod", True),
        ("  connections: [prod-*]\n", "DELETE /api/v1/nodes/n", "prod-eu", True),
        ("  connections: [prod-*]\n", "DELETE /api/v1/nodes/n", "dev", False),
        ("  namespaces: [shop]\n", "DELETE /api/v1/namespaces/shop/pods/p", "prod", True),
        ("  namespaces: [shop]\n", "DELETE /api/v1/namespaces/shop", "prod", True),
        ("  namespaces: [shop]\n", "DELETE /api/v1/namespaces/blog/pods/p", "prod", False),
        ("  namespaces: [shop]\n", "DELETE /api/v1/nodes/n", "prod", False),
        ("  namespaces: [shop]\n", "DELETE /api/v1/nodes", "prod", True),
        ("  namespaces: ['']\n", "DELETE /api/v1/nodes/n", "prod", True),
    ],
)
def test_what_a_window_is_for(more: str, request_text: str, connection: str, reached: bool) -> None:
    found = frozen([one(ONCE, more=more)], request_of(request_text), connection, at("2026-11-28T00:00:00+01:00"))
    assert found == (("w",) if reached else ())


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param(window(zone="Europe/Atlantis"), 6, "no IANA time zone", id="unknown zone"),
        pytest.param(window(zone="../etc/passwd"), 6, "no IANA time zone", id="a path is no zone"),
        pytest.param(window("from: 2026-11-27T00:00:00"), 4, "either from and to, or weekly", id="no end"),
        pytest.param(window("weekly: []"), 4, "either from and to, or weekly", id="neither"),
        pytest.param(window(f"{ONCE}\n  weekly: [{{days: [Mon]}}]"), 4, "either from and to, or weekly", id="both"),
        pytest.param(window("from: 2026-11-30T00:00:00\n  to: 2026-11-30T00:00:00"), 8, "later than from", id="empty"),
        pytest.param(window("weekly: [{days: [Fri], from: 18:00}]"), 7, "put the time in quotes", id="sexagesimal"),
        pytest.param(window('weekly: [{days: [Fri], from: "25:00"}]'), 7, "String should match", id="no time"),
        pytest.param(window("weekly: [{days: [Friday]}]"), 7, "Input should be 'Mon'", id="no day"),
        pytest.param(window("weekly: [{days: []}]"), 7, "at least 1 item", id="no days"),
        pytest.param(window("from: tomorrow\n  to: 2026-11-30T08:00:00"), 7, "valid datetime", id="no date"),
        pytest.param(window(tests=""), 4, "at least one test must expect frozen", id="no tests"),
        pytest.param(
            window(tests=TESTS.replace("2026-12-01", "2026-11-29")), 11,
            "test 2 failed: expected open at 2026-11-29T00:00:00+01:00", id="a test that fails",
        ),
        pytest.param(
            window(more="  namespaces: [shop]\n  connections: [prod]\n", tests=TESTS), 12, "test 1 failed",
            id="a test says what the window is for",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_reported_at_their_line(text: str, line: int, message: str) -> None:
    _, problems = made(text)
    assert [(problem.line, message in problem.message) for problem in problems][:1] == [(line, True)], problems


def test_names_are_unique() -> None:
    windows, problems = made(window(), window())
    assert [each.name for each in windows] == ["w"]
    assert [problem.message for problem in problems] == ["two freeze windows are named w"]


def test_windows_are_loaded_with_the_rules() -> None:
    rules = loaded(rule(), window())
    delete = request_of("DELETE /api/v1/nodes/n")
    assert rules.frozen(delete, "prod", at("2026-11-28T00:00:00+01:00")) == ("w",)
    assert rules.frozen(delete, "prod", at("2026-12-28T00:00:00+01:00")) == ()
    assert [problem.file for problem in compiled(rule(), window(zone="x"))[1]] == ["rules.yaml"]
