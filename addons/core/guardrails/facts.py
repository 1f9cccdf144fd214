"""What a condition may refer to: the variables of the rule language, built only when some rule reads them.

Names are ValidatingAdmissionPolicy's where it has them (`object`, `oldObject`, `request.operation`, `request.resource`,
`request.subResource`, `request.userInfo`, …; k8s.io/api/admission/v1 `AdmissionRequest`), ours otherwise.
Those about the object of a write are in `object_facts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from addons.core.argv import read_command_line
from addons.core.grant import Grant
from addons.core.guardrails.answer import Answer
from addons.core.guardrails.cel import LINE_PROGRAMS
from addons.core.guardrails.matching import reaches_many
from addons.core.guardrails.object_facts import OBJECT_VARIABLES, object_variables, without_nulls
from addons.core.guardrails.rate import Rate
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.proxy_target import proxy_target
from addons.core.session_events import Copied, Event, Line, Reached

OPERATIONS = {
    "create": "CREATE",
    "update": "UPDATE",
    "patch": "UPDATE",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One request with everything known about it. `object` is the effective object, `now` is Unix seconds."""

    request: KubeRequest
    object: Mapping[str, Any] | None = None
    old_object: Mapping[str, Any] | None = None
    identity: Identity | None = None
    grant: Grant | None = None
    connection: str = ""
    now: float = 0.0
    frozen: tuple[str, ...] | None = None
    rate: Rate | None = None
    affected: int | None = None
    """These three None: nobody asked. A condition that reads one of them then has no answer."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """What policy services said, by the rule that asked."""
    event: Event | None = None
    """What happens in a session, for rules with `each`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What must be fetched before judging. Fetching costs a dry run or a read at the API server."""

    object: bool = False
    old_object: bool = False
    affected: bool = False
    frozen: bool = False


def variables(facts: Facts, references: frozenset[str]) -> dict[str, Any]:
    """Values for `references`. What should be known and is not stays unbound: reading it is an error.

    Raises Unevaluable for an object nested too deep to be handed to the engine.
    """
    known: dict[str, Any] = {}
    if references & OBJECT_VARIABLES:
        known.update(object_variables(references, facts.request, facts.object, facts.old_object))
    for name in references & _SIMPLE.keys():
        known[name] = _SIMPLE[name](facts)
    for name in references & _ASKED.keys():
        if (value := _ASKED[name](facts)) is not None:
            known[name] = value
    if LINE_PROGRAMS in references and isinstance(facts.event, Line):
        known["line"]["programs"] = _programs(facts.event)
    return known


def unasked(facts: Facts, references: frozenset[str]) -> list[str]:
    """The names among `references` that have no value because nobody asked for one."""
    return sorted(name for name in references & _ASKED.keys() if _ASKED[name](facts) is None)


_NOBODY = Identity(iss="", sub="", aud=(), exp=0)
_NO_GRANT = Grant(id="", identity=_NOBODY, connection="", role="", not_before_at=0, expires_at=0)
"""For questions about the rules themselves (`chaperone explain`). The gateway judges nobody it does not know."""


def _request(facts: Facts) -> dict[str, Any]:
    request = facts.request
    query: dict[str, list[str]] = {}
    for key, value in request.query:
        query.setdefault(key, []).append(value)
    return {
        "operation": "CONNECT" if request.is_connect else OPERATIONS.get(request.verb, ""),
        "resource": {"group": request.api_group, "version": request.api_version, "resource": request.resource},
        "subResource": request.subresource,
        "namespace": request.namespace,
        "name": request.name,
        "dryRun": request.dry_run,
        "options": request.delete_options.named(),
        "userInfo": _user_info(facts.identity),
        "verb": request.verb,
        "method": request.method,
        "path": request.path,
        "parts": list(request.parts),
        "fieldSelector": request.field_selector,
        "labelSelector": request.label_selector,
        "query": query,
        "upgrade": request.upgrade,
    }


def _exec(facts: Facts) -> dict[str, Any]:
    request = facts.request
    line = read_command_line(request.argv)
    return {
        "argv": list(request.argv),
        "line": " ".join(request.argv),
        "program": line.program,
        "programs": list(line.programs),
        "shell": line.shell,
        "script": line.script,
        "transfers": list(line.transfers),
        "container": request.container,
        "stdin": request.stdin,
        "tty": request.tty,
        "ports": list(request.ports),
    }


def _user_info(identity: Identity | None) -> dict[str, Any]:
    return {"username": identity.username if identity else "", "groups": list(identity.groups) if identity else []}


def _identity(facts: Facts) -> dict[str, Any]:
    identity = facts.identity or _NOBODY
    return {
        "iss": identity.iss,
        "sub": identity.sub,
        "aud": list(identity.aud),
        "groups": list(identity.groups),
        "act": identity.act,
        "owner": identity.owner,
        "username": _user_info(facts.identity)["username"],
        "claims": without_nulls(dict(identity.claims)),
    }


def _grant(facts: Facts) -> dict[str, Any]:
    grant = facts.grant or _NO_GRANT
    return {
        "id": grant.id,
        "role": grant.role,
        "intent": grant.intent,
        "grantedBy": grant.granted_by,
        "notBefore": _rfc3339(grant.not_before_at),
        "expires": _rfc3339(grant.expires_at),
    }


def _rfc3339(at: float) -> str:
    """Text, as in every Kubernetes object: `timestamp(grant.expires)`. Only whole variables can be CEL timestamps."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _programs(line: Line) -> list[str]:
    """Those that a shell would start, were this line a script."""
    return [*read_command_line(("sh", "-c", line.text)).programs[1:]]


_SIMPLE: Mapping[str, Callable[[Facts], Any]] = {
    "request": _request,
    "exec": _exec,
    "proxy": lambda facts: asdict(proxy_target(facts.request)),
    "identity": _identity,
    "grant": _grant,
    "connection": lambda facts: facts.connection,
    "now": lambda facts: datetime.fromtimestamp(facts.now, UTC),
}
_ASKED: Mapping[str, Callable[[Facts], Any]] = {
    "frozen": lambda facts: None if facts.frozen is None else list(facts.frozen),
    "rate": lambda facts: None if facts.rate is None else asdict(facts.rate),
    "affected": lambda facts: facts.affected if reaches_many(facts.request) else 1,
    "line": lambda facts: asdict(facts.event) if isinstance(facts.event, Line) else None,
    "file": lambda facts: asdict(facts.event) if isinstance(facts.event, Copied) else None,
    "port": lambda facts: facts.event.port if isinstance(facts.event, Reached) else None,
}
