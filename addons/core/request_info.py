"""What the API server understands a request to be: verb, group, resource, subresource, namespace, name.

Follows `RequestInfoFactory.NewRequestInfo` of k8s.io/apiserver 1.37 (pkg/endpoints/request/requestinfo.go) step by
step, and the query conversions of PodExecOptions, PodAttachOptions and PodPortForwardOptions. Whether such a resource
exists is not asked here: see `resources.py`.
"""

from __future__ import annotations

import re
from typing import Any

from addons.core.delete_options import NO_OPTIONS, DeleteOptions
from addons.core.kube_request import KubeRequest
from addons.core.request_line import AmbiguousRequest, Query
from addons.core.selectors import InvalidSelector, check_label_selector, is_int64, required_value

VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
"""Method to verb. Any other method has the verb "" and is refused."""
_PATH_VERBS = frozenset({"proxy", "watch"})
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_DELETING = frozenset({"delete", "deletecollection"})
_VERBS_WITH_SELECTORS = frozenset({"list", "watch", "deletecollection"})
_PORT = re.compile(r"0*[0-9]{1,5}")


def request_info(method: str, path: str, query: Query = ()) -> KubeRequest:
    """The API server's reading of a request. `path` and `query` are those `parse_target` gives; `method` is as sent.

    Raises AmbiguousRequest for what the API server itself cannot read: a verb in the path without a resource, a port
    that is no number.
    """
    group, version, parts, prefix = _split(path)
    if not parts:
        return KubeRequest(method=method, path=path, query=query, verb=method.lower(), api_prefix=prefix)
    by_path = parts[0] in _PATH_VERBS
    verb = parts[0] if by_path else VERBS.get(method, "")
    namespace, parts = _namespaced(parts[1:] if by_path else parts)
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 and verb != "proxy" else ""
    verb, name = _unnamed(verb, name, query)
    selectable = not by_path and verb in _VERBS_WITH_SELECTORS
    return KubeRequest(
        method=method,
        path=path,
        query=query,
        is_resource_request=True,
        verb=verb,
        api_prefix=prefix,
        api_group=group,
        api_version=version,
        namespace=namespace,
        resource=parts[0],
        subresource=subresource,
        name=name,
        parts=parts,
        field_selector=(_first(query, "fieldSelector") or "") if selectable else "",
        label_selector=(_first(query, "labelSelector") or "") if selectable else "",
        dry_run=_dry_run(query),
        delete_options=_delete_options(query) if query and verb in _DELETING else NO_OPTIONS,
        **_stream_options(group, parts[0], subresource, query),
    )


def is_true(value: str | None) -> bool:
    """A boolean query option: only absence, `0` and `false` in any case are false; `no`, `` and `f` are true."""
    if value is None or value == "0":
        return False
    return value.lower().replace("ſ", "s") != "false"  # Go's strings.EqualFold also folds U+017F


def _split(path: str) -> tuple[str, str, tuple[str, ...], str]:
    """Group, version, the parts after them (none for a non-resource path) and the prefix."""
    segments = path.strip("/").split("/")
    if len(segments) < 3:
        return "", "", (), ""
    if segments[0] == "api":
        return "", segments[1], tuple(segments[2:]), "api"
    if segments[0] == "apis":
        return (segments[1], segments[2], tuple(segments[3:]), "apis") if len(segments) > 3 else ("", "", (), "apis")
    return "", "", (), ""


def _namespaced(parts: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The namespace, and the parts from the resource on."""
    if not parts:
        raise AmbiguousRequest("the path names a verb but no resource")
    if parts[0] != "namespaces" or len(parts) == 1:
        return "", parts
    if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
        return parts[1], parts[2:]
    return parts[1], parts


def _unnamed(verb: str, name: str, query: Query) -> tuple[str, str]:
    """Without a name, get is list or watch (and may be narrowed to one name), and delete is deletecollection."""
    if name:
        return verb, name
    if verb == "get":
        watch, name = _list_options(query) if query else (False, "")
        return "watch" if watch else "list", name
    return ("deletecollection" if verb == "delete" else verb), name


def _list_options(query: Query) -> tuple[bool, str]:
    """Whether it is a watch, and the one name it is narrowed to.

    One option that does not decode and the API server ignores all but `watch`, which it then reads by another rule.
    """
    watch = _first(query, "watch")
    try:
        for option in ("timeoutSeconds", "limit"):
            value = _first(query, option)
            if value is not None and not is_int64(value):
                raise InvalidSelector(option)
        check_label_selector(_first(query, "labelSelector") or "")
        name = required_value(_first(query, "fieldSelector") or "", "metadata.name") or ""
    except InvalidSelector:
        return watch is not None and watch.lower() not in ("0", "false"), ""
    return is_true(watch), "" if name in (".", "..") or "/" in name or "%" in name else name


def _dry_run(query: Query) -> bool:
    values = [value for key, value in query if key == "dryRun"]
    return bool(values) and all(value == "All" for value in values)


def _delete_options(query: Query) -> DeleteOptions:
    grace = _first(query, "gracePeriodSeconds") or ""
    return DeleteOptions(
        grace_period_seconds=int(grace) if is_int64(grace) else None,
        propagation_policy=_first(query, "propagationPolicy") or "",
        orphan_dependents=is_true(_first(query, "orphanDependents")),
        ignore_store_read_error=is_true(_first(query, "ignoreStoreReadErrorWithClusterBreakingPotential")),
    )


def _stream_options(group: str, resource: str, subresource: str, query: Query) -> dict[str, Any]:
    if group or resource != "pods":
        return {}
    if subresource in ("exec", "attach"):
        options: dict[str, Any] = {name: is_true(_first(query, name)) for name in _STREAMS}
        options["container"] = _first(query, "container") or ""
        if subresource == "exec":
            options["argv"] = tuple(value for key, value in query if key == "command")
        return options
    return {"ports": _ports(query)} if subresource == "portforward" else {}


_STREAMS = ("stdin", "stdout", "stderr", "tty")


def _ports(query: Query) -> tuple[int, ...]:
    numbers = [number for key, value in query if key == "ports" for number in value.split(",")]
    if not all(_PORT.fullmatch(number) and int(number) < 65536 for number in numbers):
        raise AmbiguousRequest("ports must be numbers below 65536")
    return tuple(int(number) for number in numbers)


def _first(query: Query, key: str) -> str | None:
    for name, value in query:
        if name == key:
            return value
    return None
