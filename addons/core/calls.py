"""What a session did, out of its audit events: the calls that the API server let through, as RBAC sees them.

Left out is what was refused, by the gateway or by the API server. A call that failed otherwise (404, 409, 422) counts:
the API server asks RBAC first. Of a call that nobody answered it is not known, so it does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_PREFIX = "chaperone.dev/"
_CREATED = 201
_CONNECT = frozenset({"exec", "attach", "portforward", "proxy"})


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """One right that was used. `path` is set for what is no resource; `name` where RBAC can tell names apart."""

    namespace: str
    group: str
    resource: str
    """With its subresource: `pods/log`."""
    verb: str
    name: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a session did. `refused` calls are only counted."""

    calls: frozenset[Call]
    total: int
    refused: int
    users: tuple[str, ...]
    connections: tuple[str, ...]
    roles: tuple[str, ...]
    intents: tuple[str, ...]


def done(events: Iterable[Mapping[str, Any]], read_before: Mapping[str, tuple[str, ...]]) -> Done:
    """The calls of these audit events. `read_before` are verbs the gateway itself used for a call, by audit id."""
    answered = {str(event.get("auditID")): event for event in events if _code(event)}
    passed = {audit_id: event for audit_id, event in answered.items() if not _refused(event)}
    calls = {call for audit_id, event in passed.items() for call in _calls(event, read_before.get(audit_id, ()))}
    return Done(
        calls=frozenset(calls),
        total=len(answered),
        refused=len(answered) - len(passed),
        users=_distinct(str((event.get("user") or {}).get("username", "")) for event in passed.values()),
        connections=_distinct(_note(event, "connection") for event in passed.values()),
        roles=_distinct(_note(event, "role") for event in passed.values()),
        intents=_distinct(_note(event, "intent") for event in passed.values()),
    )


def _calls(event: Mapping[str, Any], read_before: tuple[str, ...]) -> Iterator[Call]:
    target = event.get("objectRef")
    if not target:
        path = str(event.get("requestURI", "")).partition("?")[0]
        yield Call("", "", "", str(event.get("verb", "")), path=path)
        return
    for verb in (*_verbs(event, str(target.get("subresource", ""))), *read_before):
        yield _call(target, verb)


def _verbs(event: Mapping[str, Any], subresource: str) -> tuple[str, ...]:
    """Opening a stream is a get or a create, depending on the client; what creates by update or patch needs both."""
    verb = str(event.get("verb", ""))
    if subresource in _CONNECT:
        return ("create", "get") if subresource != "proxy" else (verb,)
    return (verb, "create") if verb in ("update", "patch") and _code(event) == _CREATED else (verb,)


def _call(target: Mapping[str, Any], verb: str) -> Call:
    resource, subresource, name = (str(target.get(key, "")) for key in ("resource", "subresource", "name"))
    # RBAC knows no name of what is yet to be created; a list or watch has one if it selects metadata.name.
    named = verb not in ("create", "deletecollection") and subresource not in _CONNECT
    return Call(
        "" if resource == "namespaces" else str(target.get("namespace", "")),
        str(target.get("apiGroup", "")),
        f"{resource}/{subresource}" if subresource else resource,
        verb,
        name if named else "",
    )


def _refused(event: Mapping[str, Any]) -> bool:
    return _note(event, "decision") in ("refuse", "deny") or _code(event) in (401, 403)


def _code(event: Mapping[str, Any]) -> int:
    return int((event.get("responseStatus") or {}).get("code") or 0)


def _note(event: Mapping[str, Any], name: str) -> str:
    return str((event.get("annotations") or {}).get(_PREFIX + name, ""))


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({text for text in texts if text}))
