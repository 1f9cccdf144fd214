"""How far a request reaches: said where it is known, and said to be unknown where it is not."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.blast import blast
from addons.core.guardrails.selftest import request_of

APPS = "/apis/apps/v1/namespaces/shop/deployments"
PODS = "/api/v1/namespaces/shop/pods"
OWNED = {"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "controller": True}, {"kind": "X"}]}}


def replicas(count: Any) -> dict[str, Any]:
    return {"spec": {"replicas": count}}


@pytest.mark.parametrize(
    ("line", "facts", "expected"),
    [
        (f"DELETE {PODS}?labelSelector=a", {"affected": 3}, {"objects": "3", "namespaces": "shop"}),
        (f"DELETE {PODS}", {"affected": 501}, {"objects": "more than 500", "namespaces": "shop"}),
        (f"DELETE {PODS}", {}, {"objects": "unknown: all that it selects", "namespaces": "shop"}),
        ("GET /api/v1/secrets", {}, {"objects": "unknown: all that it selects",
         "namespaces": "all, if there are any of it"}),
        ("DELETE /api/v1/namespaces/shop", {}, {"objects": "unknown: the namespace, with everything in it",
         "namespaces": "shop", "owned by": "unknown"}),
        ("DELETE /api/v1/nodes/n1", {"before": {}}, {"objects": "1", "owned by": "nobody",
         "namespaces": "none: it belongs to the whole cluster"}),
        ("POST /api/v1/nodes", {}, {"objects": "1", "namespaces": "none: it belongs to the whole cluster"}),
        (f"DELETE {PODS}/p", {"before": OWNED}, {"objects": "1", "namespaces": "shop",
         "owned by": "ReplicaSet web-1, which may make another one"}),
        (f"PATCH {APPS}/web/scale", {"before": replicas(3), "after": replicas(0)},
         {"objects": "1", "namespaces": "shop", "replicas": "3 → 0"}),
        (f"PATCH {APPS}/web", {"after": {"spec": {}}}, {"objects": "1", "namespaces": "shop",
         "replicas": "unknown → 1"}),
        (f"PUT {APPS}/web", {"before": replicas("x"), "after": replicas(2)},
         {"objects": "1", "namespaces": "shop", "replicas": "unknown → 2"}),
        (f"PUT {APPS}/web/status", {}, {"objects": "1", "namespaces": "shop"}),
        (f"POST {APPS}?dryRun=All", {"after": replicas(2)}, {"objects": "1", "namespaces": "shop",
         "replicas": "0 → 2", "dry run": "nothing is stored"}),
        (f"DELETE {APPS}/web", {"before": {**OWNED, **replicas(3)}},
         {"objects": "1", "namespaces": "shop", "replicas": "3 → 0",
          "owned by": "ReplicaSet web-1, which may make another one",
          "owns": "pods and whatever else it has made are deleted, too"}),
        (f"DELETE {APPS}/web?propagationPolicy=Orphan", {},
         {"objects": "1", "namespaces": "shop", "replicas": "unknown → 0", "owned by": "unknown",
          "owns": "pods and whatever else it has made stay"}),
        (f"GET {PODS}/p/exec?command=ls", {}, {"objects": "1", "namespaces": "shop"}),
        ("GET /version", {}, {}),
    ],
)  # fmt: skip
def test_what_is_known(line: str, facts: dict[str, Any], expected: dict[str, str]) -> None:
    found = blast(request_of(line), facts.get("after"), facts.get("before"), facts.get("affected"))
    assert dict(found) == expected
