"""The gateway's own way into a cluster that is not EKS: the user of a kubeconfig, whatever kind it is of.

Used for nothing but making tokens of service accounts; no request of an agent is ever sent with it. Source: `AuthInfo`
in k8s.io/client-go/tools/clientcmd/api/v1/types.go.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from addons.core.connection import KIND, Connection
from addons.core.documents import Document
from addons.core.kubeconfig import UnusableKubeconfig, own_user
from addons.core.problem import Problem
from addons.core.secret import Secret
from addons.edge.kubeconfigs import read_kubeconfig
from addons.edge.tls import client_context

PLUGIN_SECONDS = 15.0
_KINDS = "token, tokenFile, client-certificate with client-key, or exec"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCredential:
    """`token`, or TLS with a client certificate."""

    context: ssl.SSLContext
    token: Secret | None = None


def own_credential(connection: Connection) -> OwnCredential:
    """The credential as it is now. Blocks: reads files, may run a plugin. Raises UnusableKubeconfig."""
    file = Path(connection.kubeconfig)
    user = _user(file, connection.kubeconfig_context)
    status = _from_plugin(user["exec"]) if user.get("exec") else {}
    token = status.get("token") or user.get("token") or _text(file, user.get("tokenFile")).strip()
    certificate, key = _pem(file, user, status, "certificate"), _pem(file, user, status, "key")
    context = client_context(connection.ca_file)
    if certificate and key:
        _load(context, certificate, key)
    elif not token:
        raise UnusableKubeconfig(f"the user of {file} has no credential: it needs {_KINDS}")
    return OwnCredential(context=context, token=Secret(str(token)) if token else None)


def check_kubeconfigs(documents: Iterable[Document], connections: Mapping[str, Connection]) -> list[Problem]:
    """Every kubeconfig that cannot be read or has no usable user, at its line; no plugin is run."""
    return [
        document.problem(("spec", "serviceAccount", "kubeconfig"), mistake)
        for document in documents
        if document.kind == KIND and document.name in connections and connections[document.name].kubeconfig
        if (mistake := _mistake(connections[document.name]))
    ]


def _mistake(connection: Connection) -> str:
    try:
        user = _user(Path(connection.kubeconfig), connection.kubeconfig_context)
    except UnusableKubeconfig as error:
        return str(error)
    known = {"token", "tokenFile", "client-certificate", "client-certificate-data", "exec"}
    return "" if known & user.keys() else f"the user of {connection.kubeconfig} has no credential: it needs {_KINDS}"


def _user(file: Path, context: str) -> Mapping[str, Any]:
    return own_user(read_kubeconfig(file), context)


def _text(kubeconfig: Path, name: Any) -> str:
    """What is in a file that a kubeconfig names, from its own folder."""
    try:
        return (kubeconfig.parent / str(name)).read_text() if name else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableKubeconfig(f"{name} cannot be read: {error}") from None


def _pem(file: Path, user: Mapping[str, Any], status: Mapping[str, Any], what: str) -> str:
    """The client's certificate or key: of a plugin, of the kubeconfig itself, or of a file that it names."""
    if given := status.get(f"client{what.capitalize()}Data"):
        return str(given)
    if data := user.get(f"client-{what}-data"):
        try:
            return base64.b64decode(str(data), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise UnusableKubeconfig(f"client-{what}-data of {file} is no base64") from None
    return _text(file, user.get(f"client-{what}"))


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """OpenSSL takes them from files alone: one that only this user can read, for as long as that takes."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{certificate}\n{key}\n")
        file.flush()
        try:
            context.load_cert_chain(file.name)
        except ssl.SSLError:
            raise UnusableKubeconfig("the client certificate and key are none, or not a pair") from None


def _from_plugin(plugin: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a credential plugin says (ExecCredential)."""
    version = str(plugin.get("apiVersion", ""))
    command = [str(plugin.get("command", "")), *map(str, plugin.get("args") or [])]
    extra = {str(each["name"]): str(each["value"]) for each in plugin.get("env") or []}
    info = orjson.dumps({"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}).decode()
    env = {**os.environ, **extra, "KUBERNETES_EXEC_INFO": info}
    try:
        done = subprocess.run(command, capture_output=True, timeout=PLUGIN_SECONDS, check=False, env=env, stdin=_NO)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnusableKubeconfig(f"the plugin {command[0]} failed: {type(error).__name__}") from None
    if done.returncode:
        raise UnusableKubeconfig(f"the plugin {command[0]} failed: exit status {done.returncode}")
    try:
        status = orjson.loads(done.stdout)["status"]
    except (ValueError, KeyError, TypeError):
        status = None
    if not isinstance(status, dict):
        raise UnusableKubeconfig(f"the plugin {command[0]} answered with no ExecCredential")
    return status


_NO = subprocess.DEVNULL
