"""The gateway's own way into a cluster that is not EKS: the user of a kubeconfig, whatever kind it is of.

Used for nothing but making tokens of service accounts, or impersonating: no request of an agent is in its name.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from addons.core.authorization import Bearer
from addons.core.connection import IMPERSONATE, KIND, Connection
from addons.core.documents import Document
from addons.core.kubeconfig import UnusableKubeconfig
from addons.core.own_user import OwnUser, PluginAnswer, own_user
from addons.core.problem import Problem
from addons.core.secret import Secret
from addons.edge.kubeconfigs import read_kubeconfig
from addons.edge.plugins import Plugins
from addons.edge.tls import client_context

NO_TOKEN = "to impersonate it needs a token: a client certificate would be on the TLS layer of agents' requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCredential:
    """`token`, or TLS with a client certificate. `answer` is what it was made of, if a plugin gave it."""

    context: ssl.SSLContext
    token: Bearer | None = None
    answer: PluginAnswer | None = None


class OwnCredentials:
    """The one of each connection. Belongs to one event loop."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._plugins = Plugins(now)

    async def of(self, connection: Connection) -> OwnCredential:
        """The credential as it is now: files are read, a plugin's answer is kept. Raises UnusableKubeconfig."""
        user, answer = await asyncio.to_thread(_user, connection), None
        try:
            answer = await self._plugins.answer(user.exec) if user.exec else None
            return await asyncio.to_thread(_made, connection, user, answer)
        except UnusableKubeconfig as error:
            if answer is not None:
                self._plugins.drop(answer)
            raise type(error)(f"{user.title}: {error}") from None

    def drop(self, own: OwnCredential) -> bool:
        """Forget one that the cluster did not take; True if asking for it again may give another."""
        if own.answer is not None:
            self._plugins.drop(own.answer)
        return own.answer is not None


def check_kubeconfigs(documents: Iterable[Document], connections: Mapping[str, Connection]) -> list[Problem]:
    """Every kubeconfig that cannot be read or has no usable user, at its line; no plugin is run."""
    return [
        document.problem(("spec", connections[document.name].kind, "kubeconfig"), mistake)
        for document in documents
        if document.kind == KIND and document.name in connections and connections[document.name].kubeconfig
        if (mistake := _mistake(connections[document.name]))
    ]


def _mistake(connection: Connection) -> str:
    try:
        user = _user(connection)
    except UnusableKubeconfig as error:
        return str(error)
    token = user.token or user.token_file or user.exec
    return "" if token or connection.kind != IMPERSONATE else f"{user.title}: {NO_TOKEN}"


def _user(connection: Connection) -> OwnUser:
    file = connection.kubeconfig
    return own_user(read_kubeconfig(Path(file)), connection.kubeconfig_context, file)


def _made(connection: Connection, user: OwnUser, answer: PluginAnswer | None) -> OwnCredential:
    token = _text(user.token_file).strip() or user.token or (answer.token if answer else "")
    context = client_context(connection.ca_file)
    if answer and answer.key:
        _load(context, answer.certificate, answer.key)
    elif user.key or user.key_data:
        certificate = _decoded(user.certificate_data) or _text(user.certificate)
        _load(context, certificate, _decoded(user.key_data) or _text(user.key))
    elif not token:
        raise UnusableKubeconfig(f"{user.token_file} is empty")
    return OwnCredential(context=context, token=Bearer(Secret(token)) if token else None, answer=answer)


def _text(file: str) -> str:
    try:
        return Path(file).read_text() if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableKubeconfig(f"{file} cannot be read: {getattr(error, 'strerror', 'no text')}") from None


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise UnusableKubeconfig("client-certificate-data and client-key-data must be PEM in base64") from None


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    with _file_of(f"{certificate}\n{key}\n") as file:
        try:
            context.load_cert_chain(file, password="")  # an encrypted key would be asked for on the terminal
        except ssl.SSLError:
            raise UnusableKubeconfig("the client certificate and key are none, or not a pair") from None


@contextmanager
def _file_of(pem: str) -> Iterator[str]:
    """OpenSSL takes them from files alone: in memory, or where there is none such, on disk for as long as it takes."""
    memory = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("pem"), "wb") if memory else tempfile.NamedTemporaryFile("wb") as file:
        file.write(pem.encode())
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}" if memory else file.name
