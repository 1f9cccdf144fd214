"""What the CEL engine does and does not promise, as the rule language relies on it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from addons.core.guardrails.cel import InvalidExpression, Unevaluable, activation, compile_condition, value_of

OBJECT = {"spec": {"on": True, "n": 3, "name": "web", "list": [1, 2]}, "metadata": {"labels": {"a/b": "c"}}}


def holds(expression: str, **values: Any) -> bool:
    return compile_condition(expression).holds(activation({"object": OBJECT, **values}))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("object.spec.on", True),
        ("object.spec.n == 2", False),
        ("object.?spec.?off.orValue(false)", False),
        ("object.?nothing.?off.orValue(true)", True),
        ("has(object.spec.off)", False),
        ("object.metadata.labels['a/b'] == 'c'", True),
        ("object.metadata.labels.exists(k, k.startsWith('a/'))", True),
        ("object.spec.name.matches('^w.b$')", True),
        ("object.spec.nothing || true", True),
        ("object.spec.list.exists(x, x == 2 || x.y == 3)", True),
        (r"object.spec.name.matches(r'^w\wb$')", True),
        ("object.spec.name . matches ('^x') || matches(object.spec.name, 'eb')", True),
        ("'x.matches(y)' == 'x.matches' + '(y)'", True),
        ("object.spec.name == 'web' // matches('", True),
        (r"""'it\'s matches(' == "it's matches" + '('""", True),
        (""" '''it's matches(''' == "it's matches" + "(" && object.spec.name.matches('''^web$''')""", True),
        ("'a,b'.split(',').size() == 2", True),
        ("cel.bind(s, object.spec, s.on && s.n == 3)", True),
        ("now < timestamp('2030-01-01T00:00:00Z')", True),
    ],
)
def test_conditions_hold_or_not(expression: str, expected: bool) -> None:
    import datetime

    assert holds(expression, now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)) is expected


PATTERNS = ["", "a|b", "^.$", "(?i)É", r"\bx", r"\pL+$", "[^a-z]{2}", "(a*)+$", r"\x00", "."]


@given(text=st.text(), pattern=st.sampled_from(PATTERNS) | st.text(max_size=4))
def test_a_pattern_matches_as_the_engine_has_it(text: str, pattern: str) -> None:
    assume(not any("\ud800" <= character <= "\udfff" for character in text + pattern))
    expression, values = "object.t.matches(object.p)", activation({"object": {"t": text, "p": pattern}})
    try:
        expected = value_of(expression, values)
    except Unevaluable:
        with pytest.raises(Unevaluable):
            compile_condition(expression).holds(values)
    else:
        assert compile_condition(expression).holds(values) is expected


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("object.spec.nothing", id="missing field"),
        pytest.param("object.spec.nothing == 1", id="missing field compared"),
        pytest.param("object.spec.name", id="a string is not true"),
        pytest.param("object.spec.n", id="a number is not true"),
        pytest.param("object.spec.on.deeper", id="field of a boolean"),
        pytest.param("object.spec.name.matches('[')", id="bad pattern"),
        pytest.param("oldObject.spec.on", id="not bound"),
        pytest.param("object.spec.list[7] == 1", id="index out of range"),
        pytest.param("object.spec.list.all(x, object.spec.list.all(y, y.z))", id="error in a loop"),
    ],
)
def test_an_error_is_never_an_answer(expression: str) -> None:
    with pytest.raises(Unevaluable):
        holds(expression)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"a": 2**70}, id="integer beyond 64 bits"),
        pytest.param({"a": "\ud800"}, id="lone surrogate"),
        pytest.param({"a": (1,)}, id="not a JSON value"),
        pytest.param(None, id="null"),
    ],
)
def test_values_without_a_cel_form_are_errors(content: Any) -> None:
    with pytest.raises(Unevaluable):
        holds("object.a == 'x'", object=content)


def test_the_iteration_budget_ends_an_evaluation() -> None:
    many = list(range(300))
    nested = "object.all(a, object.all(b, object.all(c, a + b + c >= 0)))"
    with pytest.raises(Unevaluable):
        holds(nested, object=many)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("object.a ==", "at 1:12: Syntax error"),
        ("nothing.a", "undeclared reference to 'nothing"),
        ("'a' + 1 == 2", "found no matching overload for '_+_'"),
        ("'text'", "gives STRING, but a condition must give true or false"),
        ("connection == 1", "no matching overload"),
        ("namespace == 'a'", "reserved identifier: namespace"),
    ],
)
def test_mistakes_are_found_when_compiled(expression: str, message: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        compile_condition(expression)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "references"),
    [
        ("true", set()),
        ("object.oldObject == request.name", {"object", "request"}),
        ("podSpecs.exists(object, object.hostPID)", {"podSpecs"}),
        ("'object' == connection", {"connection"}),
        ("exec.tty && identity.sub == grant.role && now == now", {"exec", "identity", "grant", "now"}),
        ("containers.size() > 0 || oldObject == null", {"containers", "oldObject"}),
        ("line.text == 'programs' && line . source == ''", {"line"}),
        ("line.text == '' && exec.programs == []", {"line", "exec"}),
        ("'rm' in line.programs", {"line", "line.programs"}),
        ("line.text == '' && line[?'pro' + 'grams'].hasValue()", {"line", "line.programs"}),
        (".line.?programs.hasValue()", {"line", "line.programs"}),
    ],
)
def test_references_are_the_variables_used(expression: str, references: set[str]) -> None:
    assert compile_condition(expression).references == references


def test_the_value_of_an_expression() -> None:
    bound = activation({"object": {"a": 7}})
    assert value_of("object.a + 1", bound) == 8
    with pytest.raises(InvalidExpression):
        value_of("object.a +", bound)
    for without in ("object.b", "object.?a"):  # an error, and an optional: nothing that Python has
        with pytest.raises(Unevaluable):
            value_of(without, bound)


def test_what_was_compiled_is_kept() -> None:
    """A reload compiles what has changed, and says again what is wrong."""
    assert compile_condition("object == {}") is compile_condition("object == {}")
    for _ in range(2):
        with pytest.raises(InvalidExpression):
            compile_condition("object ==")
