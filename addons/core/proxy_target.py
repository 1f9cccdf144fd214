"""Where a request through the API server's proxies goes: which backend, and what a kubelet would do with it.

`nodes/NAME/proxy/…` is the kubelet's whole API, where GET runs commands too; `pods` and `services` reach any server.
Sources: `SplitSchemeNamePort` in k8s.io/apimachinery/pkg/util/net/port_split.go; the handlers of
k8s.io/kubernetes/pkg/kubelet/server/server.go 1.37.
"""

from __future__ import annotations

from dataclasses import dataclass

from addons.core.kube_request import KubeRequest

_SCHEMES = frozenset({"", "http", "https"})
_KUBELET = {
    **dict.fromkeys(("metrics", "stats"), "metrics"),
    **dict.fromkeys(("healthz", "configz", "statusz", "flagz"), "status"),
    **dict.fromkeys(("pods", "runningpods", "allocatedPods"), "pods"),
    **dict.fromkeys(("logs", "containerLogs"), "logs"),
    **dict.fromkeys(("exec", "attach", "run", "portForward", "cri", "checkpoint"), "command"),
    "debug": "debug",
}
"""The first word of a kubelet's path to what it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyTarget:
    """`name` is empty when the API server would not understand it; then scheme and port are too."""

    scheme: str = ""
    name: str = ""
    port: str = ""
    path: str = ""
    """What the backend is asked, from its `/` on."""
    kubelet: str = ""
    """`metrics`, `status`, `pods`, `logs`, `command`, `debug`; empty for any other path, and when it is no node."""


def proxy_target(request: KubeRequest) -> ProxyTarget:
    """The target of a proxy request; empty for every other request."""
    if request.subresource != "proxy" or not request.is_connect:
        return ProxyTarget()
    scheme, name, port = _split(request.name)
    rest = request.parts[3:]
    kubelet = _KUBELET.get(rest[0], "") if rest and request.resource == "nodes" else ""
    return ProxyTarget(scheme=scheme, name=name, port=port, path="/" + "/".join(rest), kubelet=kubelet)


def _split(text: str) -> tuple[str, str, str]:
    """`NAME`, `NAME:PORT` or `SCHEME:NAME:PORT` as scheme, name, port."""
    match text.split(":"):
        case [name] if name:
            return "", name, ""
        case [name, port] if name:
            return "", name, port
        case [scheme, name, port] if name and scheme in _SCHEMES:
            return scheme, name, port
    return "", "", ""
