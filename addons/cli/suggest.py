"""`chaperone rules suggest`: the least that a session's calls need, as RBAC and as an Access document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml

from addons.cli.operator import operator
from addons.cli.ruleset import Output
from addons.core.calls import Done, done
from addons.core.documents import API_VERSION
from addons.core.least_privilege import PolicyRule, access_spec, role_rules
from addons.core.printable import printable
from addons.edge.archive import decisions, session

_RBAC = "rbac.authorization.k8s.io"


def suggest(
    session_id: str,
    *,
    name: str = "",
    group: str = "",
    only: Literal["roles", "access"] | None = None,
    output: Output = "text",
    conf: Path = Path("mitm.conf"),
) -> int:
    """Suggest the least-privilege roles, and the gateway's Access document, for what a session did.

    ```
    chaperone rules suggest 3f2a --group agent-narrow --only roles | kubectl apply -f -
    ```

    Calls that were refused do not count. Names are granted where RBAC can tell them apart: not for create, lists and
    deletecollection. What the gateway reads for its rules is included. Rights by which somebody gets more than they
    have are comments, with the reason: a person decides about them.

    Parameters
    ----------
    session_id
        Its id, or how it begins.
    name
        Name of the roles; left out, made of the session's id.
    only
        Only the roles, for `kubectl apply -f -`, or only the Access document.
    group
        Also bind the roles to this Kubernetes group: the one to which the IAM role is mapped.
    """
    stored = session(operator(conf).state, session_id)
    read_before = {
        record.id: _read_before(record.judged.needs.old_object, record.judged.needs.affected)
        for record in decisions(stored.folder)
    }
    found = done(stored.events(), read_before)
    if not found.calls:
        raise LookupError(f"session {stored.id} did nothing that was let through: there is nothing to suggest")
    name = name or f"session-{stored.id[:12].lower()}"
    roles = role_rules(found.calls)
    if output == "json":
        print(json.dumps(_as_json(name, roles, found), indent=2))
    else:
        print("\n".join(_head(stored.id, found)))
        if only != "access":
            print("\n".join(_roles(name, group, roles)))
        if only != "roles":
            print("\n".join(_access(name, found)))
    return 0


def _read_before(old_object: bool, affected: bool) -> tuple[str, ...]:
    """What the gateway asks under the same role: the object that is there, the list of those that would go."""
    return (*(("get",) if old_object else ()), *(("list",) if affected else ()))


def _head(session_id: str, found: Done) -> Iterator[str]:
    yield f"# Session {printable(session_id)}: {found.total} calls, of which {found.refused} were refused and left out."
    for user in found.users:
        yield f"# By {printable(user)}"


def _roles(name: str, group: str, roles: dict[str, list[PolicyRule]]) -> Iterator[str]:
    for namespace, rules in roles.items():
        yield from _role(name, namespace, rules)
        if group and any(not rule.why for rule in rules):
            yield "---"
            yield _yaml(_binding(name, namespace, group))


def _role(name: str, namespace: str, rules: list[PolicyRule]) -> Iterator[str]:
    granted, flagged = ([rule for rule in rules if bool(rule.why) is asked] for asked in (False, True))
    yield "---"
    if granted:
        yield _yaml(_role_document(name, namespace, granted))
    else:
        yield f"# {namespace or 'Cluster scope'}: nothing but what a person should decide about."
    for rule in flagged:
        yield f"# Not granted: {rule.why}."
        yield from (f"# {line}" for line in _yaml([rule.document()]).splitlines())


def _access(name: str, found: Done) -> Iterator[str]:
    spec = access_spec(found)
    if not spec["scope"]["resources"]:
        return
    yield "---"
    yield "# For the gateway. A caller needs the same role with less, so map the IAM role to the roles above."
    if not spec["role"]:
        yield f"# The session used {len(found.roles)} roles: name the one to assume."
    if found.intents:
        yield f"# It said: {printable('; '.join(found.intents))}"
    yield _yaml({"apiVersion": API_VERSION, "kind": "Access", "metadata": {"name": name}, "spec": spec})


def _role_document(name: str, namespace: str, rules: list[PolicyRule]) -> dict[str, Any]:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "rules": [rule.document() for rule in rules],
    }


def _binding(name: str, namespace: str, group: str) -> dict[str, Any]:
    kind = "Role" if namespace else "ClusterRole"
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group}],
    }


def _as_json(name: str, roles: dict[str, list[PolicyRule]], found: Done) -> dict[str, Any]:
    return {
        "calls": found.total,
        "refused": found.refused,
        "roles": [
            _role_document(name, namespace, [rule for rule in rules if not rule.why])
            for namespace, rules in roles.items()
            if any(not rule.why for rule in rules)
        ],
        "flagged": [
            {"namespace": namespace, "why": rule.why, "rule": rule.document()}
            for namespace, rules in roles.items()
            for rule in rules
            if rule.why
        ],
        "access": {"apiVersion": API_VERSION, "kind": "Access", "metadata": {"name": name}, "spec": access_spec(found)},
    }


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=110).rstrip()
