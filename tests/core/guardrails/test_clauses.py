"""Conditions come apart where the language joins them, and every part is an expression of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.guardrails.cel import compile_condition
from addons.core.guardrails.clauses import Clause, take_apart, texts
from tests.core.guardrails.test_pack import read_pack


def spoken(clause: Clause) -> str:
    """The tree in prefix notation."""
    parts = " ".join(map(spoken, clause.parts))
    return f"({clause.operator} {parts})" if clause.operator else clause.text


@pytest.mark.parametrize(
    ("expression", "tree"),
    [
        ("a", "a"),
        ("a && b || c", "(|| (&& a b) c)"),
        ("a && (b || c)", "(&& a (|| b c))"),
        ("((a && b))", "(&& a b)"),
        ("(a) && (b)", "(&& a b)"),
        ("!(a || b)", "(! (|| a b))"),
        ("!(a).b && c", "(&& !(a).b c)"),
        ("!has(a.b) && c", "(&& !has(a.b) c)"),
        ("a ? b && c : d", "(?: a (&& b c) d)"),
        ("a ? b : c ? d : e", "(?: a b (?: c d e))"),
        ("a ? (b ? c : d) : e", "(?: a (?: b c d) e)"),
        ("x.exists(y, y.a && y.b) && c", "(&& x.exists(y, y.a && y.b) c)"),
        ("cel.bind(x, a ? b : c, x && d)", "cel.bind(x, a ? b : c, x && d)"),
        ("a.?b.?c.orValue(false) && d", "(&& a.?b.?c.orValue(false) d)"),
        ('a[?"b"].orValue(1) == 2 || c', '(|| a[?"b"].orValue(1) == 2 c)'),
        ('{"a": b ? 1 : 2}.a == 1 && c', '(&& {"a": b ? 1 : 2}.a == 1 c)'),
        ('"a && b" == c && d', '(&& "a && b" == c d)'),
        ("'it\\'s || so' == c || d", "(|| 'it\\'s || so' == c d)"),
        ('r"\\" == a && b', '(&& r"\\" == a b)'),
        ('"""a " && b""" == c && d', '(&& """a " && b""" == c d)'),
        ("'''a ' && b''' == c && d", "(&& '''a ' && b''' == c d)"),
        ("a // && b\n || c", "(|| a // && b c)"),
        ("a ? b", "a ? b"),
        ("(a", "(a"),
    ],
)
def test_the_tree(expression: str, tree: str) -> None:
    assert spoken(take_apart(expression)) == tree


@pytest.mark.parametrize(
    ("expression", "operands"),
    [
        ('request.name == "a"', ("request.name", '"a"')),
        ("a in [1, 2]", ("a", "[1, 2]")),
        ("a.in_b >= c", ("a.in_b", "c")),
        ("a.exists(b, b == 1)", ()),
        ("a == b == c", ()),
        ("a", ()),
    ],
)
def test_the_sides_of_a_comparison(expression: str, operands: tuple[str, ...]) -> None:
    assert take_apart(expression).operands == operands


def leaves(clause: Clause) -> Iterator[Clause]:
    yield clause
    for part in clause.parts:
        yield from leaves(part)


def test_every_part_of_every_shipped_condition_is_a_condition() -> None:
    expressions = [document.spec["when"] for document in read_pack() if "when" in document.spec]
    count = 0
    for expression in expressions:
        for clause in leaves(take_apart(expression)):
            compile_condition(clause.text)
            count += 1
    assert count > 2 * len(expressions) > 20


@given(st.text(alphabet="ab()[]{}&|!?:=<'\"\\/ .\n", max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    assert isinstance(take_apart(text), Clause)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('a == "b" && c in [\'d\', r"\\e"]', ['"b"', "'d'", 'r"\\e"']),
        ('a // "comment"\n == """b"""', ['"""b"""']),
        ("over == 1", []),
    ],
)
def test_texts(expression: str, found: list[str]) -> None:
    assert texts(expression) == found
