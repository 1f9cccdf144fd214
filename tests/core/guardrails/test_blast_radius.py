from __future__ import annotations

from typing import Any

import pytest

from addons.core.guardrails.blast_radius import count, list_target
from addons.core.guardrails.selftest import request_of

PODS = "/api/v1/namespaces/a/pods"


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        (PODS, f"{PODS}?limit=500"),
        (f"{PODS}?labelSelector=a%3Db%2Cc+in+%28d%29", f"{PODS}?labelSelector=a%3Db%2Cc+in+%28d%29&limit=500"),
        (
            f"{PODS}?fieldSelector=status.phase%3DFailed&labelSelector=x&labelSelector=y&limit=1&continue=z",
            f"{PODS}?labelSelector=x&fieldSelector=status.phase%3DFailed&limit=500",
        ),
        (f"{PODS}?labelSelector=&dryRun=All&gracePeriodSeconds=0&resourceVersion=1", f"{PODS}?limit=500"),
    ],
)
def test_the_same_selectors_and_nothing_else(target: str, asked: str) -> None:
    assert list_target(request_of(f"DELETE {target}")) == asked


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ({"metadata": {}, "items": []}, 0),
        ({"metadata": {"resourceVersion": "1"}, "items": [{}] * 3}, 3),
        ({"metadata": {"continue": "x", "remainingItemCount": 700}, "items": [{}] * 500}, 1200),
        ({"metadata": {"continue": "x"}, "items": [{}] * 500}, 501),
        ({"metadata": {"continue": "x", "remainingItemCount": -7}, "items": [{}]}, 1),
        ({"metadata": {"continue": "", "remainingItemCount": None}, "items": [{}]}, 1),
        ({"items": [{}]}, None),
        ({"metadata": {}, "items": None}, None),
        ({"metadata": {}, "items": None, "kind": "PartialObjectMetadataList"}, 0),
        ({"metadata": {}, "kind": "PodList"}, 0),
        ({"metadata": {}, "kind": "Pod"}, None),
    ],
)
def test_objects_are_counted(answer: dict[str, Any], number: int | None) -> None:
    assert count(answer) == number
