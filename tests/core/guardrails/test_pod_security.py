from __future__ import annotations

from typing import Any

import pytest

from addons.core.guardrails.object_facts import without_nulls
from addons.core.guardrails.pod_security import LEVELS, violations
from addons.core.guardrails.pod_specs import Pod, pods_of
from tests.support.pod_security import Case, cases, changed

ALL = list(cases())


def failed(pod: dict[str, Any]) -> set[str]:
    found = violations(pods_of("", "pods", without_nulls(pod)))
    return {*found["baseline"], *found["restricted"]}


@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_each_check(case: Case) -> None:
    assert failed(case.pod) == case.fails


def test_every_check_has_a_pod_that_fails_it() -> None:
    assert {check for case in ALL for check in case.fails} == {check for checks in LEVELS.values() for check in checks}


def test_ephemeral_containers_are_containers() -> None:
    debug = {"name": "debug", "image": "i", "securityContext": {"privileged": True, "runAsUser": 0}}
    assert failed(changed({"ephemeralContainers": [debug]})) >= {"privileged", "runAsUser", "capabilities_restricted"}


def test_one_pod_of_several_is_enough() -> None:
    assert violations([Pod({}, {}), Pod({"hostPID": True}, {})])["baseline"] == ["hostNamespaces"]
    assert violations([]) == {"baseline": [], "restricted": []}


def test_of_a_fragment_only_what_it_says_counts() -> None:
    """What completes it may say the rest."""
    fragment = {"containers": [{"securityContext": {"runAsUser": 1}}], "securityContext": {"fsGroup": 1}}
    assert violations([Pod(fragment, {}, whole=False)]) == {"baseline": [], "restricted": []}
    root = {"containers": [{"securityContext": {"runAsNonRoot": False, "allowPrivilegeEscalation": True}}]}
    assert violations([Pod(root, {}, whole=False)])["restricted"] == ["allowPrivilegeEscalation", "runAsNonRoot"]


@pytest.mark.parametrize("value", [None, 1, "x", True, [], ["x", 1], {}, {"type": []}, {"add": [[]], "drop": 1}])
def test_fields_of_another_type_never_raise(value: Any) -> None:
    """The API server refuses them; what is judged must not fall over before."""
    for name in ("securityContext", "volumes", "containers", "os"):
        violations([Pod({name: value}, {"annotations": value})])
    for name in ("securityContext", "ports", "lifecycle", "livenessProbe"):
        violations([Pod({"containers": [{name: value}], "volumes": [value]}, {})])
    for name in ("capabilities", "seccompProfile", "seLinuxOptions", "sysctls", "windowsOptions", "procMount"):
        context = {name: value}
        violations([Pod({"containers": [{"securityContext": context}], "securityContext": context}, {})])
