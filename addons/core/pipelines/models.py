"""A `Pipeline` document as people write it: one receiver of audit events, alerts or traces.

Secrets are in files that the documents name, never in them.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from addons.core.decision import Severity
from addons.core.documents import SpecModel
from addons.core.identity_provider import Text, Url

_RELATIVE = "a relative path is taken from the folder of this file"
_CA_FILE = f"CA bundle (PEM) instead of those that the machine trusts; {_RELATIVE}"
_HOST_PORT = r"^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z]([0-9A-Za-z.-]*[0-9A-Za-z])?):[1-9][0-9]{0,4}$"
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_OURS = frozenset({"content-type", "content-length", "host", "transfer-encoding", "connection"})
Patterns = list[Text]
TARGETS = ("stdout", "file", "syslog", "webhook", "otlp")


def _headers(files: dict[str, str]) -> dict[str, str]:
    if wrong := [name for name in files if _HEADER.fullmatch(name) is None or name.lower() in _OURS]:
        raise ValueError(f"not a header to set: {', '.join(sorted(wrong))}")
    return files


def _port(address: str) -> str:
    if int(address.rpartition(":")[2]) > 65535:
        raise ValueError("a port is at most 65535")
    return address


class SelectSpec(SpecModel):
    """Which events are sent. Of each list one pattern must fit (`*`, `?`); what is left out does not restrict."""

    connections: Patterns = Field(default=[], description="names of connections")
    users: Patterns = Field(default=[], description="user names as in the events, `ISSUER#SUBJECT`")
    verbs: Patterns = Field(default=[], description="verbs as in the events")
    resources: Patterns = Field(default=[], description="`pods`, `pods/exec`, `deployments.apps`")
    namespaces: Patterns = Field(default=[], description="namespaces")
    verdicts: list[Literal["allow", "warn", "require_approval", "deny", "refuse"]] = Field(
        default=[], description="what was decided; `refuse` is refused before the guardrails"
    )
    rules: Patterns = Field(default=[], description="rules that decided, or, of alerts, the rules that tell")
    stages: list[Literal["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]] = Field(
        default=[], description="stages"
    )
    severities: list[Severity] = Field(default=[], description="of alerts")


class StdoutSpec(SpecModel):
    """Standard output of `chaperone ship`: one JSON object a line."""


class FileSpec(SpecModel):
    """A file that is appended to: one JSON object a line. It may be rotated by renaming it."""

    path: Text = Field(description=f"the file; {_RELATIVE}")


class SyslogSpec(SpecModel):
    """A syslog receiver (RFC 5424): over UDP, TCP with octet counting (RFC 6587), or TLS (RFC 5425)."""

    address: Annotated[str, StringConstraints(pattern=_HOST_PORT), AfterValidator(_port)] = Field(
        description="host:port"
    )
    transport: Literal["udp", "tcp", "tls"] = Field(
        description="`udp` loses messages, and `udp` and `tcp` are read by whoever is on the way"
    )
    facility: Annotated[int, Field(ge=0, le=23)] = Field(default=13, description="13 is `log audit`")
    ca_file: Text | None = Field(default=None, description=f"with `tls`, the {_CA_FILE}")
    certificate_file: Text | None = Field(default=None, description=f"with `tls`, our certificate (PEM); {_RELATIVE}")
    key_file: Text | None = Field(default=None, description=f"with `tls`, its key; {_RELATIVE}")

    @model_validator(mode="after")
    def _about_tls(self) -> SyslogSpec:
        files = (self.ca_file, self.certificate_file, self.key_file)
        if self.transport != "tls" and any(files):
            raise ValueError("caFile, certificateFile and keyFile go with transport: tls")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificateFile and keyFile belong together")
        return self


class WebhookSpec(SpecModel):
    """A service that takes batches of events, signed as notifications are."""

    url: Url = Field(description="where they are posted to")
    secret_file: Text = Field(
        description=f"file with the secret of the signatures, 16 characters or more; its first line signs; {_RELATIVE}"
    )
    ca_file: Text | None = Field(default=None, description=_CA_FILE)


class OtlpSpec(SpecModel):
    """An OpenTelemetry collector, or whatever takes OTLP over HTTP: logs, or traces with `send: traces`."""

    url: Url = Field(description="its address without `/v1/logs` or `/v1/traces`, such as `https://collector:4318`")
    header_files: Annotated[dict[str, Text], AfterValidator(_headers)] = Field(
        default={}, description=f"headers, each with the file that holds its value (`Authorization`); {_RELATIVE}"
    )
    ca_file: Text | None = Field(default=None, description=_CA_FILE)
    callers: Literal["link", "parent"] = Field(
        default="link",
        description="what a `traceparent` of a caller is to a trace: a `link`, or its `parent`, which gives it its id",
    )


class PipelineSpec(SpecModel):
    """One receiver, and what it is sent. `chaperone ship` sends; a receiver that is down delays nothing else."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [target]} for target in TARGETS]})

    send: Literal["events", "alerts", "traces"] = Field(
        default="events",
        description="each audit event; each alert once per session; or, of each call, a trace (with `otlp`)",
    )
    format: Literal["audit", "ocsf", "ecs"] | None = Field(
        default=None,
        description="form of events and alerts: as in the audit log (the default), OCSF, or Elastic Common Schema",
    )
    history: bool = Field(
        default=True, description="begin with what was recorded before the pipeline's first start, or with what comes"
    )
    select: SelectSpec = Field(default=SelectSpec(), description="which of them; left out, all")
    stdout: StdoutSpec | None = None
    file: FileSpec | None = None
    syslog: SyslogSpec | None = None
    webhook: WebhookSpec | None = None
    otlp: OtlpSpec | None = None

    @model_validator(mode="after")
    def _one_target(self) -> PipelineSpec:
        named = [target for target in TARGETS if getattr(self, target) is not None]
        if len(named) != 1:
            raise ValueError(f"name one of {', '.join(TARGETS)}")
        if self.send == "traces" and (self.otlp is None or self.format is not None):
            raise ValueError("traces are sent by otlp, and have no format")
        if self.select.severities and self.send != "alerts":
            raise ValueError("severities are of alerts: send: alerts")
        return self
