"""The user of a kubeconfig that is the gateway itself: the credential it has, and what its credential plugin answers.

Read as client-go does. Sources, in k8s.io/client-go: `AuthInfo` and `ExecConfig` in tools/clientcmd/api/v1/types.go,
`ExecCredential` in pkg/apis/clientauthentication, and plugin/pkg/client/auth/exec/exec.go. No message here quotes a
value: what is in a kubeconfig, or what a plugin says, may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from addons.core.connection import resolve_path
from addons.core.kubeconfig import UnusableKubeconfig, entry, mappings

MARGIN_SECONDS = 60.0
"""Before its end a plugin's answer is not used any more."""
_KINDS = "it needs token, tokenFile, client-certificate with client-key, or exec"
_EXTENSION = "client.authentication.k8s.io/exec"
_TOLD = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
_WRITE = {
    "exec": "write {apiVersion: client.authentication.k8s.io/v1, command: PROGRAM, args: [TEXT],"
    " env: [{name: NAME, value: TEXT}], interactiveMode: Never}",
    "text": "write it as text, in quotes",
}


class PluginFailed(UnusableKubeconfig):
    """A credential plugin did not answer. That may pass."""


class _Part(BaseModel):
    """As Go reads it: what is not known is left out, and null is nothing."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, value: Any) -> Any:
        return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value


_Given = Annotated[str, StringConstraints(min_length=1)]


class Variable(_Part):
    """One of a plugin's environment."""

    name: _Given
    value: str = Field(default="", repr=False)


class Plugin(_Part):
    """`exec` of a user; `command` is a name, or a path from where the gateway runs."""

    api_version: Literal["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"]
    command: _Given
    args: tuple[str, ...] = Field(default=(), repr=False)
    env: tuple[Variable, ...] = ()
    install_hint: str = ""
    interactive_mode: Literal["Never", "IfAvailable"] = "Never"  # there is nobody to ask, which `Always` needs
    provide_cluster_info: bool = False
    cluster: str = Field(default="", repr=False)
    """What it is told of the cluster, JSON, if it wants to be told."""

    @property
    def environment(self) -> dict[str, str]:
        """What it is given on top of the gateway's own (ExecCredential in KUBERNETES_EXEC_INFO)."""
        spec = {"interactive": False} | ({"cluster": orjson.loads(self.cluster)} if self.provide_cluster_info else {})
        asked = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec}
        named = {each.name: each.value for each in self.env}
        return {**named, "KUBERNETES_EXEC_INFO": orjson.dumps(asked).decode()}


class OwnUser(_Part):
    """Paths are from where the gateway runs; `title` says in messages which user of which file it is."""

    title: str = ""
    token: str = Field(default="", repr=False)
    token_file: str = ""
    certificate: str = Field(default="", alias="client-certificate")
    certificate_data: str = Field(default="", alias="client-certificate-data")
    key: str = Field(default="", alias="client-key")
    key_data: str = Field(default="", alias="client-key-data", repr=False)
    exec: Plugin | None = None


class _Status(_Part):
    token: str = Field(default="", repr=False)
    client_certificate_data: str = ""
    client_key_data: str = Field(default="", repr=False)
    expiration_timestamp: AwareDatetime | None = None


class _ExecCredential(_Part):
    api_version: str
    kind: Literal["ExecCredential"]
    status: _Status


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginAnswer:
    """A token, or a certificate with its key (PEM). `expires_at` is Unix seconds; None: it does not say."""

    token: str = field(repr=False)
    certificate: str
    key: str = field(repr=False)
    expires_at: float | None


def own_user(document: Mapping[str, Any], context: str, file: str) -> OwnUser:
    """The user of one context of a kubeconfig, the current one unless it is named. Raises UnusableKubeconfig."""
    try:
        chosen = entry(document, "context", context or str(document.get("current-context") or ""))
        name = str(chosen.get("user") or "")
        user = _user(name, entry(document, "user", name), file)
        if user.exec is None or not user.exec.provide_cluster_info:
            return user
        told = _told(entry(document, "cluster", str(chosen.get("cluster") or "")))
    except UnusableKubeconfig as error:
        raise UnusableKubeconfig(f"{file}: {error}") from None
    return user.model_copy(update={"exec": user.exec.model_copy(update={"cluster": told})})


def plugin_answer(plugin: Plugin, output: bytes) -> PluginAnswer:
    """What a plugin wrote. Raises UnusableKubeconfig."""
    said = f"the plugin {plugin.command} answered with"
    try:
        answer = _ExecCredential.model_validate_json(output)
    except ValidationError as error:
        raise UnusableKubeconfig(f"{said} no ExecCredential: {_mistakes(error)}") from None
    status = answer.status
    if answer.api_version != plugin.api_version:
        raise UnusableKubeconfig(f"{said} another apiVersion than {plugin.api_version}, which the kubeconfig names")
    if bool(status.client_certificate_data) != bool(status.client_key_data):
        raise UnusableKubeconfig(f"{said} one of clientCertificateData and clientKeyData: they need each other")
    if not (status.token or status.client_key_data):
        raise UnusableKubeconfig(f"{said} no status.token, and with no certificate and key")
    return PluginAnswer(
        token=status.token,
        certificate=status.client_certificate_data,
        key=status.client_key_data,
        expires_at=status.expiration_timestamp.timestamp() if status.expiration_timestamp else None,
    )


def is_kept(answer: PluginAnswer, now: float) -> bool:
    """True while an answer may be used again: until shortly before its end, or until the cluster does not take it."""
    return answer.expires_at is None or now < answer.expires_at - MARGIN_SECONDS


def _told(cluster: Mapping[str, Any]) -> str:
    """What a plugin is told of its cluster (`Cluster` in the ExecCredential)."""
    if cluster.get("certificate-authority"):
        raise UnusableKubeconfig(
            "for exec.provideClusterInfo write the cluster's certificate-authority-data, not a path"
        )
    config = [each.get("extension") for each in mappings(cluster.get("extensions")) if each.get("name") == _EXTENSION]
    found = {name: cluster[name] for name in _TOLD if name in cluster} | ({"config": config[0]} if config else {})
    return orjson.dumps(found, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _user(name: str, fields: Mapping[str, Any], file: str) -> OwnUser:
    try:
        user = OwnUser.model_validate(fields)
    except ValidationError as error:
        hint = _WRITE["exec" if any(each["loc"][:1] == ("exec",) for each in error.errors()) else "text"]
        raise UnusableKubeconfig(f"user {name}: {_mistakes(error)}; {hint}") from None
    if bool(user.certificate or user.certificate_data) != bool(user.key or user.key_data):
        raise UnusableKubeconfig(f"user {name}: client-certificate and client-key need each other")
    if not (user.token or user.token_file or user.exec or user.key or user.key_data):
        raise UnusableKubeconfig(f"user {name} has no credential: {_KINDS}")
    return user.model_copy(update={"title": f"{file}: user {name}", **_resolved(user, file)})


def _resolved(user: OwnUser, file: str) -> dict[str, Any]:
    """Relative paths are taken from the folder of the kubeconfig; a command without a slash is searched for in PATH."""
    paths = {name: getattr(user, name) for name in ("token_file", "certificate", "key")}
    found: dict[str, Any] = {name: resolve_path(file, path) for name, path in paths.items() if path}
    if user.exec and "/" in user.exec.command:
        found["exec"] = user.exec.model_copy(update={"command": resolve_path(file, user.exec.command)})
    return found


def _mistakes(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in found)
