"""Compiled `Pipeline` documents: where each sends, in which form, and which events it takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from addons.core.connection import resolve_path
from addons.core.documents import Document, Path, validate
from addons.core.pipelines.models import OtlpSpec, PipelineSpec, SelectSpec, SyslogSpec, WebhookSpec
from addons.core.problem import Problem

KIND = "Pipeline"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
Send = Literal["events", "alerts", "traces"]
Format = Literal["audit", "ocsf", "ecs"]


@dataclass(frozen=True, slots=True)
class Stdout:
    """Standard output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file, by the path it is opened with."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Syslog:
    """A syslog receiver. Paths are as the process opens them, "" for none."""

    host: str
    port: int
    transport: Literal["udp", "tcp", "tls"]
    facility: int
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A service that is posted to."""

    url: str
    secret_file: str
    ca_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Otlp:
    """A collector; `header_files` gives, by header, the file with its value."""

    url: str
    header_files: Mapping[str, str]
    ca_file: str = ""
    trusted: bool = False
    """Whether a caller's traceparent is the parent of our spans."""


Target = Stdout | File | Syslog | Webhook | Otlp


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One document."""

    name: str
    send: Send
    format: Format
    history: bool
    select: SelectSpec
    target: Target
    document: Document = field(compare=False, repr=False)

    @property
    def secrets(self) -> Iterator[tuple[str, Path]]:
        """Files with secrets, each with the key that names it."""
        match self.target:
            case Webhook(secret_file=file):
                yield file, ("spec", "webhook", "secretFile")
            case Otlp(header_files=files):
                yield from ((file, ("spec", "otlp", "headerFiles", name)) for name, file in files.items())

    @property
    def certificates(self) -> Iterator[tuple[str, Path]]:
        """Files with certificates and keys, each with the key that names it."""
        kind = {Syslog: "syslog", Webhook: "webhook", Otlp: "otlp"}.get(type(self.target), "")
        for name, key in _FILES.items():
            if file := str(getattr(self.target, name, "")):
                yield file, ("spec", kind, key)


_FILES = {"ca_file": "caFile", "certificate_file": "certificateFile", "key_file": "keyFile"}


def compile_pipelines(
    documents: Iterable[Document], connections: Iterable[str]
) -> tuple[tuple[Pipeline, ...], list[Problem]]:
    """Every pipeline, and every mistake: a name twice, or a connection that nobody knows."""
    known, problems = set(connections), list[Problem]()
    pipelines: dict[str, Pipeline] = {}
    for document in documents:
        if document.kind == KIND:
            spec, mistakes = validate(document, PipelineSpec)
            problems += [*mistakes, *_misnamed(document, pipelines)]
            if spec is not None:
                problems += _unknown(document, spec, known)
                pipelines.setdefault(document.name, _pipeline(document, spec))
    return tuple(pipelines.values()), problems


def _misnamed(document: Document, pipelines: Mapping[str, Pipeline]) -> list[Problem]:
    where = ("metadata", "name")
    if _NAME.fullmatch(document.name) is None:
        return [document.problem(where, "the name is that of files: a-z, 0-9, '-' and '.', at most 63")]
    return [document.problem(where, f"two are named {document.name}")] if document.name in pipelines else []


def _unknown(document: Document, spec: PipelineSpec, known: set[str]) -> list[Problem]:
    return [
        document.problem(("spec", "select", "connections", index), f"there is no connection {name}")
        for index, name in enumerate(spec.select.connections)
        if name not in known and not set("*?[") & set(name)
    ]


def _pipeline(document: Document, spec: PipelineSpec) -> Pipeline:
    return Pipeline(
        name=document.name,
        send=spec.send,
        format=spec.format or "audit",
        history=spec.history,
        select=spec.select,
        target=_target(document.file, spec),
        document=document,
    )


def _target(file: str, spec: PipelineSpec) -> Target:
    if spec.syslog is not None:
        return _syslog(file, spec.syslog)
    if spec.webhook is not None:
        return _webhook(file, spec.webhook)
    if spec.otlp is not None:
        return _otlp(file, spec.otlp)
    return File(path=resolve_path(file, spec.file.path)) if spec.file is not None else Stdout()


def _syslog(file: str, spec: SyslogSpec) -> Syslog:
    host, _, port = spec.address.rpartition(":")
    return Syslog(
        host=host.strip("[]"),
        port=int(port),
        transport=spec.transport,
        facility=spec.facility,
        ca_file=_path(file, spec.ca_file),
        certificate_file=_path(file, spec.certificate_file),
        key_file=_path(file, spec.key_file),
    )


def _webhook(file: str, spec: WebhookSpec) -> Webhook:
    return Webhook(url=spec.url, secret_file=resolve_path(file, spec.secret_file), ca_file=_path(file, spec.ca_file))


def _otlp(file: str, spec: OtlpSpec) -> Otlp:
    headers = {name: resolve_path(file, path) for name, path in spec.header_files.items()}
    trusted = spec.callers == "parent"
    return Otlp(url=spec.url.rstrip("/"), header_files=headers, ca_file=_path(file, spec.ca_file), trusted=trusted)


def _path(file: str, path: str | None) -> str:
    return "" if path is None else resolve_path(file, path)
