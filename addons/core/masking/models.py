"""Masking documents as people write them. These models load the files; nothing is compiled here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from addons.core.documents import SpecModel

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Pattern = Annotated[str, StringConstraints(min_length=1)]
Resource = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9.-]+)(/[a-zA-Z0-9]+)?$")]


WHOLE = ("paths", "base64", "named", "copies", "manifests", "helm")
"""The fields of a rule by which values are replaced whatever they hold, rather than searched."""
_TARGETS = ("paths", "base64", "named", "json", "yaml", "helm", "detect", "detectBase64")
_SECRET_NAMES = "(?i)passw|secret|token|api[-_]?key|private[-_]?key|credential"

_NAMES_OF_SECRETS = "(?i)^(?:existing|imagepull)|(?:names?|refs?)$"


class MatchSpec(SpecModel):
    """Whose replies the rule is about."""

    api_groups: list[str] = Field(min_length=1, description='API groups; "" is the core group, "*" is every group')
    resources: list[Resource] = Field(
        min_length=1, description="`secrets` (its subresources too), `serviceaccounts/token`, `*/token`, `*`"
    )


class MaskingExample(SpecModel):
    """An object and what becomes of it. In `expect`, MASKED stands for any placeholder, plain or base64."""

    given: dict[str, Any] = Field(description="the object as the API server sends it")
    expect: dict[str, Any] | Literal["unchanged"] = Field(description="the object as it is passed on, or `unchanged`")


class MaskingSpec(SpecModel):
    """Which fields of an object are masked, and how each is encoded. Paths are JSONPath, relative to the object."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": [key]} for key in _TARGETS]})

    description: Text = Field(description="what the rule is for")
    match: MatchSpec
    paths: list[Text] = Field(default=[], description="values replaced by a placeholder")
    base64: list[Text] = Field(default=[], description="as `paths`, for fields that must stay valid base64")
    named: list[Text] = Field(
        default=[], description="objects in which, at any depth, the values of telling keys are replaced; see `names`"
    )
    names: Pattern = Field(default=_SECRET_NAMES, description="RE2 found in the keys that `named` is about")
    unless: Pattern = Field(default=_NAMES_OF_SECRETS, description="RE2 found in keys that are left alone all the same")
    copies: list[Text] = Field(
        default=[], alias="json", description="strings that hold a JSON copy of the object, masked by this rule inside"
    )
    manifests: list[Text] = Field(
        default=[], alias="yaml", description="strings that hold objects as YAML, each masked by the rules of its kind"
    )
    helm: list[Text] = Field(
        default=[],
        description="strings that hold a release of Helm: unpacked, masked by the rules of `releases` in `helm.sh`, and"
        " packed again; what is no release is left to the rest of the rule",
    )
    detect: list[Text] = Field(default=[], description="values in which detectors look for secrets")
    detect_base64: list[Text] = Field(default=[], description="as `detect`, for values in base64")
    guard: bool = Field(
        default=True,
        description="close the ways around what is replaced, too: what error messages quote, Table cells, JSON"
        " Patch operations that compare or copy",
    )
    columns: list[Text] = Field(
        default=["Name", "Namespace", "Age"],
        description="with guard: the Table columns shown as they are; cells of others are masked",
    )
    mention: Pattern | None = Field(
        default=None,
        description="RE2 found in the JSON bytes of every reply in which values are replaced, so that replies"
        " without it are passed on unread; not with guard",
    )
    tests: list[MaskingExample] = Field(
        min_length=2, description="at least one that masks something and one that is unchanged"
    )

    @model_validator(mode="after")
    def _does_something(self) -> MaskingSpec:
        if not any(getattr(self, name) for name in ("detect", "detect_base64", *WHOLE)):
            raise ValueError(f"at least one of {', '.join(_TARGETS)} must be given")
        if self.mention and self.guard:
            raise ValueError("mention needs guard: false, because a guarded reply is always read")
        return self


class DetectorExample(SpecModel):
    """A text and what becomes of it. In `expect`, MASKED stands for any placeholder."""

    given: str = Field(description="a text")
    expect: str = Field(description="the text as it is passed on")


class DetectorSpec(SpecModel):
    """A secret in free text: what it begins with, which stays readable, and what of it is masked."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["secret"]}, {"required": ["until"]}]})

    description: Text = Field(description="what it finds")
    start: Pattern = Field(description="RE2, of bounded length: the public beginning, such as ghp_")
    secret: Pattern | None = Field(default=None, description="RE2: what is masked; at most up to white space or quotes")
    then: Pattern | None = Field(default=None, description="RE2: what must follow the secret, such as @")
    entropy: Annotated[float, Field(gt=0, le=8)] | None = Field(
        default=None,
        description="Shannon entropy that the secret must have at least, in bits a character: of 32 random characters,"
        " hexadecimal digits have 3.4 to 3.9, letters and digits 4.3 to 4.9, words of a language 2.5 to 3.8",
    )
    until: Pattern | None = Field(default=None, description="RE2: instead of secret, masks everything up to this")
    tests: list[DetectorExample] = Field(
        min_length=2, description="at least one that masks something and one that does not"
    )

    @model_validator(mode="after")
    def _one_extent(self) -> DetectorSpec:
        if (self.secret is None) == (self.until is None):
            raise ValueError("exactly one of secret and until must be given")
        if self.until and (self.then or self.entropy):
            raise ValueError("then and entropy belong to secret, not to until")
        return self
