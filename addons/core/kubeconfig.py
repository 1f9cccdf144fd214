"""The kubeconfig of an agent: the cluster's own address, the way to it, the one CA to trust, and where its token is.

It holds no secret. Source: `Config` in k8s.io/client-go/tools/clientcmd/api/v1/types.go, and `ExecCredential` in
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from addons.core.cluster_path import path_of, split
from addons.core.headers import authority

if TYPE_CHECKING:
    from addons.core.connection import Connection

EXEC_VERSION = "client.authentication.k8s.io/v1"
_AS = "agent"
"""kubectl sends user-extra only along with a user; the gateway reads the reason and strips both."""


class UnusableKubeconfig(ValueError):
    """It does not lead through a gateway, or not to what was asked for."""


def kubeconfig(
    connection: Connection,
    ca: bytes,
    gateway: str,
    token_file: str = "",
    namespace: str = "",
    intent: str = "",
    signed_in: Sequence[str] = (),
    by_path: bool = False,
) -> dict[str, Any]:
    """A kubeconfig for `connection` by way of `gateway` (a URL); `ca` is the gateway's, PEM.

    With `by_path`, the gateway is no proxy but the server itself. Raises ValueError for a name that no path can say.

    The token is read from `token_file` by whoever uses it; without one `chaperone token` says it, with the options
    `signed_in` that name a sign-in. `intent` is what the agent says it is doing.
    """
    if by_path:
        server = {"server": f"{gateway.rstrip('/')}{path_of(connection.name)}"}
    else:
        server = {"server": f"https://{authority(connection.host, connection.port)}", "proxy-url": gateway}
    cluster = {**server, "certificate-authority-data": base64.b64encode(ca).decode()}
    user: dict[str, Any] = {"tokenFile": token_file} if token_file else {"exec": _plugin(signed_in)}
    context = {"cluster": connection.name, "user": _AS} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": connection.name, "cluster": cluster}],
        "users": [{"name": _AS, "user": user | saying(intent)}],
        "contexts": [{"name": connection.name, "context": context}],
        "current-context": connection.name,
    }


def saying(intent: str) -> dict[str, Any]:
    """What a user of a kubeconfig has so that the gateway hears the intent."""
    return {"as": _AS, "as-user-extra": {"reason": [intent]}} if intent else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a kubeconfig leads to its cluster."""

    gateway: str
    """URL of the proxy; empty where the gateway is the server itself."""
    server: str
    ca: bytes
    """PEM."""
    document: Mapping[str, Any]
    """The kubeconfig of that one context, with the intent."""


def way(document: Mapping[str, Any], folder: str, context: str = "", intent: str = "") -> Way:
    """The way of one context, the current one unless it is named; relative paths are from `folder`.

    Raises UnusableKubeconfig.
    """
    name = context or str(document.get("current-context") or "")
    chosen = entry(document, "context", name)
    cluster_name, user_name = (str(chosen.get(key) or "") for key in ("cluster", "user"))
    cluster, user = entry(document, "cluster", cluster_name), entry(document, "user", user_name)
    gateway, server = str(cluster.get("proxy-url") or ""), str(cluster.get("server") or "")
    if not gateway and split(urlsplit(server).path) is None:
        raise UnusableKubeconfig(f"cluster {cluster_name} has no proxy-url: it does not lead through a gateway")
    alone = {
        **document,
        "clusters": [{"name": cluster_name, "cluster": cluster}],
        "users": [{"name": user_name, "user": {**user, **_absolute(user, folder), **saying(intent)}}],
        "contexts": [{"name": name, "context": chosen}],
        "current-context": name,
    }
    return Way(gateway=gateway, server=server, ca=_ca(cluster, cluster_name), document=alone)


def environment(way: Way, kubeconfig: str, own_ca: str, bundle: str) -> dict[str, str]:
    """The variables that lead clients of the usual runtimes along this way.

    `own_ca` is a file with the gateway's CA alone, `bundle` one with every CA that is trusted.
    """
    proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), way.gateway) if way.gateway else {}
    bundles = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"), bundle)
    return {**proxies, **bundles, "NODE_EXTRA_CA_CERTS": own_ca, "KUBECONFIG": kubeconfig}


def exec_credential(token: str, now: float) -> dict[str, Any]:
    """What a client asks a credential plugin for. Raises UnusableKubeconfig for a token that has expired.

    Nothing of the token is verified: the gateway does that.
    """
    status: dict[str, Any] = {"token": token}
    if (expires := _expiry(token)) is not None:
        when = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if expires <= now:
            raise UnusableKubeconfig(f"the token expired at {when}: get a new one from your identity provider")
        status["expirationTimestamp"] = when
    return {"apiVersion": EXEC_VERSION, "kind": "ExecCredential", "status": status}


def _plugin(options: Sequence[str]) -> dict[str, Any]:
    return {
        "apiVersion": EXEC_VERSION,
        "command": "chaperone",
        "args": ["token", *options],
        "interactiveMode": "Never",
    }


def _absolute(user: Mapping[str, Any], folder: str) -> dict[str, str]:
    file = str(user.get("tokenFile") or "")
    return {"tokenFile": f"{folder}/{file}"} if file and not file.startswith("/") else {}


def entry(document: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any]:
    """The `cluster`, `context` or `user` of a name. Raises UnusableKubeconfig."""
    for each in mappings(document.get(f"{kind}s")):
        if name and each.get("name") == name and isinstance(each.get(kind), Mapping):
            found: Mapping[str, Any] = each[kind]
            return found
    raise UnusableKubeconfig(f"the kubeconfig has no {kind} {name!r}")


def mappings(entries: Any) -> Iterator[Mapping[str, Any]]:
    """The entries of a list that are mappings; none of anything else."""
    return (each for each in entries if isinstance(each, Mapping)) if isinstance(entries, list) else iter(())


def _ca(cluster: Mapping[str, Any], name: str) -> bytes:
    try:
        ca = base64.b64decode(str(cluster.get("certificate-authority-data") or ""), validate=True)
    except binascii.Error:
        ca = b""
    if b"-----BEGIN CERTIFICATE-----" not in ca:
        raise UnusableKubeconfig(f"cluster {name} has no certificate-authority-data: it trusts no gateway")
    return ca


def _expiry(token: str) -> float | None:
    """When a JWT says that it expires; None for what says nothing of it."""
    try:
        payload = token.split(".")[1]
        expires = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return float(expires) if isinstance(expires, int | float) else None
