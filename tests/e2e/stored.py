"""What a cluster stores, without what differs from one object to the next."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support.kubernetes import Kubectl

ASSIGNED = ("uid", "creationTimestamp", "managedFields", "resourceVersion", "generation")
"""By the API server, to each object anew."""
ALLOCATED = ("clusterIP", "clusterIPs", "nodeName")
BY_CONTROLLERS = "deployment.kubernetes.io/revision"
VARYING = r"kube-api-access-[a-z0-9]{5}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
"""Names that are made up, and times."""


def stored(admin: Kubectl, kind: str, name: str) -> dict[str, Any]:
    """The object without what the server allots and controllers add; `NS` stands for the namespace's name."""
    found = admin.get(kind, name)
    text = json.dumps({key: value for key, value in found.items() if key != "status"})
    text = text.replace(found["metadata"]["uid"], "UID").replace(admin.namespace, "NS")
    plain: dict[str, Any] = json.loads(re.sub(VARYING, "VARYING", text))
    for key in ASSIGNED:
        plain["metadata"].pop(key, None)
    for key in ALLOCATED:
        plain.get("spec", {}).pop(key, None)
    # Without the last annotation there is no map of them either.
    annotations = plain["metadata"].pop("annotations", {})
    plain["annotations"] = {key: value for key, value in annotations.items() if key != BY_CONTROLLERS}
    return plain
