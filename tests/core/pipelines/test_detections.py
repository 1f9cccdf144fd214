"""Detection rules written for a cluster's audit log, run on ours: by pySigma and SQLite, on what the gateway records.

The rules here are ours, about the fields that public rules ask for; what the public sets make of the log is in
docs/pipelines.md.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import yaml
from sigma.backends.sqlite.sqlite import sqliteBackend
from sigma.collection import SigmaCollection

from addons.core.audit import Stage
from tests.core.pipelines.events import call, denied, made

RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/a"
EVENTS = [
    made(call("GET /api/v1/secrets")),
    made(call("GET /api/v1/namespaces/a/secrets/s")),
    made(call("POST /api/v1/namespaces/kube-system/pods", object_name="web")),
    made(call("POST /api/v1/namespaces/a/pods/p/exec?command=%2Fbin%2Fsh"), Stage.RESPONSE_STARTED, 101),
    made(call(f"PATCH {RBAC}/rolebindings/r")),
    made(call("DELETE /api/v1/namespaces/a/events/e")),
    denied(),
]


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        ({"verb": "list", "objectRef.resource": "secrets"}, [0]),
        ({"verb": ["get", "list"], "objectRef.resource": "secrets"}, [0, 1, 6]),
        ({"verb": "create", "objectRef.resource": "pods", "objectRef.namespace": "kube-system"}, [2]),
        ({"objectRef.name": "web"}, [2]),
        ({"verb": "create", "objectRef.resource": "pods", "objectRef.subresource": "exec"}, [3]),
        ({"requestURI|contains": ["/bin/sh", "%2Fbin%2Fsh"]}, [3]),
        ({"objectRef.apiGroup": "rbac.authorization.k8s.io", "verb": ["create", "patch", "update"]}, [4]),
        ({"verb": "delete", "objectRef.resource": "events"}, [5]),
        ({"responseStatus.code": [401, 403]}, [6]),
        (
            {"stage": "ResponseComplete", "user.username|contains": "agent", "userAgent|startswith": "kubectl/"},
            [0, 1, 2, 4, 5, 6],
        ),
        ({"sourceIPs|contains": "10.0.0.9", "level": "Metadata", "verb": "watch"}, []),
    ],
)
def test_sigma_rules(selection: dict[str, Any], found: list[int]) -> None:
    rule = {
        "title": "a test",
        "status": "test",
        "logsource": {"category": "application", "product": "kubernetes", "service": "audit"},
        "detection": {"selection": selection, "condition": "selection"},
    }
    (query,) = sqliteBackend().convert(  # type: ignore[no-untyped-call]
        SigmaCollection.from_yaml(yaml.safe_dump(rule))
    )
    assert run(str(query)) == found


def run(query: str) -> list[int]:
    """The numbers of the events that a query finds."""
    rows = [dict(_flat(event)) for event in EVENTS]
    columns = sorted({column for row in rows for column in row})
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"CREATE TABLE logs (number, {', '.join(map(_quoted, columns))})")
        for number, row in enumerate(rows):
            values = [number, *(row.get(column) for column in columns)]
            database.execute(f"INSERT INTO logs VALUES ({', '.join('?' * len(values))})", values)
        return [number for (number,) in database.execute(query.replace("SELECT *", "SELECT number"))]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flat(item, f"{path}.{name}" if path else name)
    else:
        yield path, json.dumps(value) if isinstance(value, list) else value


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
