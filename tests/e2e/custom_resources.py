"""Custom resources of tests: one in namespaces, one of the cluster."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tests.e2e.agent import eventually
from tests.support.kubernetes import Kubectl

GROUP = "things.test"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def definition(plural: str, kind: str, scope: str) -> dict[str, Any]:
    """A CustomResourceDefinition whose objects have any spec and a status subresource."""
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [version],
        },
    }


WIDGETS = definition("widgets", "Widget", "Namespaced")
WORLDS = definition("worlds", "World", "Cluster")


def install(admin: Kubectl, *definitions: Mapping[str, Any]) -> None:
    """Installs these, a Widget `w1` and a World `earth`, as the case may be; discovery shows all of it."""
    admin.apply(*copy.deepcopy(definitions))
    for each in definitions:
        admin("wait", "--for=condition=Established", f"crd/{each['metadata']['name']}", "--timeout=30s")
        names = each["spec"]["names"]
        eventually("discovery of it", lambda plural=names["plural"]: plural in served(admin), 30)
        name = {"Widget": "w1", "World": "earth"}.get(names["kind"], "one")
        admin.apply({"apiVersion": f"{GROUP}/v1", "kind": names["kind"], "metadata": {"name": name}, "spec": {}})


def served(admin: Kubectl) -> str:
    """What the cluster's classic discovery says of the group, "" if it does not know it."""
    return admin.run("get", "--raw", f"/apis/{GROUP}/v1").stdout
