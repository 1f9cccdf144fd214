"""What `chaperone doctor --kubeconfig` looks at, where an agent runs: does all that it sends go through the gateway?

One request without a credential is sent, and one connection is tried that must not come about.
"""

from __future__ import annotations

import base64
import binascii
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from addons.core.agent_route import Route, credentials, route
from addons.core.kubeconfig import UnusableKubeconfig
from addons.edge.kubeconfigs import read_kubeconfig
from addons.edge.probes import SECONDS, Finding

_OURS = "chaperone refused"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_INSIDE = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
"""Where pods find the API server of the cluster that they run in."""
BY_HAND = "curl --noproxy '*' -k -m 5 https://API-SERVER/version, which must time out or be refused"


def examine_agent(
    kubeconfig: Path, context: str, environment: Mapping[str, str], account: Path = _ACCOUNT
) -> Iterator[Finding]:
    """Every finding, as it is made. Raises UnusableKubeconfig."""
    found = route(read_kubeconfig(kubeconfig), context, environment)
    yield _way(found)
    if not found.astray:
        yield _gateway(found, kubeconfig.absolute().parent)
    yield from _around(found, environment)
    yield _alone(environment, account)


def _way(found: Route) -> Finding:
    what, remedy = "proxy", "use a kubeconfig of `chaperone kubeconfig`, or set HTTPS_PROXY and take it from NO_PROXY"
    if found.astray or found.ambiguous:
        return Finding(what, False, found.astray or found.ambiguous, remedy)
    return Finding(what, True, f"{found.server} {'is the gateway' if found.by_path else f'by way of {found.proxy}'}")


def _gateway(found: Route, folder: Path) -> Finding:
    """One request without a credential: the gateway refuses it in its own words."""
    what = "gateway"
    try:
        context = _trusting(found.cluster, folder)
        over_tls = context if found.proxy.startswith("https:") else None
        proxy = httpx.Proxy(found.proxy, ssl_context=over_tls) if found.proxy else None
        with httpx.Client(proxy=proxy, verify=context, trust_env=False, timeout=SECONDS) as client:
            answer = client.get(f"{found.server}/version", extensions={"sni_hostname": found.server_name})
    except httpx.ProxyError as error:
        return Finding(what, False, f"{found.proxy}: {error}", f"does the gateway have a connection for {found.host}?")
    except (httpx.HTTPError, UnusableKubeconfig, OSError, ValueError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return Finding(what, False, str(error), "the kubeconfig's CA must be the gateway's, not the cluster's")
        return Finding(what, False, f"{type(error).__name__}: {error}", "is the gateway up, and reachable from here?")
    if _OURS not in answer.text:
        detail = f"status {answer.status_code}, and not in the gateway's words"
        return Finding(what, False, detail, "whatever answers there is no gateway of Chaperone's")
    return Finding(what, True, "it is reached, its CA is trusted, and it refuses a request without a token")


def _trusting(cluster: Mapping[str, Any], folder: Path) -> ssl.SSLContext:
    """A context that trusts what the kubeconfig trusts. Raises UnusableKubeconfig, OSError."""
    if cluster.get("insecure-skip-tls-verify"):
        raise UnusableKubeconfig("insecure-skip-tls-verify: anybody could answer")
    try:
        data = base64.b64decode(str(cluster.get("certificate-authority-data") or ""), validate=True).decode("ascii")
        if not data and (file := cluster.get("certificate-authority")):
            data = (folder / str(file)).read_text()
        return ssl.create_default_context(cadata=data or None)
    except (binascii.Error, UnicodeDecodeError, ssl.SSLError):
        raise UnusableKubeconfig("its certificate authority cannot be read") from None


def _around(found: Route, environment: Mapping[str, str]) -> Iterator[Finding]:
    """What must not be reached from here."""
    places = [] if found.by_path else [(found.host, found.port)]
    if all(environment.get(name, "") for name in _INSIDE) and environment[_INSIDE[1]].isdecimal():
        places.append((environment[_INSIDE[0]], int(environment[_INSIDE[1]])))
    for host, port in places:
        what = f"way around the gateway to {host}:{port}"
        try:
            socket.create_connection((host, port), timeout=SECONDS).close()
        except OSError as error:
            yield Finding(what, True, f"there is none: {error.strerror or error}")
        else:
            remedy = "let the network admit the gateway alone: docs/threat-model.md, A way around"
            yield Finding(what, False, "it is open: the API server is reached directly", remedy)
    if not places:
        yield Finding("way around the gateway", True, f"not known from this kubeconfig; try it: {BY_HAND}")


def _alone(environment: Mapping[str, str], account: Path) -> Finding:
    """Whether the agent has nothing but its own token."""
    what = "other credentials"
    if os.access(account, os.R_OK):
        return Finding(what, False, str(account), "set automountServiceAccountToken: false: agents need none")
    others = ", ".join(credentials(environment))
    return Finding(what, True, f"{others}: an identity that no cluster may know" if others else "none that are usual")
