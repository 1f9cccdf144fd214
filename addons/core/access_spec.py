"""The `Access` documents as they are written: their fields, and what of each can be checked by itself."""

from __future__ import annotations

from typing import Annotated, Literal

import re2
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from addons.core.documents import SpecModel
from addons.core.guardrails.cel import compile_caller_condition
from addons.core.impersonation import ROLE, reserved

_WHO = ("groups", "subjects", "condition")
"""Keys of which one has to be there."""

_QUIET = re2.Options()
_QUIET.log_errors = False


def _pattern(text: str) -> str:
    try:
        re2.compile(text, _QUIET)
    except re2.error as error:
        raise ValueError(f"not a pattern: {error}") from error
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ROLE_ARN = r"arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}"
_SERVICE_ACCOUNT = r"system:serviceaccount:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?:[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"


def _condition(text: str) -> str:
    compile_caller_condition(text)
    return text


def _not_reserved(role: str) -> str:
    if not role.startswith("system:") and reserved(role):
        raise ValueError("names that begin with system: are not impersonated")
    return role


Role = Annotated[
    str, StringConstraints(pattern=rf"^({ROLE_ARN}|{_SERVICE_ACCOUNT}|{ROLE})$"), AfterValidator(_not_reserved)
]
Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Resource = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9]+(\.[a-z0-9.-]+)?(/(\*|[a-z]+))?|\*\.[a-z0-9][a-z0-9.-]*)$")
]
Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "connect"]


class ScopeSpec(SpecModel):
    """Narrows what the role could do. What is left out is left to the cluster's RBAC."""

    namespaces: list[Namespace] = Field(default=[], description="with these, cluster-scoped requests are outside")
    resources: list[Resource] = Field(
        default=[],
        description="`pods`, `pods/log`, `pods/*`, `deployments.apps/scale`, `*.apps`; no group: the core group",
    )
    verbs: list[Verb] = Field(
        default=[], description="`connect` is exec, attach, portforward, proxy, whatever the method"
    )


class IntentSpec(SpecModel):
    """What the caller must say it is doing."""

    pattern: Annotated[str, AfterValidator(_pattern)] = Field(description="RE2 expression the whole intent must match")
    example: Text = Field(description="an intent that matches, shown to agents whose intent does not")

    @model_validator(mode="after")
    def _example_matches(self) -> IntentSpec:
        if re2.fullmatch(self.pattern, self.example) is None:
            raise ValueError("the example does not match the pattern")
        return self


class OnRequestSpec(SpecModel):
    """Makes it a right that callers ask for (`chaperone request`), for at most `durationSeconds`."""

    approvers: list[Text] = Field(default=[], description="members of one of these groups decide, never the requester")
    approvals: Annotated[int, Field(ge=1, le=9)] = Field(default=1, description="how many of them have to agree")
    automatic: bool = Field(default=False, description="granted as soon as it is asked for: nobody is asked")

    @model_validator(mode="after")
    def _somebody_decides(self) -> OnRequestSpec:
        if self.automatic == bool(self.approvers):
            raise ValueError("name approvers, or say automatic: true")
        return self


class AccessSpec(SpecModel):
    """A right that callers hold as long as their token is valid, in windows of `durationSeconds`; or on request."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": [key]} for key in _WHO]})

    description: Text | None = Field(default=None, description="what the right is for")
    identity_provider: Text | None = Field(
        default=None, description="name of the provider who vouches for the callers; may be left out where there is one"
    )
    groups: list[Text] = Field(default=[], description="callers in one of these groups")
    subjects: list[Text] = Field(default=[], description="callers with one of these `sub`")
    condition: Annotated[Text, AfterValidator(_condition)] | None = Field(
        default=None,
        description="CEL over `claims` and `groups` of the caller that must be true as well; alone, for whoever it is"
        " true of. What has no value for a caller is not true",
    )
    connections: Annotated[list[Text], Field(min_length=1)] = Field(description="names of the clusters it is about")
    role: Role = Field(
        description="the IAM role assumed for the caller (`eks` connections), the service account whose token is used,"
        " `system:serviceaccount:NAMESPACE:NAME` (`serviceAccount` connections), or who is impersonated,"
        " `user:NAME group:NAME …`, where `{sub}` in the user is the caller's subject (`impersonate` connections)"
    )
    duration_seconds: Annotated[int, Field(ge=900, le=43200)] = Field(
        default=3600,
        description="longest window of one grant; the role's own sessions never exceed 3600 (role chaining)",
    )
    scope: ScopeSpec = ScopeSpec()
    unmask: list[Text] = Field(
        default=[],
        description="masking rules that do not hold for what these callers are shown (records stay masked); `secrets`"
        " shows the values of Secrets",
    )
    intent: IntentSpec | None = None
    on_request: OnRequestSpec | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(
        default=0, description="the highest wins; among equals there must be one role"
    )

    @model_validator(mode="after")
    def _somebody(self) -> AccessSpec:
        if not self.groups and not self.subjects and self.condition is None:
            raise ValueError("groups or subjects must name somebody, or a condition")
        return self
