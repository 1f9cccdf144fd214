from __future__ import annotations

from typing import Any

import pytest

from addons.core.discovery import group_versions, resource_lists
from addons.core.resources import Resources, UnreadableDiscovery

AGGREGATED: dict[str, Any] = {
    "kind": "APIGroupDiscoveryList",
    "items": [
        {
            "metadata": {"creationTimestamp": None},
            "versions": [{
                "version": "v1",
                "resources": [{
                    "resource": "pods", "scope": "Namespaced", "verbs": ["get"], "responseKind": {"kind": "Pod"},
                    "subresources": [{"subresource": "exec", "verbs": ["create", "get"], "responseKind": None}],
                }],
            }],
        },
        {
            "metadata": {"name": "x.io"},
            "versions": [
                {"version": "v1", "resources": [{"resource": "widgets", "scope": "Cluster", "verbs": ["get"]}]},
                {"version": "v2", "freshness": "Stale"},
            ],
        },
    ],
}  # fmt: skip


def test_aggregated_discovery_becomes_resource_lists() -> None:
    lists = resource_lists(AGGREGATED)
    assert [each["groupVersion"] for each in lists] == ["v1", "x.io/v1", "x.io/v2"]
    resources = Resources.from_discovery(lists)
    pods = resources.get("", "v1", "pods")
    execs, widgets = resources.get("", "v1", "pods", "exec"), resources.get("x.io", "v1", "widgets")
    assert pods is not None and (pods.kind, pods.namespaced, sorted(pods.verbs)) == ("Pod", True, ["get"])
    assert execs is not None and (execs.namespaced, sorted(execs.verbs)) == (True, ["create", "get"])
    assert widgets is not None and not widgets.namespaced
    assert len(resources) == 3


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"items": 5},
        {"items": [{}]},
        {"items": [{"metadata": {}, "versions": [{}]}]},
        {"items": [{"metadata": None, "versions": [{"version": "v1"}]}]},
        {"items": [{"metadata": {}, "versions": [{"version": "v1", "resources": [{"resource": "x"}]}]}]},
    ],
)
def test_what_is_no_aggregated_discovery_is_not_guessed_at(document: dict[str, Any]) -> None:
    with pytest.raises(UnreadableDiscovery):
        resource_lists(document)


def test_classic_discovery_points_on() -> None:
    assert group_versions({"kind": "APIVersions", "versions": ["v1"]}) == ["/api/v1"]
    groups = [{"versions": [{"groupVersion": "apps/v1"}, {"groupVersion": "apps/v1beta1"}]}]
    assert group_versions({"kind": "APIGroupList", "groups": groups}) == ["/apis/apps/v1", "/apis/apps/v1beta1"]


@pytest.mark.parametrize(
    "document", [{}, {"kind": "Status"}, {"kind": "APIVersions"}, {"kind": "APIGroupList", "groups": 1}]
)
def test_what_is_no_classic_discovery_is_not_guessed_at(document: dict[str, Any]) -> None:
    with pytest.raises(UnreadableDiscovery):
        group_versions(document)
