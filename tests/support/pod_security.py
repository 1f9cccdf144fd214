"""Pods that pass and pods that fail each check of the Pod Security Standards, all valid for the API server.

Each starts from a pod that passes `restricted`, so that what a case changes is the only thing that can fail it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

IMAGE = "registry.test/web:1"
_CONTEXT = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One pod. `fails` are the ids of the checks it fails; none for a pod that passes."""

    name: str
    pod: dict[str, Any]
    fails: frozenset[str] = field(default=frozenset())


def compliant() -> dict[str, Any]:
    """A pod that passes restricted; new on every call."""
    context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"securityContext": context, "containers": [_container("main")], "initContainers": [_container("first")]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def cases() -> Iterator[Case]:
    """At least one pod that fails and one near miss for each check."""
    yield Case(name="compliant", pod=compliant())
    for fails, changes in _FAILING.items():
        for number, change in enumerate(changes):
            yield Case(name=f"{fails} fails {number}", pod=changed(change), fails=frozenset(fails.split()))
    for check, changes in _PASSING.items():
        for number, change in enumerate(changes):
            yield Case(name=f"{check} passes {number}", pod=changed(change))


def changed(change: dict[str, Any]) -> dict[str, Any]:
    """The compliant pod with these fields. `main`, `first` and `pod` stand for the containers' and the pod's security
    contexts, `container` for fields of the main container, `metadata` for the pod's; all others are fields of the spec.
    """
    pod = compliant()
    spec = pod["spec"]
    for key, value in copy.deepcopy(change).items():
        match key:
            case "main" | "first":
                spec["containers" if key == "main" else "initContainers"][0]["securityContext"] |= value
            case "pod":
                spec["securityContext"] |= value
            case "container":
                spec["containers"][0] |= value
            case "metadata":
                pod["metadata"] |= value
            case _:
                spec[key] = value
    return pod


def _container(name: str) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "securityContext": copy.deepcopy(_CONTEXT)}


def _capabilities(*add: str) -> dict[str, Any]:
    return {"capabilities": {"add": list(add), "drop": ["ALL"]}}


def _handler(place: str, action: str, **more: str) -> dict[str, Any]:
    handler = {action: {"port": 8080, **more}}
    if place in ("postStart", "preStop"):
        return {"container": {"lifecycle": {place: handler}}}
    return {"container": {place: handler}}


