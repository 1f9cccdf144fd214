"""The Pod Security Standards: which checks of the levels baseline and restricted a pod fails.

Check by check what the API server's own Pod Security admission does at its latest version, under the same ids; tests
ask a real API server. Like there, a check looks at every container, init and ephemeral containers included.
Source: k8s.io/pod-security-admission 0.37, folder `policy`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from addons.core.guardrails.pod_shape import mapping, mappings
from addons.core.guardrails.pod_specs import Pod

Check = Callable[[Pod], bool]

_CAPABILITIES = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID"
    " SYS_CHROOT".split()
)
_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
_PROFILES = frozenset({"RuntimeDefault", "Localhost"})
_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_SYSCTLS = frozenset(
    """
    kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.ip_unprivileged_port_start net.ipv4.ping_group_range
    net.ipv4.tcp_syncookies net.ipv4.ip_local_reserved_ports net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout
    net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes net.ipv4.tcp_rmem net.ipv4.tcp_wmem
    net.ipv4.tcp_slow_start_after_idle net.ipv4.tcp_notsent_lowat
    """.split()
)
_VOLUMES = frozenset(
    "configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret".split()
)
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")


def violations(pods: Iterable[Pod]) -> dict[str, list[str]]:
    """By level, the ids of the checks that some pod fails. What fails baseline fails restricted too: ask for both."""
    pods = list(pods)
    return {
        level: [name for name, fails in checks.items() if any(map(fails, pods))] for level, checks in LEVELS.items()
    }


def _host_namespaces(pod: Pod) -> bool:
    return any(pod.spec.get(field) is True for field in ("hostNetwork", "hostPID", "hostIPC"))


def _privileged(pod: Pod) -> bool:
    return any(context.get("privileged") is True for context in _container_contexts(pod))


def _capabilities_baseline(pod: Pod) -> bool:
    return any(not _CAPABILITIES.issuperset(_capabilities(context, "add")) for context in _container_contexts(pod))


def _host_path_volumes(pod: Pod) -> bool:
    return any("hostPath" in volume for volume in mappings(pod.spec.get("volumes")))


def _host_ports(pod: Pod) -> bool:
    ports = (port for container in pod.containers for port in mappings(container.get("ports")))
    return any(port.get("hostPort", 0) != 0 for port in ports)


def _app_armor_profile(pod: Pod) -> bool:
    annotations = mapping(pod.metadata.get("annotations"))
    return _profile_is_other(pod, "appArmorProfile") or any(
        name.startswith(_APPARMOR_ANNOTATION)
        and value not in ("", "runtime/default")
        and not str(value).startswith("localhost/")
        for name, value in annotations.items()
    )


def _se_linux_options(pod: Pod) -> bool:
    options = (mapping(context.get("seLinuxOptions")) for context in _contexts(pod))
    return any(
        str(option.get("type", "")) not in _SELINUX_TYPES or option.get("user") or option.get("role")
        for option in options
    )


def _proc_mount(pod: Pod) -> bool:
    return not _in_user_namespace(pod) and _proc_mount_restricted(pod)


def _seccomp_profile_baseline(pod: Pod) -> bool:
    return _profile_is_other(pod, "seccompProfile")


def _sysctls(pod: Pod) -> bool:
    sysctls = mappings(mapping(pod.spec.get("securityContext")).get("sysctls"))
    return any(str(sysctl.get("name")) not in _SYSCTLS for sysctl in sysctls)


def _windows_host_process(pod: Pod) -> bool:
    return any(mapping(context.get("windowsOptions")).get("hostProcess") is True for context in _contexts(pod))


def _host_probes_and_host_lifecycle(pod: Pod) -> bool:
    handlers = (handler for container in pod.containers for handler in _handlers(container))
    return any(mapping(handler.get(action)).get("host") for handler in handlers for action in ("httpGet", "tcpSocket"))


def _restricted_volumes(pod: Pod) -> bool:
    """A volume without a source becomes an emptyDir."""
    sources = (volume.keys() - {"name"} for volume in mappings(pod.spec.get("volumes")))
    return any(found and _VOLUMES.isdisjoint(found) for found in sources)


def _allow_privilege_escalation(pod: Pod) -> bool:
    bad = (True, None) if pod.whole else (True,)
    return not _on_windows(pod) and any(
        context.get("allowPrivilegeEscalation") in bad for context in _container_contexts(pod)
    )


def _run_as_non_root(pod: Pod) -> bool:
    """A container's own word counts before the pod's, but a pod that says false is refused whatever they say."""
    by_default = mapping(pod.spec.get("securityContext")).get("runAsNonRoot")
    if _in_user_namespace(pod):
        return False
    bad = (False, None) if pod.whole else (False,)
    return by_default is False or any(
        context.get("runAsNonRoot", by_default) in bad for context in _container_contexts(pod)
    )


def _run_as_user(pod: Pod) -> bool:
    return not _in_user_namespace(pod) and any(context.get("runAsUser") == 0 for context in _contexts(pod))


def _seccomp_profile_restricted(pod: Pod) -> bool:
    """A container without a profile has the pod's."""
    if _on_windows(pod):
        return False
    missing = pod.whole and "seccompProfile" not in mapping(pod.spec.get("securityContext"))
    return _seccomp_profile_baseline(pod) or (
        missing and any("seccompProfile" not in context for context in _container_contexts(pod))
    )


