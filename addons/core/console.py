"""The console: the process that signs people in by SAML and exchanges tokens; what of it the rule folders say.

The gateway accepts its session tokens as it does an OpenID provider's; who they speak for, another provider has said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from addons.core.console_role import Roles, RolesSpec
from addons.core.documents import Document, SpecModel, validate
from addons.core.identity_provider import IdentityProvider, Text, Url
from addons.core.problem import Problem

KIND = "Console"
ALGORITHM = "ES256"
LONGEST_SECONDS = 43200
"""No session token lasts longer, whatever the rules said when it was issued."""


class SignInSpec(SpecModel):
    """An OpenID provider at which people sign in to the console's pages."""

    identity_provider: Text = Field(description="the IdentityProvider, by name")
    client_id: Text = Field(
        description="the console as a public client (PKCE) of the provider; one of its `audiences`, as of any token"
    )
    scope: Text = Field(default="openid profile email", description="what is asked for; groups must be in the ID token")


class ConsoleSpec(SpecModel):
    """Where the console is, and for how long its session tokens may last."""

    url: Url = Field(description="its address, as agents, browsers and the gateway reach it: the `iss` of its tokens")
    audience: Text = Field(
        default="chaperone", description="the `aud` of its tokens, and the client id that people sign in with"
    )
    longest_seconds: Annotated[int, Field(ge=60, le=LONGEST_SECONDS)] = Field(
        default=3600, description="longest life of a session token"
    )
    sign_in: list[SignInSpec] = Field(
        default=[], description="OpenID providers for people who use the pages; SAML providers need not be named"
    )
    roles: RolesSpec = RolesSpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInProvider:
    """Where people sign in to the pages by OpenID; the console's address there is `/oidc/callback`."""

    identity_provider: str
    client_id: str
    scope: str = "openid profile email"


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """A `Console` document."""

    name: str
    url: str
    audience: str
    longest_seconds: int
    sign_in: tuple[SignInProvider, ...] = ()
    roles: Roles = field(default_factory=Roles)

    @property
    def origin(self) -> str:
        """What browsers say of its own pages (RFC 6454, section 6.1): no path, no port that goes without saying."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
        usual = {"https": 443, "http": 80}[parts.scheme]
        return f"{parts.scheme}://{host}" + ("" if parts.port in (None, usual) else f":{parts.port}")

    @property
    def base(self) -> str:
        """The path that its pages are below, as browsers see it; "" for none."""
        return urlsplit(self.url).path.rstrip("/")

    @property
    def provider(self) -> IdentityProvider:
        """As the issuer that it is to the gateway."""
        return IdentityProvider(
            name=self.name,
            issuer=self.url,
            audiences=(self.audience,),
            algorithms=frozenset({ALGORITHM}),
            jwks_uri=f"{self.url.rstrip('/')}/keys",
            owner="owner",
            session_tokens=True,
        )


def compile_console(documents: Iterable[Document]) -> tuple[Console | None, list[Problem]]:
    """The console, if there is one, and every mistake; there is at most one."""
    consoles: list[Console] = []
    problems: list[Problem] = []
    for document in documents:
        if document.kind != KIND:
            continue
        spec, mistakes = validate(document, ConsoleSpec)
        problems.extend(mistakes)
        if spec is not None:
            consoles.append(_console(document.name, spec))
        if len(consoles) > 1:
            problems.append(document.problem(("metadata", "name"), f"there is a console already: {consoles[0].name}"))
    return (consoles[0] if consoles else None), problems


def _console(name: str, spec: ConsoleSpec) -> Console:
    return Console(
        name=name,
        url=spec.url,
        audience=spec.audience,
        longest_seconds=spec.longest_seconds,
        sign_in=tuple(SignInProvider(**each.model_dump()) for each in spec.sign_in),
        roles=Roles.of(spec.roles),
    )


def check_sign_in(
    document: Document, console: Console, providers: Sequence[IdentityProvider], taken: Iterable[str]
) -> list[Problem]:
    """Mistakes in where people sign in; `taken` are the names of the SAML providers."""
    known = {each.name: each for each in providers}
    seen = set(taken)
    problems: list[Problem] = []
    for number, each in enumerate(console.sign_in):
        name, path = each.identity_provider, ("spec", "signIn", number)
        if name in seen:
            problems.append(document.problem(path, f"people sign in at {name} already"))
        seen.add(name)
        if name not in known:
            problems.append(document.problem(path, f"there is no IdentityProvider {name}"))
        elif each.client_id not in known[name].audiences:
            why = f"its tokens would be refused: {each.client_id} is not one of the audiences of {name}"
            problems.append(document.problem(path, why))
    return problems