def _volume(source: str, **fields: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", source: fields}]}


_APPARMOR = "container.apparmor.security.beta.kubernetes.io/main"
_BARE = {"name": "main", "image": IMAGE}
_USERS = {"hostUsers": False}
_WINDOWS = {
    "os": {"name": "windows"},
    "securityContext": {"runAsNonRoot": True},
    "containers": [_BARE],
    "initContainers": [],
}
_PLACES = ("livenessProbe", "readinessProbe", "startupProbe", "postStart", "preStop")

_FAILING: dict[str, list[dict[str, Any]]] = {
    "hostNamespaces": [{"hostNetwork": True}, {"hostPID": True}, {"hostIPC": True}],
    "privileged allowPrivilegeEscalation": [
        {"main": {"privileged": True, "allowPrivilegeEscalation": True}},
        {"first": {"privileged": True, "allowPrivilegeEscalation": True}},
    ],
    "capabilities_baseline capabilities_restricted": [
        {"main": _capabilities("SYS_ADMIN")},
        {"first": _capabilities("CHOWN", "NET_RAW")},
        {"main": _capabilities("ALL")},
        {"main": _capabilities("chown")},
    ],
    "hostPathVolumes restrictedVolumes": [_volume("hostPath", path="/"), _volume("hostPath", path="/var/log")],
    "hostPorts": [
        {"container": {"ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}]}},
    ],
    "appArmorProfile": [
        {"pod": {"appArmorProfile": {"type": "Unconfined"}}},
        {"main": {"appArmorProfile": {"type": "Unconfined"}}},
        {"metadata": {"annotations": {_APPARMOR: "unconfined"}}},
    ],
    "seLinuxOptions": [
        {"pod": {"seLinuxOptions": {"type": "spc_t"}}},
        {"main": {"seLinuxOptions": {"user": "system_u"}}},
        {"first": {"seLinuxOptions": {"role": "sysadm_r"}}},
    ],
    "procMount procMount_restricted": [{"main": {"procMount": "Unmasked"}, "hostUsers": True}],
    "procMount_restricted": [{"first": {"procMount": "Unmasked"}, **_USERS}],
    "seccompProfile_baseline seccompProfile_restricted": [
        {"pod": {"seccompProfile": {"type": "Unconfined"}}},
        {"main": {"seccompProfile": {"type": "Unconfined"}}},
    ],
    "sysctls": [
        {"pod": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
        {"pod": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}, {"name": "vm.x", "value": "1"}]}},
    ],
    "windowsHostProcess hostNamespaces": [
        {**_WINDOWS, "hostNetwork": True, "pod": {"windowsOptions": {"hostProcess": True}}},
        {
            **_WINDOWS,
            "hostNetwork": True,
            "containers": [{**_BARE, "securityContext": {"windowsOptions": {"hostProcess": True}}}],
        },
    ],
    "hostProbesAndHostLifecycle": [
        *(_handler(place, "httpGet", host="10.0.0.1") for place in _PLACES),
        *(_handler(place, "tcpSocket", host="169.254.169.254") for place in _PLACES),
    ],
    "restrictedVolumes": [
        _volume("nfs", server="10.0.0.1", path="/"),
        _volume("gcePersistentDisk", pdName="d"),
        _volume("awsElasticBlockStore", volumeID="v"),
        _volume("iscsi", targetPortal="10.0.0.1", iqn="iqn.2001-04.com.example:a", lun=0),
        _volume("rbd", monitors=["10.0.0.1"], image="i"),
        _volume("cephfs", monitors=["10.0.0.1"]),
        _volume("flexVolume", driver="example.com/d"),
        _volume("azureFile", secretName="s", shareName="s"),
        _volume("fc", targetWWNs=["a"], lun=1),
    ],
    "allowPrivilegeEscalation": [
        {"main": {"allowPrivilegeEscalation": True}},
        {"first": {"allowPrivilegeEscalation": None}},
    ],
    "runAsNonRoot": [
        {"pod": {"runAsNonRoot": None}},
        {"pod": {"runAsNonRoot": None}, "main": {"runAsNonRoot": True}},
        {"main": {"runAsNonRoot": False}},
        {"pod": {"runAsNonRoot": False}, "main": {"runAsNonRoot": True}, "first": {"runAsNonRoot": True}},
    ],
    "runAsUser": [{"pod": {"runAsUser": 0}}, {"main": {"runAsUser": 0}}, {"first": {"runAsUser": 0}}],
    "seccompProfile_restricted": [
        {"pod": {"seccompProfile": None}},
        {"pod": {"seccompProfile": None}, "main": {"seccompProfile": {"type": "RuntimeDefault"}}},
    ],
    "capabilities_restricted": [
        {"main": {"capabilities": None}},
        {"first": {"capabilities": {"drop": ["CHOWN"]}}},
        {"main": _capabilities("CHOWN")},
    ],
    "allowPrivilegeEscalation seccompProfile_restricted capabilities_restricted": [
        {**_WINDOWS, "os": {"name": "linux"}}
    ],
}
_PASSING: dict[str, list[dict[str, Any]]] = {
    "hostNamespaces": [{"hostNetwork": False, "hostPID": False, "hostIPC": False}],
    "privileged": [{"main": {"privileged": False}}],
    "capabilities": [{"main": _capabilities("NET_BIND_SERVICE")}],
    "hostPorts": [{"container": {"ports": [{"containerPort": 80, "hostPort": 0}]}}],
    "appArmorProfile": [
        {"pod": {"appArmorProfile": {"type": "RuntimeDefault"}}},
        {"main": {"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}},
        {"metadata": {"annotations": {_APPARMOR: "runtime/default"}}},
        {"metadata": {"annotations": {_APPARMOR: "localhost/p"}}},
    ],
    "seLinuxOptions": [
        {"pod": {"seLinuxOptions": {"type": "container_t", "level": "s0:c1"}}},
        {"main": {"seLinuxOptions": {"type": "container_engine_t"}}},
    ],
    "procMount": [{"main": {"procMount": "Default"}}],
    "seccompProfile": [
        {"pod": {"seccompProfile": {"type": "Localhost", "localhostProfile": "p"}}},
        {
            "pod": {"seccompProfile": None},
            "main": {"seccompProfile": {"type": "RuntimeDefault"}},
            "first": {"seccompProfile": {"type": "RuntimeDefault"}},
        },
    ],
    "sysctls": [{"pod": {"sysctls": [{"name": "net.ipv4.tcp_notsent_lowat", "value": "1"}]}}],
    "windows": [_WINDOWS],
    "hostProbesAndHostLifecycle": [
        *(_handler(place, "httpGet", path="/") for place in _PLACES),
        _handler("livenessProbe", "tcpSocket", host=""),
    ],
    "volumes": [
        _volume("emptyDir"),
        _volume("secret", secretName="s"),
        _volume("configMap", name="c"),
        _volume("csi", driver="csi.example.com"),
        _volume("image", reference=IMAGE),
        _volume("projected", sources=[]),
        _volume("persistentVolumeClaim", claimName="c"),
        _volume("downwardAPI", items=[]),
        {"volumes": [{"name": "v"}]},
    ],
    "runAsNonRoot": [
        {"pod": {"runAsNonRoot": None}, "main": {"runAsNonRoot": True}, "first": {"runAsNonRoot": True}},
        {"pod": {"runAsNonRoot": None}, **_USERS},
        {"pod": {"runAsNonRoot": False}, "main": {"runAsNonRoot": False}, **_USERS},
    ],
    "runAsUser": [{"pod": {"runAsUser": 1000}}, {"pod": {"runAsUser": 0}, **_USERS}],
}
