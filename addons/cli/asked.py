"""A request as a command line describes it, for the commands that explain what would become of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from addons.core import strict_yaml
from addons.core.connection import compile_connections
from addons.core.decision import Thresholds
from addons.core.documents import Document
from addons.core.guardrails import GuardrailSet
from addons.core.inquiry import Judge, UnusableQuestion
from addons.core.problem import InvalidConfiguration
from addons.core.profile import THRESHOLDS, Profile
from addons.core.resources import BUILTIN_AND_OPTIONAL
from addons.core.strict_json import UnreadableBody

ProfileName = Literal["observe", "standard", "strict"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is known of the request besides its first line."""

    body: Annotated[Path | None, Parameter(help="File with the request body.")] = None
    content_type: Annotated[str, Parameter(help="Content type of the body.")] = "application/json"
    object: Annotated[Path | None, Parameter(help="YAML or JSON file: what the write results in.")] = None
    old_object: Annotated[Path | None, Parameter(help="YAML or JSON file: what is there now.")] = None
    subject: Annotated[str, Parameter(help="Who asks: the subject of the token.")] = ""
    group: Annotated[list[str], Parameter(help="A group the caller is in; may be repeated.", negative="")] = field(
        default_factory=list
    )
    role: Annotated[str, Parameter(help="ARN of the role that was granted.")] = ""
    intent: Annotated[str, Parameter(help="What the caller says it is doing.")] = ""
    now: Annotated[str, Parameter(help="When, such as 2026-05-01T18:00:00Z; left out, now.")] = ""
    connection: Annotated[
        str, Parameter(help="Judge by the profile, the thresholds and the rules of this connection.")
    ] = ""
    profile: Annotated[
        ProfileName | None, Parameter(help="Judge as if the connection had this profile and no thresholds of its own.")
    ] = None

    def question(self, request: str) -> dict[str, Any]:
        """The question that `inquire` takes. Raises UnusableQuestion, OSError."""
        method, _, target = request.partition(" ")
        question: dict[str, Any] = {"method": method, "target": target}
        if self.body is not None:
            question |= {"body": self.body.read_text("utf-8"), "headers": {"Content-Type": self.content_type}}
        if self.subject or self.group:
            question["identity"] = {"sub": self.subject or "agent", "groups": self.group}
        if self.role or self.intent:
            question["grant"] = {"role": self.role, "intent": self.intent}
        known = {"object": _read(self.object), "old_object": _read(self.old_object), "now": self.now}
        return question | {name: value for name, value in known.items() if value}

    def judge(self, guardrails: GuardrailSet, documents: list[Document]) -> Judge:
        """What the question is judged by. Raises InvalidConfiguration; LookupError for an unknown connection."""
        profile, thresholds = _stance(documents, self.connection)
        if self.profile is not None:
            profile = Profile(self.profile)
            thresholds = THRESHOLDS[profile]
        return Judge(
            guardrails=guardrails,
            resources=BUILTIN_AND_OPTIONAL,
            profile=profile,
            thresholds=thresholds,
            connection=self.connection,
        )


def _stance(documents: list[Document], connection: str) -> tuple[Profile, Thresholds]:
    if not connection:
        return Profile.STANDARD, THRESHOLDS[Profile.STANDARD]
    connections, problems = compile_connections(documents)
    if problems:
        raise InvalidConfiguration(problems)
    if connection not in connections:
        raise LookupError(f"no connection is named {connection}; known are: {', '.join(connections) or 'none'}")
    return connections[connection].profile, connections[connection].thresholds


def _read(file: Path | None) -> Any:
    """The object in a YAML or JSON file, read as strictly as a request's body."""
    if file is None:
        return None
    try:
        content = strict_yaml.loads(file.read_bytes())
    except UnreadableBody as error:
        raise UnusableQuestion(f"{file}: {error}") from error
    if not isinstance(content, dict):
        raise UnusableQuestion(f"{file}: not an object")
    return content
