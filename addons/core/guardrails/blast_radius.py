"""How many objects a deletecollection reaches, from a list with the same selectors. The question and how its answer is
counted; who asks is `edge/upstream.py`.

Source: `ListMeta.remainingItemCount` in k8s.io/apimachinery/pkg/apis/meta/v1/types.go: absent when there is no more, or
when a selector was used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from addons.core.kube_request import KubeRequest
from addons.core.request_line import canonical_target

PAGE = 500
"""Objects that are counted one by one; beyond it the server says how many are left, or only that there are more."""
ACCEPT = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
"""Names and labels only, where the API can; a plain list where it cannot."""


def list_target(request: KubeRequest) -> str:
    """The list of what a deletecollection selects.

    Nothing else of its query is taken over: a limit would make it fewer, and what it leaves the next request deletes.
    """
    selectors = (("labelSelector", request.label_selector), ("fieldSelector", request.field_selector))
    return canonical_target(request.path, (*((key, value) for key, value in selectors if value), ("limit", str(PAGE))))


def count(answer: Mapping[str, Any]) -> int | None:
    """How many objects a list says there are, at least; None when it is no list."""
    metadata = answer.get("metadata")
    items = answer.get("items")
    if items is None and str(answer.get("kind", "")).endswith("List"):
        items = []  # Go writes null for a list of nothing
    if not isinstance(items, list) or not isinstance(metadata, Mapping):
        return None
    remaining = metadata.get("remainingItemCount")
    if isinstance(remaining, int):
        return len(items) + max(remaining, 0)
    return len(items) + int(bool(metadata.get("continue")))
