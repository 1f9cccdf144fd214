"""The dry run of a request: which requests have one that is safe, and its target.

Safe means that asking changes nothing and gives nothing away. Refused here, whatever a rule would like to know:
* DELETE: its options may come in the body, and then the query's dryRun does not count: the object is really deleted;
* a service account's token: the dry run mints a token that works;
* streams into pods and nodes, and everything behind `proxy`: nobody there knows of dryRun.
An aggregated API may not know of dryRun either, and would do what it is asked for real; whether an operation takes the
parameter is in the server's OpenAPI documents, which is where kubectl looks before a `--dry-run=server`.
Sources: https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run; `url.ParseQuery` in Go's net/url;
`QueryParamVerifierV3` in k8s.io/cli-runtime/pkg/resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus

Operations = frozenset[tuple[str, tuple[str, ...]]]
"""Method and path segments; a segment in braces stands for any."""

_METHODS = frozenset({"POST", "PUT", "PATCH"})
_STREAMS = frozenset({"exec", "attach", "portforward", "proxy"})
_OF_NAMESPACES = frozenset({"status", "finalize"})


class UnsafeDryRun(ValueError):
    """Asking for this dry run could change something or hand something out."""


def dry_run_target(method: str, target: str) -> str:
    """`target` with `dryRun=All` as its only dryRun; every other parameter stays as it is, byte for byte.

    Raises UnsafeDryRun for requests without a safe dry run.
    """
    path, _, query = target.partition("?")
    if method not in _METHODS:
        raise UnsafeDryRun(f"{method} has no safe dry run")
    resource, subresource = resource_of(path)
    if subresource in _STREAMS:
        raise UnsafeDryRun("a stream or a proxied request has no dry run")
    if (resource, subresource) == ("serviceaccounts", "token"):
        raise UnsafeDryRun("the dry run of a TokenRequest mints a token")
    kept = [pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) != "dryRun"]
    return f"{path}?{'&'.join([*kept, 'dryRun=All'])}"


def group_version_of(target: str) -> tuple[str, str]:
    """The API group (`""` is the core group) and version of a resource's path. Raises UnsafeDryRun for other paths."""
    match _segments(target):
        case ["api", version, _, *_]:
            return "", version
        case ["apis", group, version, _, *_]:
            return group, version
    raise UnsafeDryRun("not the path of a resource")


def resource_of(target: str) -> tuple[str, str]:
    """Resource and subresource of a path, by position: an object may well be named `proxy`. Raises UnsafeDryRun."""
    group, _ = group_version_of(target)
    rest = _segments(target)[3 if group else 2 :]
    if rest[0] in ("proxy", "watch"):
        raise UnsafeDryRun("a stream or a proxied request has no dry run")
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _OF_NAMESPACES:
        rest = rest[2:]
    return rest[0], rest[2] if len(rest) > 2 else ""


def dry_run_operations(openapi: Mapping[str, Any]) -> Operations:
    """The operations of an OpenAPI v3 document that take `dryRun`. Anything unexpected in it is no such operation."""
    return frozenset(
        (method.upper(), tuple(path.strip("/").split("/")))
        for path, item in _mapping(openapi.get("paths")).items()
        for method, operation in _mapping(item).items()
        if _takes_dry_run(item) or _takes_dry_run(operation)
    )


def takes_dry_run(operations: Operations, method: str, target: str) -> bool:
    """True if one of the operations is that of this request."""
    segments = _segments(target)
    return any(
        method == known
        and len(template) == len(segments)
        and all(part.startswith("{") or part == segment for part, segment in zip(template, segments, strict=True))
        for known, template in operations
    )


def _segments(target: str) -> list[str]:
    return unquote(target.partition("?")[0]).strip("/").split("/")


def _takes_dry_run(part: Any) -> bool:
    parameters = _mapping(part).get("parameters")
    return isinstance(parameters, list) and any(_mapping(each).get("name") == "dryRun" for each in parameters)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
