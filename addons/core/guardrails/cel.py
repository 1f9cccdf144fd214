"""Conditions: CEL compiled and type-checked when rules are loaded, evaluated in microseconds afterwards.

The engine is Google's cel-cpp. It reports a runtime error as a value of type ERROR whose Python value is truthy, and a
spent budget or an unreadable string as RuntimeError; here both are `Unevaluable`, and only a real `true` holds.
Enabled beyond the standard library: optionals (`object.?spec.?x.orValue(false)`), strings (`split`, `join`,
`lowerAscii`, …) and bindings (`cel.bind`). Language: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import re2
from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings

_ANY_MAP = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
_TEXTS = cel.Type.Map(cel.Type.STRING, cel.Type.STRING)
VARIABLES: Mapping[str, Any] = {
    "object": cel.Type.DYN,
    "oldObject": cel.Type.DYN,
    "podSpecs": cel.Type.List(cel.Type.DYN),
    "oldPodSpecs": cel.Type.List(cel.Type.DYN),
    "containers": cel.Type.List(cel.Type.DYN),
    "podSecurity": cel.Type.Map(cel.Type.STRING, cel.Type.List(cel.Type.STRING)),
    "changedLabels": _TEXTS,
    "containerChanges": cel.Type.List(_TEXTS),
    "newSecrets": cel.Type.List(_TEXTS),
    "request": _ANY_MAP,
    "exec": _ANY_MAP,
    "proxy": _TEXTS,
    "identity": cel.Type.DYN,
    "grant": cel.Type.DYN,
    "connection": cel.Type.STRING,
    "now": cel.Type.TIMESTAMP,
    "frozen": cel.Type.List(cel.Type.STRING),
    "rate": cel.Type.Map(cel.Type.STRING, cel.Type.INT),
    "affected": cel.Type.INT,
    "line": _ANY_MAP,
    "file": _ANY_MAP,
    "port": cel.Type.INT,
}
LINE_PROGRAMS = "line.programs"
"""Also among the references of a condition that may read it: to read a line as a shell does takes long."""
_MORE_OF_LINE = re.compile(r"\bline\b(?!\s*\.\s*(?:text|source)\b)")
"""Found in every expression that reads of `line` anything but these two, and in a few more."""
_EXTENSIONS = (ext_optional.ExtOptional(), ext_strings.ExtStrings(), ext_bindings.ExtBindings())
_BOOL = cel.Type.BOOL


def _environment(without: str = "", more: Mapping[str, Any] | None = None, functions: Sequence[Any] = ()) -> Any:
    variables = {name: kind for name, kind in VARIABLES.items() if name != without}
    return cel.NewEnv(variables={**variables, **(more or {})}, extensions=list(_EXTENSIONS), functions=[*functions])


# The engine compiles the pattern of `matches` each time it is called, which takes ten times as long as to search:
# programs call a function of the same meaning that compiles each pattern once. What is checked is what was written.
_MATCHES = "matchesCompiled"
_WORDS = re.compile(
    r"""[bB]?[rR][bB]?(?:"[^"]*"|'[^']*')|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|//[^\n]*|\bmatches(?=\s*\()""",
    re.DOTALL,
)
_OTHER_QUOTES = ('"""', "'''", "`")


