"""`mitm.conf`: the one file that configures the process. Every mistake in it is reported at once, with its line.

mitmproxy's own options that a gateway may choose keep their names; the others are fixed here, because each of them can
open a way around the gates (`FIXED`). There is no option that turns a step off.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from mitmproxy.options import Options
from mitmproxy.utils import human
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from addons.archive_settings import ArchiveSettings, absolute_keys, archive_contradictions
from addons.core import store_url
from addons.core.documents import parse_mapping
from addons.core.problem import InvalidConfiguration, Problem

FIXED: dict[str, Any] = {
    "server": False,  # the listener is ours: bound before anything starts
    "connection_strategy": "lazy",  # a refused request opens no connection upstream
    "rawtcp": False,  # no tunnel that is not HTTP
    "validate_inbound_headers": True,  # request smuggling is refused
    "websocket": True,  # exec is inspected
    "ssl_insecure": False,  # clusters are always verified
    "store_streamed_bodies": False,  # memory stays bounded
}


def _size(text: str) -> str:
    if not human.parse_size(text):
        raise ValueError("must be a size such as 512k or 64m")
    return text


def _store(url: str) -> str:
    if url and (found := list(store_url.problems(url))):
        raise ValueError("; ".join(found))
    return url


Size = Annotated[str, AfterValidator(_size)]
_NAME = r"^([0-9a-z]([0-9a-z.-]*[0-9a-z])?|[0-9a-f:]*:[0-9a-f:.]+)$"
"""A host name, in lower case, or an IP address."""
_EVERYWHERE = ("", "0.0.0.0", "::")
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(ArchiveSettings, BaseModel):
    """Frozen. Paths are absolute after loading: relative ones are taken from the folder of the file."""

    listen_host: str = "127.0.0.1"
    """Address agents reach the gateway at."""
    listen_port: Port = 8080
    tls_listen_port: Port | None = None
    """Another port, which speaks TLS: agents name it as an https:// proxy. Left out, there is none."""
    tls_names: list[Annotated[str, Field(pattern=_NAME)]] = []
    """Names and addresses that agents reach it by, in the certificate that the interception CA makes for it."""
    tls_certificate: str = ""
    """PEM file with its certificate and those between it and its CA; instead of one that the interception CA makes."""
    tls_key: str = ""
    """PEM file with the key to that."""
    health_host: str = "127.0.0.1"
    """Address that probes and monitoring reach `/healthz` and `/readyz` at."""
    health_port: Port = 8082
    """Its port."""
    console_host: str = "127.0.0.1"
    """Address that browsers and agents reach the console at (`chaperone console`)."""
    console_port: Port = 8083
    """Its port."""
    console_certificate: str = ""
    """Its certificate chain, in PEM form; without one the console speaks plain HTTP, and on this machine alone."""
    console_key: str = ""
    """The key of its certificate."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that share the port; one uses about one core."""
    max_clients: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Connections of agents that one worker keeps at once; one more is closed."""
    http2: bool = False
    """Offer HTTP/2 to agents. Off by default: mitmproxy has no backpressure on HTTP/2."""
    body_size_limit: Size = "64m"
    """Largest reply that is buffered to be masked; streams are not buffered."""
    request_size_limit: Size = "3m"
    """Largest request; the API server's own limit is 3 MiB."""
    tcp_timeout: Annotated[int, Field(ge=60)] = 86400
    """Seconds without traffic after which a connection is closed; watches may be silent for long."""
    rules: Annotated[list[str], Field(min_length=1)] = ["rules"]
    """Folders of rule files; every `*.yaml` below them is loaded."""
    certs: str = "certs"
    """Folder of the interception CA; made there at the first start."""
    state: str = "state"
    """Folder of approvals and recordings."""
    store: Annotated[str, AfterValidator(_store)] = ""
    """PostgreSQL database of approvals, grants, locks and single uses; without one, a SQLite file in `state`."""
    store_password_file: str = ""
    """File with its password, read for every new connection."""
    audit_key: str = ""
    """File of the key that signs the audit log; without one, it is made in the folder `audit` of `state`."""
    hold_seconds: Annotated[int, Field(ge=0, le=600)] = 20
    """How long a request waits for its approval before the agent is told to come back."""
    approval_seconds: Annotated[int, Field(ge=10, le=86400)] = 900
    """How long an approval may be asked for, and be used."""
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def mitmproxy_options(self) -> dict[str, Any]:
        """The options of the master of one worker."""
        chosen = {"http2": self.http2, "body_size_limit": self.body_size_limit, "tcp_timeout": self.tcp_timeout}
        return FIXED | chosen

    @property
    def own_names(self) -> list[str]:
        """What the certificate of the TLS listener is for, where the gateway makes it."""
        return self.tls_names or [name for name in (self.listen_host,) if name not in _EVERYWHERE]

    @property
    def audit_key_file(self) -> Path | None:
        """`audit_key` as a path, None if there is none."""
        return Path(self.audit_key) if self.audit_key else None

    @property
    def request_bytes(self) -> int:
        """`request_size_limit` in bytes."""
        return human.parse_size(self.request_size_limit) or 0


