"""A guardrail document as people write it. These models load the files and are the source of
their JSON Schema.

Nothing is compiled here, and what takes two fields and a plain sentence to explain is checked in `lint`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from addons.core.documents import SpecModel

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
CatalogueId = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}-[0-9]{2}[A-Z]?$")]
Resource = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9.-]+)(/(\*|[a-zA-Z0-9]+))?$")]
Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "connect", "*"]


class MatchSpec(SpecModel):
    """Which requests the rule is about. Every list is "any of"; what is left out does not restrict."""

    api_groups: list[str] = Field(min_length=1, description='API groups; "" is the core group, "*" is every group')
    resources: list[Resource] = Field(
        min_length=1, description="`pods`, `pods/exec`, `pods/*`, `*/scale`, `*` (no subresources), `*/*` (everything)"
    )
    verbs: list[Verb] = Field(
        min_length=1, description="Kubernetes verbs; `connect` for exec, attach, portforward, proxy"
    )
    namespaces: list[str] = Field(
        default=[], description='with `*` as wildcard; "" is cluster-scoped or all namespaces'
    )
    names: list[Text] = Field(default=[], description="object names, with `*` as wildcard")
    connections: list[Text] = Field(default=[], description="connection names, with `*` as wildcard")


class IdentityFacts(SpecModel):
    """Who asks, in a rule's test."""

    sub: str = "agent"
    groups: list[str] = Field(default=[])
    act: str = ""
    owner: str = ""
    claims: dict[str, Any] = Field(default={})


class GrantFacts(SpecModel):
    """The grant, in a rule's test."""

    role: str = ""
    intent: str = ""


class ExampleSpec(SpecModel):
    """One example and whether the rule matches it."""

    expect: Literal["match", "no-match"]
    request: Annotated[str, StringConstraints(pattern=r"^[A-Z]+ /\S*$")] = Field(description="METHOD TARGET")
    object: dict[str, Any] | None = None
    old_object: dict[str, Any] | None = None
    identity: IdentityFacts = IdentityFacts()
    grant: GrantFacts = GrantFacts()
    connection: Text = "test"
    now: datetime | None = None


class GuardrailSpec(SpecModel):
    """A guardrail: what it is about, when it matches, how grave that is, and what to tell the agent."""

    description: Text
    covers: list[CatalogueId] = Field(default=[], description="ids of the guardrail catalogue")
    match: MatchSpec
    when: Text | None = Field(default=None, description="CEL; left out, every request `match` describes matches")
    risk: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="the connection's thresholds decide"
    )
    verdict: Literal["warn", "require_approval", "deny"] | None = Field(
        default=None, description="whatever the thresholds"
    )
    reason: Text
    hint: Text
    mode: Literal["enforce", "shadow"] = "enforce"
    tests: list[ExampleSpec] = Field(default=[])

    @model_validator(mode="after")
    def _one_measure(self) -> GuardrailSpec:
        if (self.risk is None) == (self.verdict is None):
            raise ValueError("exactly one of risk and verdict must be given")
        return self