@lru_cache(1024)
def _pattern(text: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(text.encode(), options)


def _matches(text: str, pattern: str) -> bool:
    return _pattern(pattern).search(text.encode()) is not None


def _as_run(expression: str) -> str:
    """With our function in the place of each call of `matches`; texts and comments stay as they are."""
    if any(quotes in expression for quotes in _OTHER_QUOTES):
        return expression
    return _WORDS.sub(lambda word: _MATCHES if word[0] == "matches" else word[0], expression)


def _overload(member: bool) -> Any:
    kinds, name = [cel.Type.STRING, cel.Type.STRING], f"{_MATCHES}_{'member' if member else 'global'}"
    return cel.Overload(name, cel.Type.BOOL, kinds, member, _matches)


# To hand the engine a value takes longer than most conditions: the containers of one pod are taken out of its PodSpec,
# which other conditions read anyway, instead of being handed over once more.
ONE_POD, ALL_CONTAINERS = "containersOfOnePod", "allContainers"
_CONTAINERS = f"""cel.bind(containers, {ONE_POD} ? podSpecs[0].?containers.orValue([])
  + podSpecs[0].?initContainers.orValue([]) + podSpecs[0].?ephemeralContainers.orValue([]) : {ALL_CONTAINERS}, %s
)"""
_ENVIRONMENT = _environment(
    more={ONE_POD: cel.Type.BOOL, ALL_CONTAINERS: cel.Type.List(cel.Type.DYN)},
    functions=[cel.FunctionDecl(_MATCHES, [_overload(member) for member in (True, False)])],
)
_ENVIRONMENT_OF_RULES = _environment()
_ENVIRONMENT_OF_CLAIMS = cel.NewEnv(variables={"claims": _ANY_MAP}, extensions=list(_EXTENSIONS))
_ENVIRONMENT_OF_CALLERS = cel.NewEnv(
    variables={"claims": _ANY_MAP, "groups": cel.Type.List(cel.Type.STRING)}, extensions=list(_EXTENSIONS)
)
_ENVIRONMENT_WITHOUT = {name: _environment(name) for name in VARIABLES}


class InvalidExpression(ValueError):
    """The text is not a CEL expression that gives a boolean; the message says where and why."""


class Unevaluable(RuntimeError):
    """The condition has no answer for these facts. Never to be taken for "does not match"."""


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """A compiled condition. `references` are the variables it uses, so that nobody fetches what no rule reads."""

    expression: str
    references: frozenset[str]
    _program: Any

    def holds(self, activation: Any) -> bool:
        """True or False. Raises Unevaluable for everything else: missing field, wrong type, spent budget."""
        try:
            result = self._program.eval(activation)
        except RuntimeError as error:
            raise Unevaluable(str(error)) from error
        if result.type() != _BOOL:
            raise Unevaluable(str(result.value()))
        return bool(result.value())


@lru_cache(maxsize=1024)
def compile_condition(expression: str) -> Condition:
    """The expression ready to evaluate. Raises InvalidExpression for syntax, type and unknown-variable errors.

    What was compiled is kept: a reload compiles what has changed, as compiling is most of what rules take at a start.
    """
    try:
        kind = _ENVIRONMENT_OF_RULES.compile(expression).return_type()
        references = frozenset(name for name in VARIABLES if _needs(expression, name))
        if "line" in references and _MORE_OF_LINE.search(expression):
            references |= {LINE_PROGRAMS}
        run = _as_run(expression)
        program = _ENVIRONMENT.compile(_CONTAINERS % run if "containers" in references else run)
    except RuntimeError as error:
        raise InvalidExpression(_first_error(str(error))) from error
    if kind not in (_BOOL, cel.Type.DYN):
        raise InvalidExpression(f"gives {kind.name()}, but a condition must give true or false")
    return Condition(expression, references, program)


@dataclass(frozen=True, slots=True)
class ClaimsExpression:
    """A compiled expression over a token's `claims`. Equal if the text is."""

    expression: str
    _program: Any = field(compare=False, repr=False)

    def value(self, claims: Mapping[str, Any]) -> Any:
        """What it gives, as Python has it. Raises Unevaluable: missing claim, error, a number too large for CEL."""
        try:
            result = self._program.eval(_ENVIRONMENT_OF_CLAIMS.Activation({"claims": claims}))
            value = result.plain_value()
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            raise Unevaluable("the expression has no value for these claims") from error
        if result.type() == cel.Type.ERROR:
            raise Unevaluable("the expression has no value for these claims")
        return value


@dataclass(frozen=True, slots=True)
class CallerCondition:
    """A compiled condition over a caller's `claims` and `groups`. Equal if the text is."""

    expression: str
    _program: Any = field(compare=False, repr=False)

    def holds(self, claims: Mapping[str, Any], groups: Sequence[str]) -> bool:
        """Whether it is true; what has no value for these claims is not."""
        try:
            result = self._program.eval(_ENVIRONMENT_OF_CALLERS.Activation({"claims": claims, "groups": list(groups)}))
        except (RuntimeError, TypeError, ValueError, OverflowError):
            return False
        return result.type() == _BOOL and bool(result.value())


def compile_caller_condition(expression: str) -> CallerCondition:
    """The condition ready to evaluate. Raises InvalidExpression."""
    try:
        program = _ENVIRONMENT_OF_CALLERS.compile(expression)
    except RuntimeError as error:
        raise InvalidExpression(_first_error(str(error))) from error
    if (kind := program.return_type()) not in (_BOOL, cel.Type.DYN):
        raise InvalidExpression(f"gives {kind.name()}, but a condition must give true or false")
    return CallerCondition(expression, program)


def compile_claims_expression(expression: str) -> ClaimsExpression:
    """The expression ready to evaluate. Raises InvalidExpression for syntax, type and unknown-variable errors."""
    try:
        program = _ENVIRONMENT_OF_CLAIMS.compile(expression)
    except RuntimeError as error:
        raise InvalidExpression(_first_error(str(error))) from error
    return ClaimsExpression(expression, program)


def value_of(expression: str, activation: Any) -> Any:
    """The value of any expression, as Python has it. Raises InvalidExpression, Unevaluable."""
    try:
        result = _ENVIRONMENT.compile(expression).eval(activation)
    except RuntimeError as error:
        raise InvalidExpression(_first_error(str(error))) from error
    try:
        value = result.value()
    except TypeError as error:  # an optional, a type: nothing that Python has
        raise Unevaluable(str(error).partition("\n")[0]) from error
    if result.type() == cel.Type.ERROR:
        raise Unevaluable(str(value))
    return value


def activation(values: Mapping[str, Any]) -> Any:
    """Values bound for several conditions. Each is converted once, when the first condition reads it."""
    return _ENVIRONMENT.Activation(values)


def _needs(expression: str, name: str) -> bool:
    """The compiler's own scoping answers: what does not compile without a variable refers to it."""
    if name not in expression:  # it need not be asked
        return False
    try:
        _ENVIRONMENT_WITHOUT[name].compile(expression)
    except RuntimeError:
        return True
    return False


def _first_error(text: str) -> str:
    """cel-cpp's `INVALID_ARGUMENT: ERROR: <input>:LINE:COLUMN: message` and a drawing, as one line."""
    first = text.partition("\n")[0].removeprefix("INVALID_ARGUMENT: ").removeprefix("ERROR: ")
    return first.replace("<input>:", "at ", 1).replace(" (in container '')", "")
