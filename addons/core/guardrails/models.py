"""A guardrail document as people write it. These models load the files and are the source of their JSON Schema and of
the reference: each field says what it means.

Nothing is compiled here, and what takes two fields and a plain sentence to explain is checked in `lint`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from addons.core.decision import Severity
from addons.core.documents import SpecModel
from addons.core.guardrails.answer import Answer
from addons.core.guardrails.rate import Rate, rate_of_one
from addons.core.kube_request import KubeRequest

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
CatalogueId = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}-[0-9]{2}[A-Z]?$")]
Resource = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9.-]+)(/(\*|[a-zA-Z0-9]+))?$")]
Count = Annotated[int, Field(ge=0)]
Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "connect", "*"]


class MatchSpec(SpecModel):
    """Which requests the rule is about. Every list is "any of"; what is left out does not restrict."""

    api_groups: list[str] = Field(
        min_length=1, description='API groups, with `*` as wildcard; "" is the core group, "*" is every group'
    )
    resources: list[Resource] = Field(
        min_length=1, description="`pods`, `pods/exec`, `pods/*`, `*/scale`, `*` (no subresources), `*/*` (everything)"
    )
    exclude_resources: list[Resource] = Field(
        default=[], description="resources of `resources` that it is not about, written alike"
    )
    verbs: list[Verb] = Field(
        min_length=1, description="Kubernetes verbs; `connect` for exec, attach, portforward, proxy"
    )
    namespaces: list[str] = Field(
        default=[], description='with `*` as wildcard; "" is cluster-scoped or all namespaces'
    )
    names: list[Text] = Field(default=[], description="object names, with `*` as wildcard")
    connections: list[Text] = Field(default=[], description="connection names, with `*` as wildcard")
    each: Literal["request", "line", "output", "file", "port"] = Field(
        default="request",
        description="what is judged: the request itself, or, in the session that it opens, each `line` typed, each"
        " line of `output`, each `file` copied as a tar archive, each `port` that a port-forward connects to",
    )


class FileFacts(SpecModel):
    """A file that is copied, in a rule's test."""

    name: Text = Field(description="as in the archive")
    direction: Literal["in", "out"] = Field(description="into the pod or out of it")
    size: Count = Field(default=0, description="bytes")
    kind: Literal["file", "directory", "symlink", "hardlink", "other", "unreadable"] = Field(
        default="file", description="`unreadable`: the archive cannot be read"
    )


class IdentityFacts(SpecModel):
    """Who asks, in a rule's test."""

    sub: str = Field(default="agent", description="subject")
    groups: list[str] = Field(default=[], description="groups the caller is in")
    act: str = Field(default="", description="who acts on behalf of the subject")
    owner: str = Field(default="", description="who answers for the agent")
    claims: dict[str, Any] = Field(default={}, description="every claim of the token")


class GrantFacts(SpecModel):
    """The grant, in a rule's test."""

    role: str = Field(default="", description="ARN of the role")
    intent: str = Field(default="", description="what the caller says it is doing")


class RateFacts(SpecModel):
    """Requests of the last minute, in a rule's test."""

    requests: Count | None = Field(default=None, description="all, this one included; left out, this one alone")
    writes: Count | None = Field(default=None, description="everything but get, list and watch")
    lists: Count | None = Field(default=None, description="lists and watches")
    denied: Count | None = Field(default=None, description="refused with 403")

    def rate(self, request: KubeRequest) -> Rate:
        """The counts; what is left out is that of this one request."""
        return replace(rate_of_one(request), **self.model_dump(exclude_none=True))


class WebhookSpec(SpecModel):
    """An external policy service that is asked once `match` and `when` hold; the rule matches if it does not allow."""

    url: Annotated[str, StringConstraints(pattern=r"^https://[^\s@#]+$", max_length=2048)] = Field(
        description="where its admission webhook answers"
    )
    ca_file: Text = Field(
        description="the CA bundle (PEM) its certificate is verified with; a relative path is taken from the folder of"
        " this file"
    )
    timeout_seconds: Annotated[int, Field(ge=1, le=30)] = Field(
        default=5, description="without an answer by then the request is denied"
    )


class AnswerFacts(SpecModel):
    """What the service says, in a rule's test."""

    allowed: bool = Field(description="whether it allows the request")
    message: str = Field(default="", description="its `status.message`")

    def answer(self) -> Answer:
        """As it would be read."""
        return Answer(allowed=self.allowed, message=self.message)