def load_settings(file: Path, overrides: dict[str, Any] | None = None) -> Settings:
    """The settings in `file`. Raises InvalidConfiguration with every mistake found."""
    settings, problems = read_settings(file, overrides)
    if problems:
        raise InvalidConfiguration(problems)
    return settings


def read_settings(file: Path, overrides: dict[str, Any] | None = None) -> tuple[Settings, list[Problem]]:
    """The settings, with the default for every key that has a mistake, so that the rest can be checked, too."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Settings(), [Problem(str(file), 0, f"cannot be read: {error}")]
    content, lines, problems = parse_mapping(text, str(file))
    content |= overrides or {}
    try:
        settings = Settings.model_validate(content)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            key = item["loc"][0]
            problems.append(Problem(str(file), lines.get((key,), 0), _explain(str(key), item)))
            content.pop(str(key), None)
        settings = Settings.model_validate(content)
    for keys, message in _contradictions(settings):
        line = next((lines[(key,)] for key in keys if (key,) in lines), 0)
        problems.append(Problem(str(file), line, message))
    return _absolute(settings, file.resolve().parent), sorted(problems, key=lambda problem: problem.line)


def _contradictions(settings: Settings) -> Iterator[tuple[Sequence[str], str]]:
    """What is right by itself and wrong together: the keys to look at, and what is wrong."""
    ports = ("listen_port", "tls_listen_port", "health_port")
    for first, second in itertools.combinations(ports, 2):
        if getattr(settings, first) == getattr(settings, second) != 0:  # workers would share each other's clients
            yield (second, first), f"{second} must be another than {first}"
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        yield ("tls_certificate", "tls_key"), "tls_certificate and tls_key belong together"
    if settings.store_password_file and not settings.store:
        yield ("store_password_file",), "store is missing: whose password is it?"
    if settings.tls_names and settings.tls_certificate:
        yield ("tls_names",), "tls_names are for a certificate that the gateway makes; tls_certificate has its own"
    if settings.tls_listen_port is not None and not settings.tls_certificate and not settings.own_names:
        yield ("tls_listen_port",), "tls_names is missing: by which names do agents reach this port?"
    yield from archive_contradictions(settings)


def _explain(key: str, item: Any) -> str:
    if item["type"] != "extra_forbidden":
        return f"{key}: {item['msg']}"
    if key in FIXED:
        return f"{key} is fixed to {str(FIXED[key]).lower()}: any other value would open a way around the gates"
    if key in Options().keys():  # noqa: SIM118 - mitmproxy's Options is no mapping
        return f"{key} is a mitmproxy option that a gateway does not offer"
    near = difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=0.75)
    return f"unknown key {key}" + (f"; did you mean {near[0]}?" if near else "")


def _optional(folder: Path, path: str) -> str:
    return str(folder / path) if path else ""


def _absolute(settings: Settings, folder: Path) -> Settings:
    return settings.model_copy(
        update={
            "rules": [str(folder / path) for path in settings.rules],
            "certs": str(folder / settings.certs),
            "state": str(folder / settings.state),
            "console_certificate": _optional(folder, settings.console_certificate),
            "console_key": _optional(folder, settings.console_key),
            "tls_certificate": _optional(folder, settings.tls_certificate),
            "tls_key": _optional(folder, settings.tls_key),
            "audit_key": _optional(folder, settings.audit_key),
            "store_password_file": _optional(folder, settings.store_password_file),
        }
        | absolute_keys(settings, folder)
    )
