"""A condition taken apart where `&&`, `||`, `!` and `? :` join it, so that each part can be asked for its own value.

The compiler keeps no text of the parts, so this finds the operators in the text: outside of strings, comments and
brackets. What it cannot take apart stays whole. Precedence: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_STRING = re.compile(
    r"""(?:[rR][bB]?|[bB][rR]?)?(?:'''(?s:.*?)'''|\"{3}(?s:.*?)\"{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
)
_RAW = re.compile(r"""[bB]?[rR][bB]?(?:"[^"\n]*"|'[^'\n]*')""")
_COMMENT = re.compile(r"//[^\n]*")
_WORD = re.compile(r"\w+")
_OPERATOR = re.compile(r"&&|\|\||[=!<>]=|\.\?|[?:<>!]")
_OPEN, _CLOSE = "([{", ")]}"
_COMPARING = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})


@dataclass(frozen=True, slots=True)
class Clause:
    """Part of a condition. `operator` joins `parts`: "&&", "||", "!", "?:" or, with nothing further, ""."""

    text: str
    operator: str = ""
    parts: tuple[Clause, ...] = ()
    operands: tuple[str, ...] = ()
    """Both sides, if it compares."""


def take_apart(expression: str) -> Clause:
    """The expression as a tree of clauses; `expression` must compile."""
    text = _bare(expression)
    tokens = list(_top_level(text))
    if clause := _choice(text, tokens):
        return clause
    for operator in ("||", "&&"):
        if at := [position for position, token in tokens if token == operator]:
            return Clause(text, operator, tuple(map(take_apart, _cut(text, at, 2))))
    if text.startswith("!") and (inner := _bare(text[1:])) != text[1:].strip():
        return Clause(text, "!", (take_apart(inner),))
    return Clause(text, operands=_operands(text, tokens))


def texts(expression: str) -> list[str]:
    """The string literals of an expression, as they are written."""
    found, position = [], 0
    while position < len(expression):
        if literal := _RAW.match(expression, position) or _STRING.match(expression, position):
            found.append(literal[0])
        skipped = literal or _COMMENT.match(expression, position) or _WORD.match(expression, position)
        position = skipped.end() if skipped else position + 1
    return found


def _choice(text: str, tokens: list[tuple[int, str]]) -> Clause | None:
    """`a ? b : c`, of which `c` may be another choice."""
    marks = [(position, token) for position, token in tokens if token in ("?", ":")]
    depth = 0
    for position, token in marks:
        depth += 1 if token == "?" else -1
        if depth == 0:
            return Clause(text, "?:", tuple(map(take_apart, _cut(text, [marks[0][0], position], 1))))
    return None


def _operands(text: str, tokens: list[tuple[int, str]]) -> tuple[str, ...]:
    found = [(position, token) for position, token in tokens if token in _COMPARING]
    return tuple(part.strip() for part in _cut(text, [found[0][0]], len(found[0][1]))) if len(found) == 1 else ()


def _cut(text: str, positions: list[int], width: int) -> Iterator[str]:
    start = 0
    for position in positions:
        yield text[start:position]
        start = position + width
    yield text[start:]


def _bare(text: str) -> str:
    """The text without white space and brackets around it."""
    text = text.strip()
    while text.startswith("(") and _end_of_bracket(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _end_of_bracket(text: str) -> int:
    depth = 0
    for position, token in _tokens(text):
        depth += (token in _OPEN) - (token in _CLOSE)
        if not depth:
            return position
    return -1


def _top_level(text: str) -> Iterator[tuple[int, str]]:
    depth = 0
    for position, token in _tokens(text):
        depth += (token in _OPEN) - (token in _CLOSE)
        if not depth:
            yield position, token


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    """Brackets, operators and words with their places; strings and comments are passed over."""
    position = 0
    while position < len(text):
        if skipped := _RAW.match(text, position) or _STRING.match(text, position) or _COMMENT.match(text, position):
            position = skipped.end()
        elif found := _OPERATOR.match(text, position) or _WORD.match(text, position):
            yield position, found[0]
            position = found.end()
        else:
            if text[position] in _OPEN + _CLOSE:
                yield position, text[position]
            position += 1
