"""Rule files: Kubernetes-style YAML documents with the line of every key, so that a mistake is reported where it is.

Deliberately strict: duplicate keys, anchors, tags and unknown `apiVersion`s are mistakes, never guesses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from addons.core.problem import Problem

API_VERSION = "chaperone/v1"
KEPT = 1024
"""How many files, documents, and what was made of each are kept: several times as many as the rules that we ship."""
Path = tuple[str | int, ...]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where it is there: ten times as fast, and every command reads the rules."""


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One YAML document. `lines` maps the path of every key and item (`("spec", "match", "verbs", 0)`) to its line.

    Not to be changed: what is compiled from one is kept, so that a reload is about what has changed.
    """

    kind: str
    name: str
    spec: Mapping[str, Any]
    file: str
    line: int
    lines: Mapping[Path, int]

    def problem(self, path: Path, message: str) -> Problem:
        """A problem at `path`, or at its nearest ancestor that has a line."""
        return Problem(self.file, self.line_of(path), message)

    def line_of(self, path: Path) -> int:
        """The line of `path`, or of its nearest ancestor that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)


class SpecModel(BaseModel):
    """Base of every `spec`: camelCase keys as everywhere in Kubernetes, no unknown ones, no coercion."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
    )


class _Misread(ValueError):
    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.line = node.start_mark.line + 1


def parse_documents(text: str, file: str) -> tuple[list[Document], list[Problem]]:
    """Every readable document of a rule file and every mistake in it. `file` is only for messages.

    The documents of a text that was read before are the same objects.
    """
    documents, problems = _parsed(text, file)
    return [*documents], [*problems]


@lru_cache(KEPT)
def _parsed(text: str, file: str) -> tuple[Sequence[Document], Sequence[Problem]]:
    documents: list[Document] = []
    problems: list[Problem] = []
    for parsed in _documents(text, file):
        if isinstance(parsed, Document):
            documents.append(parsed)
        else:
            problems.append(parsed)
    return documents, problems


def parse_mapping(text: str, file: str) -> tuple[dict[str, Any], dict[Path, int], list[Problem]]:
    """The one mapping of a configuration file, the line of every key, and every mistake."""
    lines: dict[Path, int] = {}
    try:
        node = yaml.compose(text, Loader=_LOADER)
        content = {} if node is None else _build(node, (), lines)
    except (yaml.YAMLError, _Misread) as error:
        return {}, lines, [_yaml_problem(error, text, file)]
    if not isinstance(content, dict):
        return {}, lines, [Problem(file, 1, "must be a mapping of keys to values")]
    return content, lines, []


def validate[Model: BaseModel](document: Document, model: type[Model]) -> tuple[Model | None, list[Problem]]:
    """The document's `spec` as `model`, or one problem per mistake, each at its line."""
    try:
        return model.model_validate(document.spec), []
    except ValidationError as error:
        return None, [
            document.problem(("spec", *item["loc"]), f"{_dotted(item['loc'])}: {item['msg']}")
            for item in error.errors(include_url=False)
        ]


def _documents(text: str, file: str) -> Iterator[Document | Problem]:
    try:
        for node in yaml.compose_all(text, Loader=_LOADER):
            if node.value != "":  # the empty document between two separators
                yield _document(node, file)
    except yaml.YAMLError as error:
        yield _yaml_problem(error, text, file)


def _yaml_problem(error: Exception, text: str, file: str) -> Problem:
    match error:
        case _Misread():
            return Problem(file, error.line, str(error))
        case yaml.MarkedYAMLError(problem_mark=mark) if mark is not None:
            last = len(text.splitlines())  # libyaml finds what is missing at the end one line below it
            return Problem(file, min(mark.line + 1, last), f"not valid YAML: {error.problem}")
    return Problem(file, 0, f"not valid YAML: {error}")


def _document(node: yaml.Node, file: str) -> Document | Problem:
    lines: dict[Path, int] = {}
    first = node.start_mark.line + 1
    try:
        content = _build(node, (), lines)
    except _Misread as error:
        return Problem(file, error.line, str(error))
    match content:
        case {"apiVersion": str(version), "kind": str(kind), "metadata": {"name": str(name)}, "spec": dict(spec)}:
            if version != API_VERSION:
                return Problem(file, lines[("apiVersion",)], f"apiVersion must be {API_VERSION}, not {version}")
            if extra := content.keys() - {"apiVersion", "kind", "metadata", "spec"}:
                return Problem(file, first, f"unknown key: {', '.join(sorted(map(str, extra)))}")
            return Document(kind, name, spec, file, first, lines)
    return Problem(file, first, "a document needs apiVersion, kind, metadata.name and spec")


def _build(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    match node:
        case yaml.ScalarNode():
            return _scalar(node)
        case yaml.SequenceNode():
            return [_build(item, (*path, index), lines) for index, item in enumerate(node.value)]
        case _:
            return _mapping(node, path, lines)


def _mapping(node: yaml.Node, path: Path, lines: dict[Path, int]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
        if key is None or key == "<<":
            raise _Misread(key_node, "keys must be plain words")
        if key in result:
            raise _Misread(key_node, f"duplicate key: {key}")
        lines[(*path, key)] = key_node.start_mark.line + 1
        result[key] = _build(value_node, (*path, key), lines)
    return result


_CONSTRUCTOR = yaml.constructor.SafeConstructor()


def _scalar(node: yaml.ScalarNode) -> Any:
    try:
        return _CONSTRUCTOR.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise _Misread(node, f"unreadable value: {error}") from error


def _dotted(location: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in location)
