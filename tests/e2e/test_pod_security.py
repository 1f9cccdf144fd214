"""Our Pod Security checks agree with the API server's own, check by check and both ways: it is asked to admit each pod.

Pod Security admission is built into it; a namespace's labels say which level it enforces. Nothing is stored.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from addons.core.documents import parse_documents
from addons.core.guardrails import Facts, GuardrailSet, compile_guardrails
from addons.core.guardrails.object_facts import without_nulls
from addons.core.guardrails.pod_security import violations
from addons.core.guardrails.pod_specs import pods_of
from addons.core.guardrails.recall import judged_example
from addons.core.guardrails.selftest import request_of
from tests.support.kubernetes import Kubectl
from tests.support.pod_security import IMAGE, Case, cases

RULES = Path(__file__).parents[2] / "rules" / "guardrails"
LEVELS = ("baseline", "restricted")
REASONS = {
    "host namespaces": "hostNamespaces",
    "privileged": "privileged",
    "non-default capabilities": "capabilities_baseline",
    "hostPath volumes": "hostPathVolumes",
    "hostPort": "hostPorts",
    "forbidden AppArmor profile": "appArmorProfile",
    "forbidden AppArmor profiles": "appArmorProfile",
    "seLinuxOptions": "seLinuxOptions",
    "procMount": "procMount",
    "seccompProfile": "seccompProfile_baseline",
    "forbidden sysctls": "sysctls",
    "hostProcess": "windowsHostProcess",
    "probe or lifecycle host": "hostProbesAndHostLifecycle",
    "restricted volume types": "restrictedVolumes",
    "allowPrivilegeEscalation != false": "allowPrivilegeEscalation",
    "runAsNonRoot != true": "runAsNonRoot",
    "runAsUser=0": "runAsUser",
    "unrestricted capabilities": "capabilities_restricted",
}
"""What the API server says of a failed check, and the check's id."""
OVERRIDES = {"seccompProfile_baseline": "seccompProfile_restricted", "procMount": "procMount_restricted"}
"""Checks of restricted that take a baseline check's place and say the same."""
COVERED = frozenset({"capabilities_baseline", "hostPathVolumes", *OVERRIDES})
"""Baseline checks that restricted replaces by a stricter one."""
INVALID = 422


