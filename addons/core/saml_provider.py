"""Who may vouch for people by SAML 2.0: the `SamlProvider` documents. The console is their service provider.

Their responses must be signed by one of the certificates here: metadata is not fetched, so nobody can change them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from addons.core.documents import Document, SpecModel, validate
from addons.core.identity_provider import IdentityProvider, Text
from addons.core.problem import Problem
from addons.core.safe_url import is_safe_url

KIND = "SamlProvider"
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def _certificate(text: str) -> str:
    if not text.strip().startswith(_BEGIN) or not text.strip().endswith(_END) or text.count(_BEGIN) != 1:
        raise ValueError("must be one certificate in PEM form")
    return text


def _sign_on_url(text: str) -> str:
    """Some providers name their customer in the query (https://accounts.google.com/o/saml2/idp?idpid=...)."""
    address, _, query = text.partition("?")
    if not is_safe_url(address) or not re.fullmatch(r"[\x21\x24-\x7e]*", query):
        raise ValueError("must be an https:// URL without user and fragment (http:// only to this machine)")
    return text


SignOnUrl = Annotated[str, AfterValidator(_sign_on_url)]


class AttributesSpec(SpecModel):
    """Which attributes of an assertion say who the person is."""

    subject: Text | None = Field(default=None, description="attribute with the subject; left out, the NameID")
    groups: Text = Field(default="groups", description="attribute with the names of the person's groups")


class SamlProviderSpec(SpecModel):
    """A SAML 2.0 identity provider whose people may sign in at the console."""

    entity_id: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[\x21-\x7e]+$")] = Field(
        description="exactly the Issuer of its assertions"
    )
    sso_url: SignOnUrl = Field(description="its single sign-on service, for the binding below")
    sso_binding: Literal["redirect", "post"] = Field(
        default="redirect", description="how a sign-in is asked for: HTTP-Redirect, or HTTP-POST"
    )
    certificates: Annotated[list[Annotated[str, AfterValidator(_certificate)]], Field(min_length=1, max_length=4)] = (
        Field(description="its signing certificates, in PEM form: more than one while it changes them")
    )
    attributes: AttributesSpec = AttributesSpec()
    leeway_seconds: Annotated[int, Field(ge=0, le=300)] = Field(
        default=30, description="clock difference forgiven for the beginning of an assertion, never for its end"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlProvider:
    """A `SamlProvider` document. `issuer` is its entity id: who vouches for the people it signs in."""

    name: str
    issuer: str
    sso_url: str
    certificates: tuple[str, ...]
    sso_binding: str = "redirect"
    subject: str = ""
    groups: str = "groups"
    leeway_seconds: float = 30


Voucher = IdentityProvider | SamlProvider
"""Who may vouch for callers: a rule is for those of one."""


def compile_saml(documents: Iterable[Document]) -> tuple[tuple[SamlProvider, ...], list[Problem]]:
    """The SAML providers, and every mistake: unknown keys, a name or an entity id used twice."""
    providers: dict[str, SamlProvider] = {}
    problems: list[Problem] = []
    for document in documents:
        if document.kind != KIND:
            continue
        spec, mistakes = validate(document, SamlProviderSpec)
        problems.extend(mistakes)
        if spec is None:
            continue
        if document.name in providers:
            problems.append(document.problem(("metadata", "name"), f"two SAML providers are named {document.name}"))
        if any(spec.entity_id == each.issuer for each in providers.values()):
            problems.append(document.problem(("spec", "entityId"), f"{spec.entity_id} is already another's entity id"))
        providers.setdefault(document.name, _provider(document.name, spec))
    return tuple(providers.values()), problems


def _provider(name: str, spec: SamlProviderSpec) -> SamlProvider:
    return SamlProvider(
        name=name,
        issuer=spec.entity_id,
        sso_url=spec.sso_url,
        certificates=tuple(spec.certificates),
        sso_binding=spec.sso_binding,
        subject=spec.attributes.subject or "",
        groups=spec.attributes.groups,
        leeway_seconds=spec.leeway_seconds,
    )