class ExampleSpec(SpecModel):
    """One example and whether the rule matches it."""

    expect: Literal["match", "no-match"] = Field(description="what the rule must make of it")
    request: Annotated[str, StringConstraints(pattern=r"^[A-Z]+ /\S*$")] = Field(
        description="`METHOD TARGET`, as on the wire"
    )
    harmless: bool = Field(
        default=False, description="ordinary work, at which no rule may ask or deny; goes with `no-match`"
    )
    object: dict[str, Any] | None = Field(default=None, description="what the write results in")
    old_object: dict[str, Any] | None = Field(default=None, description="what is there before")
    identity: IdentityFacts = IdentityFacts()
    grant: GrantFacts = GrantFacts()
    connection: Text = Field(default="test", description="name of the connection")
    now: datetime | None = Field(default=None, description="when; left out, 2026-01-01T00:00:00Z")
    frozen: list[Text] = Field(default=[], description="freeze windows it falls into")
    rate: RateFacts = RateFacts()
    line: str = Field(default="", description="for `each: line` and `each: output`, the line")
    file: FileFacts | None = Field(default=None, description="for `each: file`, the file")
    port: Count = Field(default=0, description="for `each: port`, the port")
    affected: Count | None = Field(
        default=None, description="how many objects a deletecollection reaches; needed when the rule reads it"
    )
    webhook: AnswerFacts | None = Field(default=None, description="what the service says; needed when it is asked")


class AlertSpec(SpecModel):
    """Tell somebody of a match, whatever the verdict: a pipeline with `send: alerts` does, once per session."""

    severity: Severity = Field(description="how urgent")
    per: list[Literal["namespace", "resource", "name"]] = Field(
        default=[], description="once per session for each of these of the request, instead of once per session"
    )


class ApprovalsSpec(SpecModel):
    """Who approves where this rule asks, and how far an approval may go."""

    groups: list[Text] = Field(
        default=[], description="only members of these groups decide; left out, anybody who may approve"
    )
    count: Annotated[int, Field(ge=1, le=10)] = Field(
        default=1, description="how many different people have to agree; one who denies is enough to deny"
    )
    reuse: Literal["never", "session", "minutes"] = Field(
        default="never",
        description="whether the approver may allow the same again: `session` in the session that asked, `minutes` also"
        " in others of the same caller with the same intent",
    )
    max_minutes: Annotated[int, Field(ge=1, le=480)] = Field(
        default=15, description="for how long at most, with `session` and `minutes`"
    )
    any_name: bool = Field(
        default=False, description="whether an object of another name in the same namespace is the same, too"
    )


class GuardrailSpec(SpecModel):
    """What a rule is about, when it matches, how grave that is, and what to tell the agent."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["risk"]}, {"required": ["verdict"]}]})

    description: Text = Field(description="what the rule is for, in a sentence")
    covers: list[CatalogueId] = Field(default=[], description="ids of the guardrail catalogue")
    match: MatchSpec
    when: Text | None = Field(default=None, description="CEL; left out, every request `match` describes matches")
    webhook: WebhookSpec | None = Field(default=None, description="an external policy service that has the last word")
    risk: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="how grave a match is; the connection's thresholds make a verdict of it"
    )
    verdict: Literal["warn", "require_approval", "deny"] | None = Field(
        default=None, description="instead of `risk`: what a match leads to, whatever the thresholds"
    )
    retry_after_seconds: Annotated[int, Field(ge=1, le=3600)] | None = Field(
        default=None,
        description="with `verdict: deny`: refuse with 429 and Retry-After, so that clients try again by themselves",
    )
    approvals: ApprovalsSpec = Field(default=ApprovalsSpec(), description="what an approval takes where this rule asks")
    reason: Text = Field(description="why, in words an agent understands")
    hint: Text = Field(description="what the agent should do instead")
    alert: AlertSpec | None = Field(default=None, description="somebody is told of a match")
    mode: Literal["enforce", "shadow"] = Field(
        default="enforce", description="`shadow` reports a match in a `Warning` header and decides nothing"
    )
    tests: list[ExampleSpec] = Field(
        default=[], description="at least one that matches and one that does not; run whenever the rule is loaded"
    )

    @model_validator(mode="after")
    def _one_measure(self) -> GuardrailSpec:
        if (self.risk is None) == (self.verdict is None):
            raise ValueError("exactly one of risk and verdict must be given")
        if self.retry_after_seconds is not None and self.verdict != "deny":
            raise ValueError("retryAfterSeconds goes with verdict: deny only")
        return self