def _capabilities_restricted(pod: Pod) -> bool:
    return not _on_windows(pod) and any(
        (pod.whole and "ALL" not in _capabilities(context, "drop"))
        or not {"NET_BIND_SERVICE"}.issuperset(_capabilities(context, "add"))
        for context in _container_contexts(pod)
    )


def _proc_mount_restricted(pod: Pod) -> bool:
    return any(context.get("procMount", "Default") != "Default" for context in _container_contexts(pod))


def _on_windows(pod: Pod) -> bool:
    return mapping(pod.spec.get("os")).get("name") == "windows"


def _in_user_namespace(pod: Pod) -> bool:
    return pod.spec.get("hostUsers") is False


def _profile_is_other(pod: Pod, field: str) -> bool:
    profiles = (context.get(field) for context in _contexts(pod))
    return any(profile is not None and str(mapping(profile).get("type")) not in _PROFILES for profile in profiles)


def _handlers(container: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    lifecycle = mapping(container.get("lifecycle"))
    yield from (mapping(container.get(probe)) for probe in _PROBES)
    yield from (mapping(lifecycle.get(hook)) for hook in _HOOKS)


def _contexts(pod: Pod) -> Iterator[Mapping[str, Any]]:
    yield mapping(pod.spec.get("securityContext"))
    yield from _container_contexts(pod)


def _container_contexts(pod: Pod) -> Iterator[Mapping[str, Any]]:
    return (mapping(container.get("securityContext")) for container in pod.containers)


def _capabilities(context: Mapping[str, Any], change: str) -> list[str]:
    named = mapping(context.get("capabilities")).get(change)
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


LEVELS: Mapping[str, Mapping[str, Check]] = {
    "baseline": {
        "hostNamespaces": _host_namespaces,
        "privileged": _privileged,
        "capabilities_baseline": _capabilities_baseline,
        "hostPathVolumes": _host_path_volumes,
        "hostPorts": _host_ports,
        "appArmorProfile": _app_armor_profile,
        "seLinuxOptions": _se_linux_options,
        "procMount": _proc_mount,
        "seccompProfile_baseline": _seccomp_profile_baseline,
        "sysctls": _sysctls,
        "windowsHostProcess": _windows_host_process,
        "hostProbesAndHostLifecycle": _host_probes_and_host_lifecycle,
    },
    "restricted": {
        "restrictedVolumes": _restricted_volumes,
        "allowPrivilegeEscalation": _allow_privilege_escalation,
        "runAsNonRoot": _run_as_non_root,
        "runAsUser": _run_as_user,
        "seccompProfile_restricted": _seccomp_profile_restricted,
        "capabilities_restricted": _capabilities_restricted,
        "procMount_restricted": _proc_mount_restricted,
    },
}
"""The checks of each level, in the order of the standard."""
