"""Who may vouch for callers: the `IdentityProvider` documents.

Only the issuer, what its tokens must contain and how its claims are read; fetching its keys is `addons/edge/oidc.py`.
Source: OpenID Connect Discovery 1.0, section 4.3; JSON Web Algorithms (RFC 7518), section 3.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from addons.core.documents import Document, SpecModel, validate
from addons.core.guardrails.cel import ClaimsExpression, compile_claims_expression
from addons.core.problem import Problem
from addons.core.safe_url import is_safe_url

KIND = "IdentityProvider"

Scalar = str | int | bool
ClaimSource = str | ClaimsExpression
"""Where a part of the identity comes from: the name of a claim, or an expression over all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityProvider:
    """An issuer whose tokens are accepted. `leeway_seconds` is for `nbf` and `iat`; `exp` is never stretched."""

    name: str
    issuer: str
    audiences: tuple[str, ...]
    algorithms: frozenset[str]
    jwks_uri: str = ""
    """Empty: from the issuer's discovery document."""
    subject: ClaimSource = "sub"
    groups: ClaimSource = "groups"
    owner: ClaimSource = ""
    """Empty: tokens of this issuer name no owner."""
    leeway_seconds: float = 30
    keys_max_age_seconds: float = 3600
    """How long keys count without a successful fetch; then tokens of this issuer cannot be judged."""
    required_claims: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()
    session_tokens: bool = False
    """Whether it is the console, whose tokens speak for callers of the other providers."""
    single_use: bool = False
    """True if a token is for the client address and connection of its first use alone; it needs a `jti`."""


def _safe_url(url: str) -> str:
    if not is_safe_url(url):
        raise ValueError("must be an https:// URL without user, query and fragment (http:// only to this machine)")
    return url


Url = Annotated[str, AfterValidator(_safe_url)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


_EXPRESSION = re.compile(r"\bclaims[.\[]")


def _source(text: str) -> ClaimSource:
    """The compiled expression if the text reads `claims`; else it is a claim's name. Raises InvalidExpression."""
    return compile_claims_expression(text) if _EXPRESSION.search(text) else text


def _claim_or_expression(text: str) -> str:
    _source(text)
    return text


ClaimText = Annotated[Text, AfterValidator(_claim_or_expression)]


class ClaimsSpec(SpecModel):
    """Which claims say who the caller is."""

    subject: ClaimText = Field(
        default="sub", description="claim that says who the caller is, or CEL over `claims` that gives it"
    )
    groups: ClaimText = Field(
        default="groups", description="claim with the list of the caller's groups, or CEL over `claims` that gives it"
    )
    owner: ClaimText | None = Field(
        default=None, description="claim with the human or team answerable for the agent, or CEL over `claims`"
    )


class IdentityProviderSpec(SpecModel):
    """An OpenID provider whose tokens identify agents."""

    issuer: Url = Field(description="exactly the `iss` of its tokens")
    audiences: Annotated[list[Text], Field(min_length=1)] = Field(description="a token must be meant for one of these")
    algorithms: Annotated[list[Algorithm], Field(min_length=1)] = Field(
        default=["RS256", "ES256"], description="signature algorithms; asymmetric ones only"
    )
    jwks_uri: Url | None = Field(default=None, description="its keys; left out, from its discovery document")
    claims: ClaimsSpec = ClaimsSpec()
    leeway_seconds: Annotated[int, Field(ge=0, le=300)] = Field(
        default=30, description="clock difference forgiven for nbf and iat; exp is never stretched"
    )
    keys_max_age_seconds: Annotated[int, Field(ge=60, le=86400)] = Field(
        default=3600, description="how long its keys count while it cannot be reached; then its tokens are refused"
    )
    required_claims: dict[Text, Scalar | Annotated[list[Scalar], Field(min_length=1)]] = Field(
        default={}, description="claims that must be present with this value, or with one of these values"
    )
    single_use: bool = Field(
        default=False,
        description="true: a token, which needs a jti, is refused but from the client address and for the connection of"
        " its first use",
    )


def compile_identity(documents: Iterable[Document]) -> tuple[tuple[IdentityProvider, ...], list[Problem]]:
    """The identity providers, and every mistake: unknown keys, unsafe URLs, a name or an issuer used twice."""
    providers: dict[str, IdentityProvider] = {}
    issuers: dict[str, str] = {}
    problems: list[Problem] = []
    for document in documents:
        if document.kind != KIND:
            continue
        spec, mistakes = validate(document, IdentityProviderSpec)
        problems.extend(mistakes)
        if spec is None:
            continue
        if document.name in providers:
            problems.append(document.problem(("metadata", "name"), f"two identity providers are named {document.name}"))
        other = issuers.setdefault(spec.issuer, document.name)
        if other != document.name:
            problems.append(document.problem(("spec", "issuer"), f"{spec.issuer} is already the issuer of {other}"))
        providers.setdefault(document.name, _provider(document.name, spec))
    return tuple(providers.values()), problems


def _provider(name: str, spec: IdentityProviderSpec) -> IdentityProvider:
    return IdentityProvider(
        name=name,
        issuer=spec.issuer,
        audiences=tuple(spec.audiences),
        algorithms=frozenset(spec.algorithms),
        jwks_uri=spec.jwks_uri or "",
        subject=_source(spec.claims.subject),
        groups=_source(spec.claims.groups),
        owner=_source(spec.claims.owner or ""),
        leeway_seconds=spec.leeway_seconds,
        keys_max_age_seconds=spec.keys_max_age_seconds,
        required_claims=tuple(
            (claim, tuple(wanted) if isinstance(wanted, list) else (wanted,))
            for claim, wanted in spec.required_claims.items()
        ),
        single_use=spec.single_use,
    )