@pytest.fixture(scope="module")
def namespaces(kubectl: Kubectl) -> Iterator[dict[str, str]]:
    """A namespace for each level, which enforces it."""
    names = {level: f"{level}-{secrets.token_hex(4)}" for level in LEVELS}
    for level, name in names.items():
        kubectl("create", "namespace", name)
        kubectl("label", "namespace", name, f"pod-security.kubernetes.io/enforce={level}")
        kubectl.within(name)("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield names
    kubectl("delete", "namespace", *names.values(), "--wait=false")


@pytest.fixture(scope="module")
def rules() -> GuardrailSet:
    """The two files that are the Pod Security Standards."""
    documents = [
        document
        for level in LEVELS
        for document in parse_documents((RULES / f"pod-security-{level}.yaml").read_text(), level)[0]
    ]
    guardrails, problems = compile_guardrails(documents)
    assert problems == []
    return guardrails


def their_answer(http: httpx.Client, namespace: str, level: str, pod: dict[str, Any]) -> set[str] | None:
    """The checks that the API server says a pod fails; None for a pod it does not take for a pod."""
    reply = http.post(f"/api/v1/namespaces/{namespace}/pods?dryRun=All", json=pod)
    if reply.status_code == INVALID:
        return None
    if reply.status_code == 201:
        return set()
    assert reply.status_code == 403, reply.text
    said = reply.json()["message"].partition(f'violates PodSecurity "{level}:latest": ')[2]
    found = {name for reason, name in REASONS.items() if re.search(rf"(^|, ){re.escape(reason)}( \(|, |$)", said)}
    assert found, reply.text
    return {OVERRIDES.get(name, name) for name in found} if level == "restricted" else found


def our_answer(level: str, pod: dict[str, Any]) -> set[str]:
    found = violations(pods_of("", "pods", without_nulls(pod)))
    if level == "baseline":
        return set(found["baseline"])
    return {*found["baseline"], *found["restricted"]} - COVERED


def by_our_rules(rules: GuardrailSet, level: str, pod: dict[str, Any]) -> bool:
    """True if a rule of this level, or of a milder one, matches."""
    files = LEVELS[: LEVELS.index(level) + 1]
    facts = Facts(request=request_of("POST /api/v1/namespaces/a/pods"), object=pod)
    return any(rules.rules[match.rule].file in files for match in judged_example(rules, facts).matches)


CASES = list(cases())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_check(
    case: Case, level: str, admin_http: httpx.Client, namespaces: dict[str, str], rules: GuardrailSet
) -> None:
    theirs = their_answer(admin_http, namespaces[level], level, case.pod)
    if theirs is None:
        assert "procMount" in case.fails, "an unmasked /proc without a user namespace is not even valid"
        return
    assert our_answer(level, case.pod) == theirs
    assert by_our_rules(rules, level, case.pod) is bool(theirs)


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


BOOL = st.booleans()
NAMES = st.lists(st.sampled_from(["ALL", "NET_BIND_SERVICE", "CHOWN", "NET_RAW", "SYS_ADMIN"]), max_size=2, unique=True)
PROFILE = st.sampled_from(
    [{"type": "RuntimeDefault"}, {"type": "Unconfined"}, {"type": "Localhost", "localhostProfile": "p"}]
)
SELINUX = maybe(
    type=st.sampled_from(["container_t", "spc_t", ""]), user=st.sampled_from(["", "u"]), level=st.just("s0")
)
USERS = st.sampled_from([0, 1, 1000])
POD_CONTEXT = maybe(
    runAsNonRoot=BOOL,
    runAsUser=USERS,
    seccompProfile=PROFILE,
    appArmorProfile=PROFILE,
    seLinuxOptions=SELINUX,
    sysctls=st.lists(
        st.sampled_from([{"name": "net.ipv4.tcp_rmem", "value": "1"}, {"name": "kernel.msgmax", "value": "1"}]),
        max_size=1,
    ),
)
CONTEXT = maybe(
    privileged=BOOL,
    allowPrivilegeEscalation=BOOL,
    runAsNonRoot=BOOL,
    runAsUser=USERS,
    capabilities=maybe(add=NAMES, drop=NAMES),
    procMount=st.sampled_from(["Default", "Unmasked"]),
    seccompProfile=PROFILE,
    appArmorProfile=PROFILE,
    seLinuxOptions=SELINUX,
)
HANDLER = st.sampled_from(
    [
        {"httpGet": {"port": 80, "host": "10.0.0.1"}},
        {"httpGet": {"port": 80, "path": "/"}},
        {"tcpSocket": {"port": 80, "host": "db"}},
        {"exec": {"command": ["true"]}},
    ]
)
CONTAINER = maybe(
    securityContext=CONTEXT,
    readinessProbe=HANDLER,
    lifecycle=maybe(preStop=HANDLER),
    ports=st.sampled_from([[], [{"containerPort": 80}], [{"containerPort": 80, "hostPort": 80}]]),
)
VOLUME: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"emptyDir": {}},
        {},
        {"hostPath": {"path": "/tmp"}},
        {"nfs": {"server": "10.0.0.1", "path": "/"}},
        {"secret": {"secretName": "s"}},
    ]
)


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    """A pod with some of the fields that decide."""
    spec = draw(
        maybe(
            securityContext=POD_CONTEXT,
            hostNetwork=BOOL,
            hostPID=BOOL,
            hostUsers=BOOL,
            os=st.just({"name": "linux"}),
        )
    )
    for key, size in (("containers", 1), ("initContainers", 0)):
        found = draw(st.lists(CONTAINER, min_size=size, max_size=2))
        spec[key] = [{"name": f"{key.lower()}{n}", "image": IMAGE, **fields} for n, fields in enumerate(found)]
    if spec.get("hostNetwork"):
        # The API server then takes every port for a port of the node, which no client says.
        spec["hostNetwork"] = not any(
            "hostPort" not in port for container in spec["containers"] for port in container.get("ports", ())
        )
    spec["volumes"] = [{"name": f"v{n}", **source} for n, source in enumerate(draw(st.lists(VOLUME, max_size=2)))]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


@given(pods(), st.sampled_from(LEVELS))
@settings(
    max_examples=400,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_pod(
    admin_http: httpx.Client, namespaces: dict[str, str], rules: GuardrailSet, pod: dict[str, Any], level: str
) -> None:
    theirs = their_answer(admin_http, namespaces[level], level, pod)
    assume(theirs is not None)
    assert our_answer(level, pod) == theirs
    assert by_our_rules(rules, level, pod) is bool(theirs)


def test_every_reason_was_given(admin_http: httpx.Client, namespaces: dict[str, str]) -> None:
    """No reason of the API server is unknown here: each check has been seen to fail there."""
    given_reasons = {
        name
        for case in CASES
        for level in LEVELS
        for name in their_answer(admin_http, namespaces[level], level, case.pod) or ()
    }
    assert given_reasons == {*REASONS.values(), *OVERRIDES.values()} - {"procMount"}
