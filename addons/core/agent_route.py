"""The route that an agent's requests take by its kubeconfig and its environment, as kubectl and Go clients read them.

Sources: `proxy-url` in k8s.io/client-go/tools/clientcmd/api/v1/types.go; the variables, `FromEnvironment` in
https://pkg.go.dev/golang.org/x/net/http/httpproxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from addons.core.cluster_path import split
from addons.core.kubeconfig import UnusableKubeconfig, entry

_PROXY = ("HTTPS_PROXY", "https_proxy")
_EXCEPT = ("NO_PROXY", "no_proxy")
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_PROFILE",
)  # fmt: skip
"""Variables that give whoever has them another identity than the one the gateway knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where requests go. `server` is the kubeconfig's; `proxy` a URL, empty where there is none."""

    server: str
    host: str
    port: int
    proxy: str
    by_path: bool
    """The server is the gateway itself."""
    server_name: str
    cluster: Mapping[str, Any]
    astray: str
    """Why requests do not go through a gateway, "" where they do."""
    ambiguous: str
    """Why clients may disagree about the route, "" where they cannot."""


def route(document: Mapping[str, Any], context: str, environment: Mapping[str, str]) -> Route:
    """The route of a context, the current one unless it is named. Raises UnusableKubeconfig."""
    name = context or str(document.get("current-context") or "")
    cluster = entry(document, "cluster", str(entry(document, "context", name).get("cluster") or ""))
    server = str(cluster.get("server") or "")
    try:
        parts = urlsplit(server)
        host, port = parts.hostname or "", parts.port or 443
    except ValueError:
        host = ""
    if not host or parts.scheme != "https":
        raise UnusableKubeconfig(f"context {name}: its server is no https:// address")
    by_path, own = split(parts.path) is not None, str(cluster.get("proxy-url") or "")
    proxy, astray = (own, "") if own or by_path else _by_environment(host, port, environment)
    return Route(
        server=server.rstrip("/"),
        host=host,
        port=port,
        proxy=proxy,
        by_path=by_path,
        server_name=str(cluster.get("tls-server-name") or host),
        cluster=cluster,
        astray=astray,
        ambiguous="" if own or by_path else _ambiguous(environment),
    )


def excepting(host: str, port: int, exceptions: str) -> str:
    """The entry of NO_PROXY that a host matches, "" if none does."""
    return next((each for each in exceptions.split(",") if _matches(host, port, each.strip().lower())), "").strip()


def credentials(environment: Mapping[str, str]) -> list[str]:
    """Names of variables that hold or lead to other credentials."""
    return [name for name in CREDENTIALS if environment.get(name)]


def _by_environment(host: str, port: int, environment: Mapping[str, str]) -> tuple[str, str]:
    name, proxy = _first(_PROXY, environment)
    if not proxy:
        return "", "the kubeconfig has no proxy-url, and HTTPS_PROXY is not set"
    excepted, exceptions = _first(_EXCEPT, environment)
    if found := excepting(host, port, exceptions):
        return "", f"{excepted} excepts {host} ({found}) from {name}"
    if host == "localhost" or ((address := _address(host)) is not None and address.is_loopback):
        return "", f"{host} is this machine: Go clients never use {name} for it"
    return (proxy if "://" in proxy else f"http://{proxy}"), ""


def _ambiguous(environment: Mapping[str, str]) -> str:
    for names in (_PROXY, _EXCEPT):
        said = {environment[name] for name in names if environment.get(name)}
        if len(said) > 1:
            return f"{' and '.join(names)} differ: some clients read the one, some the other"
    return ""


def _first(names: tuple[str, str], environment: Mapping[str, str]) -> tuple[str, str]:
    return next(((name, environment[name]) for name in names if environment.get(name)), (names[0], ""))


def _matches(host: str, port: int, pattern: str) -> bool:
    if pattern == "*":
        return True
    bare, colon, wanted = pattern.rpartition(":")
    if colon and wanted.isdecimal() and (":" not in bare or bare.endswith("]")):
        if int(wanted) != port:
            return False
        pattern = bare
    address = _address(host)
    if address is not None:
        return _holds(pattern.strip("[]"), address)
    suffix = pattern.removeprefix("*")
    return bool(suffix.strip(".")) and (host.endswith(suffix if suffix[0] == "." else f".{suffix}") or host == suffix)


def _holds(pattern: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
