"""What agents need on their side: `chaperone kubeconfig` and `run`. Only the first reads the gateway's files."""

from __future__ import annotations

import json
import os
import ssl
import tempfile
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import yaml
from cyclopts import Parameter

from addons.cli.child import run_command
from addons.core.connection import Connection, compile_connections
from addons.core.kubeconfig import Way, environment, way
from addons.core.kubeconfig import kubeconfig as make_kubeconfig
from addons.core.problem import InvalidConfiguration
from addons.edge.authority import CERTIFICATE_FILE
from addons.edge.kubeconfigs import read_kubeconfig
from addons.edge.rulefiles import read_rules
from addons.settings import Settings, load_settings


def kubeconfig(
    connection: str,
    *,
    gateway: str,
    gateway_ca: Path | None = None,
    without_proxy: bool = False,
    token_file: str = "",
    namespace: str = "",
    intent: str = "",
    issuer: str = "",
    client_id: str = "",
    console: str = "",
    conf: Path = Path("mitm.conf"),
) -> None:
    """Print a kubeconfig for agents: their way to a cluster through this gateway. It holds no secret.

    ```
    chaperone kubeconfig prod --gateway http://chaperone.internal:8080 --token-file /var/run/secrets/oidc/token
    ```

    Parameters
    ----------
    connection
        Name of the cluster in rules/connections.
    gateway
        URL of the gateway as agents reach it: http://, or https:// for the port that speaks TLS.
    gateway_ca
        File with the CA of the gateway's own certificate, where `tls_certificate` names one.
    without_proxy
        For clients that know no proxy: the gateway itself is the server, at https://GATEWAY/clusters/NAME.
    token_file
        Where the agent finds its OIDC token. Without it, kubectl asks `chaperone token`.
    namespace
        The agent's namespace.
    intent
        What it is doing, where access rules ask for that.
    issuer
        For a person: the OpenID provider that `chaperone login` signed in at.
    client_id
        And the client id there.
    console
        URL of the console: kubectl exchanges its token there for session tokens, good for this connection and intent.
    conf
        The gateway's configuration file.
    """
    settings = load_settings(conf)
    _check_gateway(gateway, settings, without_proxy)
    options = ["--issuer", issuer, "--client-id", client_id] if issuer else []
    if console:
        options += ["--token-file", token_file] if token_file else []
        options += ["--console", console, "--connection", connection, *(["--intent", intent] if intent else [])]
        token_file = ""
    found = make_kubeconfig(
        _connection(settings.rules, connection),
        _authorities(settings, gateway, gateway_ca, without_proxy),
        gateway,
        token_file,
        namespace,
        intent,
        signed_in=options,
        by_path=without_proxy,
    )
    print(yaml.safe_dump(found, sort_keys=False), end="")


def run(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    kubeconfig: Path | None = None,
    context: Annotated[str, Parameter(name=["--context", "--connection"])] = "",
    intent: str = "",
) -> int:
    """Run a command whose way to the cluster is the gateway: kubectl, helm, or a program with a client library.

    ```
    chaperone run --kubeconfig agent.yaml --intent "INC-42 disk full" -- helm upgrade web ./chart
    ```

    It sets HTTPS_PROXY, KUBECONFIG and the CA variables of OpenSSL, Go, Python, curl, git and Node, and ends as the
    command does. Whatever else the command asks of the internet is refused by the gateway.

    Parameters
    ----------
    command
        The command, after `--`.
    kubeconfig
        From `chaperone kubeconfig`; else the file in KUBECONFIG.
    context
        One of its contexts, instead of the current one: `chaperone kubeconfig` names them as their connection.
    intent
        What the command is for, where access rules ask for that.
    """
    if not command:
        raise ValueError("say what to run, after --")
    file = kubeconfig or Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    chosen = way(read_kubeconfig(file), str(file.absolute().parent), context, intent)
    with tempfile.TemporaryDirectory(prefix="chaperone-run-") as folder:
        return run_command(command, {**os.environ, **_prepared(chosen, Path(folder))})


def _check_gateway(gateway: str, settings: Settings, without_proxy: bool) -> None:
    parts = urlsplit(gateway)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"--gateway {gateway}: give a URL such as http://chaperone.internal:{settings.listen_port}")
    if without_proxy and parts.scheme != "https":
        raise ValueError(f"--gateway {gateway}: without a proxy it is an https:// URL, of `tls_listen_port`")


def _authorities(settings: Settings, gateway: str, gateway_ca: Path | None, without_proxy: bool) -> bytes:
    """The CAs to trust: the one that intercepts, and that of the gateway's own certificate if it is another."""
    ours = (Path(settings.certs) / CERTIFICATE_FILE).read_bytes()
    if not settings.tls_certificate or not gateway.startswith("https:"):
        return ours
    if gateway_ca is None:
        raise ValueError(f"--gateway-ca: give the CA of {settings.tls_certificate}, which agents have to trust")
    own = gateway_ca.read_bytes()
    return own if without_proxy else ours + b"\n" + own


def _connection(rules: list[str], name: str) -> Connection:
    documents, problems = read_rules(rules)
    connections, found = compile_connections(documents)
    if problems or found:
        raise InvalidConfiguration([*problems, *found])
    if name not in connections:
        raise LookupError(f"there is no connection {name!r}; there is: {', '.join(sorted(connections)) or 'none'}")
    return connections[name]


def _prepared(chosen: Way, folder: Path) -> dict[str, str]:
    """Writes what the variables name; the folder is the user's alone."""
    own_ca, bundle, kubeconfig = folder / "gateway-ca.pem", folder / "bundle.pem", folder / "kubeconfig"
    own_ca.write_bytes(chosen.ca)
    bundle.write_bytes(_trusted() + b"\n" + chosen.ca)
    kubeconfig.write_text(json.dumps(chosen.document))  # JSON is YAML
    return environment(chosen, str(kubeconfig), str(own_ca), str(bundle))


def _trusted() -> bytes:
    """The CAs that this machine trusts, where it has them in one file."""
    file = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    return Path(file).read_bytes() if file else b""
