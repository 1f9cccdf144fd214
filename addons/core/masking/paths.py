"""JSONPath as walkers: a path in jsonpath-ng's syntax, compiled once into closures that visit what it selects.

jsonpath-ng parses; its own search builds a context object per node and is some thirty times slower. Filters
(`[?(@.name == "x")]`) are evaluated by jsonpath-ng itself, step by step, with the same result. Deliberately not
covered, and a mistake at load: unions, `parent`, `where`, arithmetic, sorting, and filters that refer to `$`.
Source: https://github.com/h2non/jsonpath-ng and RFC 9535.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from jsonpath_ng import Child, DatumInContext, Descendants, Fields, Index, JSONPath, Root, Slice, This
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.filter import Filter
from jsonpath_ng.ext.parser import parse
from jsonpath_ng.jsonpath import Wildcard

type Trail = tuple[Trail, str | int] | None
"""The keys that lead to a value, last first: cheap to extend, spelled out only for what is masked."""
type Visit = Callable[[Any, Iterable[Any], Trail], None]
"""Called with a container, keys in it, and the trail of the container. It may replace those values."""
type Walk = Callable[[Any, Trail, Visit], None]


class UnsupportedPath(ValueError):
    """The path is not JSONPath, or uses what the walkers do not cover."""


def compile_path(text: str) -> Callable[[Any, Visit], None]:
    """A function that visits every place in an object that `text` selects. Raises UnsupportedPath."""
    try:
        parsed = parse(text)
    except JSONPathError as error:
        raise UnsupportedPath(f"not JSONPath: {error}") from error
    walk = _compile(parsed, _VISIT)
    if walk is _VISIT:
        raise UnsupportedPath("selects the whole object: name a field")
    return lambda root, visit: walk(root, None, visit)


def spell(trail: Trail) -> str:
    """The path a trail stands for, such as `$.data.password`. Keys with dots are not quoted: it is a label."""
    keys: list[str] = []
    while trail is not None:
        trail, key = trail
        keys.append(str(key))
    return ".".join(["$", *reversed(keys)])


_CONTAINERS = (dict, list)


def visit_leaves(container: Any, keys: Iterable[Any], trail: Trail, visit: Visit) -> None:
    """Visit the values at `keys`, or every scalar below those that are objects or lists."""
    inner = [key for key in keys if type(container[key]) in _CONTAINERS]
    for key in inner:
        visit_leaves(container[key], all_keys(container[key]), (trail, key), visit)
    if leaves := [key for key in keys if key not in inner] if inner else keys:
        visit(container, leaves, trail)


def texts(container: Any, keys: Iterable[Any]) -> list[str]:
    """Every string at or below `keys`."""
    found: list[str] = []
    rest = [container[key] for key in keys]
    while rest:
        value = rest.pop()
        kind = type(value)
        if kind is str:
            found.append(value)
        elif kind is dict:
            rest += value.values()
        elif kind is list:
            rest += value
    return found


def visit_named(container: Any, keys: Iterable[Any], trail: Trail, named: Callable[[str], Any], visit: Visit) -> None:
    """Visit every scalar below `keys` that has a key which `named` says yes to on its way."""
    for key in keys:
        value = container[key]
        told = [inner for inner in all_keys(value) if isinstance(inner, str) and named(inner)]
        visit_leaves(value, told, (trail, key), visit)
        visit_named(value, [inner for inner in all_keys(value) if inner not in told], (trail, key), named, visit)


def _unused(node: Any, trail: Trail, visit: Visit) -> None:
    raise AssertionError("the end of a path is never walked")  # pragma: no cover


_VISIT: Walk = _unused
"""Stands for "visit what was selected": the step before it knows the container and the key."""


def _compile(path: JSONPath, after: Walk) -> Walk:
    """The walker of `path` that goes on with `after` at each selected value."""
    match path:
        case Root() | This():
            return after
        case Child():
            return _compile(path.left, _compile(path.right, after))
        case Descendants():
            return _compile(path.left, _descend(_compile(path.right, after)))
        case Fields(fields=(str(name),)):
            return _select_one(name, after)
        case Fields():
            return _select(_field_keys(path.fields), after)
        case Wildcard():
            return _select(all_keys, after)
        case Index():
            return _select(_index_keys(path.indices), after)
        case Slice():
            return _select(_slice_keys(slice(path.start, path.end, path.step)), after)
        case Filter() if not path._references_root():
            return _select(_filter_keys(path), after)
    raise UnsupportedPath(f"not supported here: {path}")


def _select_one(name: str, after: Walk) -> Walk:
    """As `_select` of one field, which most steps are."""
    if after is _VISIT:
        keys = (name,)

        def end(node: Any, trail: Trail, visit: Visit) -> None:
            if isinstance(node, dict) and name in node:
                visit(node, keys, trail)

        return end

    def step(node: Any, trail: Trail, visit: Visit) -> None:
        if isinstance(node, dict) and name in node:
            after(node[name], (trail, name), visit)

    return step


type _Keys = Callable[[Any], Iterable[Any]]


def _select(keys: _Keys, after: Walk) -> Walk:
    if after is _VISIT:

        def end(node: Any, trail: Trail, visit: Visit) -> None:
            if selected := keys(node):
                visit(node, selected, trail)

        return end

    def step(node: Any, trail: Trail, visit: Visit) -> None:
        for key in keys(node):
            after(node[key], (trail, key), visit)

    return step


def _descend(after: Walk) -> Walk:
    if after is _VISIT:
        raise UnsupportedPath("selects the whole object: name a field")

    def walk(node: Any, trail: Trail, visit: Visit) -> None:
        after(node, trail, visit)
        if isinstance(node, dict):
            for key, value in node.items():
                if isinstance(value, (dict, list)):
                    walk(value, (trail, key), visit)
        elif isinstance(node, list):
            for index, value in enumerate(node):
                if isinstance(value, (dict, list)):
                    walk(value, (trail, index), visit)

    return walk


def all_keys(node: Any) -> Iterable[Any]:
    """The keys of an object, the indexes of a list, none of anything else."""
    if isinstance(node, dict):
        return node
    return range(len(node)) if isinstance(node, list) else ()


def _field_keys(names: Iterable[str]) -> _Keys:
    wanted = tuple(names)
    return lambda node: [name for name in wanted if name in node] if isinstance(node, dict) else ()


def _index_keys(indices: Iterable[int]) -> _Keys:
    wanted = tuple(indices)
    return lambda node: (
        [index % len(node) for index in wanted if -len(node) <= index < len(node)] if isinstance(node, list) else ()
    )


def _slice_keys(wanted: slice) -> _Keys:
    if wanted.step == 0:
        raise UnsupportedPath("a slice with step 0 selects nothing")
    return lambda node: range(len(node))[wanted] if isinstance(node, list) else ()


def _filter_keys(path: Filter) -> _Keys:
    def keys(node: Any) -> list[Any]:
        found = path.find(DatumInContext(node))
        return [datum.path.indices[0] if isinstance(node, list) else datum.path.fields[0] for datum in found]

    return keys
