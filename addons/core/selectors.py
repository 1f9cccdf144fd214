"""Field and label selectors, as far as the API server's RequestInfo depends on them: which name a list is narrowed to.

A field selector that requires one `metadata.name` makes a list the reading of that object. It does so only if all list
options decode, so the grammar of label selectors matters too; what they select does not.
Sources: `ParseSelector` in k8s.io/apimachinery/pkg/fields and `Parse` in k8s.io/apimachinery/pkg/labels, 1.37.
"""

from __future__ import annotations

import re

_OPERATOR = re.compile(r"!=|==|=")
_TERM_END = re.compile(r"((?:[^\\,]|\\.)*\\?)(?:,|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\,=])")
_UNESCAPED = re.compile(r"(?:[^\\,=]|\\[\\,=])*", re.DOTALL)

_TOKEN = re.compile(r"(?P<symbol>!=|==|[=!(),<>])|(?P<word>[^=!(),<> \t\r\n]+)")
_KINDS = {"!=": "n", "==": "e", "in": "I", "notin": "N"}
_WORD = "[kIN]"
_REQUIREMENT = re.compile(rf"!{_WORD}|{_WORD}[IN]\({_WORD}?(?:,{_WORD}?)*\)|{_WORD}[=en<>]{_WORD}?|{_WORD}")
_SELECTOR = re.compile(rf"(?:(?:{_REQUIREMENT.pattern})(?:,(?:{_REQUIREMENT.pattern}))*)?")
_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_INTEGER = re.compile(r"([+-]?)0*([0-9]{1,19})")


class InvalidSelector(ValueError):
    """The API server answers 400 to this selector."""


def required_value(selector: str, field: str) -> str | None:
    """The value a field selector requires `field` to equal; None when it requires none. Raises InvalidSelector.

    Of several terms the first in sorted order counts, as in the API server.
    """
    required: str | None = None
    for term in sorted(_terms(selector)):
        operator = _OPERATOR.search(term)
        if operator is None:
            raise InvalidSelector("a field selector term needs =, == or !=")
        value = term[operator.end() :]
        if not _UNESCAPED.fullmatch(value):
            raise InvalidSelector("a field selector value has an unescaped or wrongly escaped character")
        if required is None and operator[0] != "!=" and term[: operator.start()] == field:
            required = _ESCAPED.sub(r"\1", value)
    return required


def selected_fields(selector: str) -> frozenset[str]:
    """The fields that a field selector asks about, as far as it can be read."""
    operators = ((term, _OPERATOR.search(term)) for term in _terms(selector))
    return frozenset(term[: operator.start()] if operator else term for term, operator in operators)


def check_label_selector(selector: str) -> None:
    """Nothing, if the API server would accept this label selector. Raises InvalidSelector."""
    tokens = list(_TOKEN.finditer(selector))
    kinds = "".join(_kind(token) for token in tokens)
    if not _SELECTOR.fullmatch(kinds):
        raise InvalidSelector("the label selector does not follow the grammar")
    for requirement in _REQUIREMENT.finditer(kinds):
        kind = requirement[0].lstrip("!")
        words = [token["word"] for token in tokens[requirement.start() : requirement.end()] if token["word"]]
        _check_requirement(kind[1:2], words[0], words[2:] if kind[1:2] in ("I", "N") else words[1:])


def is_int64(text: str) -> bool:
    """True if Go's `strconv.ParseInt(text, 10, 64)` accepts it."""
    match = _INTEGER.fullmatch(text)
    return match is not None and int(match[2]) < 2**63 + (match[1] == "-")


def _terms(selector: str) -> list[str]:
    """Split at commas that no backslash escapes; empty terms are ignored."""
    return [term for term in (match[1] for match in _TERM_END.finditer(selector)) if term]


def _kind(token: re.Match[str]) -> str:
    return _KINDS.get(token[0], "k" if token["word"] else token[0])


def _check_requirement(operator: str, key: str, values: list[str]) -> None:
    prefix, slash, name = key.rpartition("/")
    if not _is_name(name) or (slash and not (len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix))):
        raise InvalidSelector("the label selector has an invalid key")
    if not all(_is_name(value) for value in values):
        raise InvalidSelector("the label selector has an invalid value")
    if operator in ("<", ">") and not (values and is_int64(values[0])):
        raise InvalidSelector("the label selector compares with something that is not an integer")


def _is_name(text: str) -> bool:
    return len(text) <= 63 and bool(_NAME.fullmatch(text))
