"""The console: the process that signs people in by SAML and exchanges tokens; what of it the rule folders say.

The gateway accepts its session tokens as it does an OpenID provider's; who they speak for, another provider has said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from addons.core.documents import Document, SpecModel, validate
from addons.core.identity_provider import IdentityProvider, Text, Url
from addons.core.problem import Problem

KIND = "Console"
ALGORITHM = "ES256"
LONGEST_SECONDS = 43200
"""No session token lasts longer, whatever the rules said when it was issued."""


class ConsoleSpec(SpecModel):
    """Where the console is, and for how long its session tokens may last."""

    url: Url = Field(description="its address, as agents, browsers and the gateway reach it: the `iss` of its tokens")
    audience: Text = Field(
        default="chaperone", description="the `aud` of its tokens, and the client id that people sign in with"
    )
    longest_seconds: Annotated[int, Field(ge=60, le=LONGEST_SECONDS)] = Field(
        default=3600, description="longest life of a session token"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """A `Console` document."""

    name: str
    url: str
    audience: str
    longest_seconds: int

    @property
    def origin(self) -> str:
        """What browsers say of its own pages (RFC 6454, section 6.1): no path, no port that goes without saying."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
        usual = {"https": 443, "http": 80}[parts.scheme]
        return f"{parts.scheme}://{host}" + ("" if parts.port in (None, usual) else f":{parts.port}")

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
            consoles.append(Console(name=document.name, **spec.model_dump()))
        if len(consoles) > 1:
            problems.append(document.problem(("metadata", "name"), f"there is a console already: {consoles[0].name}"))
    return (consoles[0] if consoles else None), problems
