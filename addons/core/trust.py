"""Who is believed about callers: OpenID and SAML providers, and the console, which speaks for what they have said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from addons.core import console as console_documents
from addons.core import identity_provider, saml_provider
from addons.core.console import Console, check_sign_in, compile_console
from addons.core.documents import Document
from addons.core.identity_provider import IdentityProvider, compile_identity
from addons.core.problem import Problem
from addons.core.saml_provider import SamlProvider, Voucher, compile_saml

_KINDS = (identity_provider.KIND, saml_provider.KIND, console_documents.KIND)
_ISSUERS = ("issuer", "entityId", "url")
"""The keys that name an issuer, one per kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """All of them, as the rule folders say."""

    providers: Sequence[IdentityProvider] = ()
    saml: Sequence[SamlProvider] = ()
    console: Console | None = None

    @property
    def issuers(self) -> tuple[IdentityProvider, ...]:
        """Whose tokens the gateway accepts."""
        return (*self.providers, *([self.console.provider] if self.console else []))

    @property
    def vouchers(self) -> tuple[Voucher, ...]:
        """Who says who callers are; the console only passes it on."""
        return (*self.providers, *self.saml)


def compile_trust(documents: Sequence[Document]) -> tuple[Trust, list[Problem]]:
    """Who is believed, and every mistake; two of them must not be taken for each other."""
    providers, problems = compile_identity(documents)
    saml, found = compile_saml(documents)
    console, more = compile_console(documents)
    problems = [*problems, *found, *more, *_confusable(documents)]
    if saml and console is None:
        problems += [_useless(document) for document in documents if document.kind == saml_provider.KIND]
    if console is not None:
        (document, *_) = [
            each for each in documents if (each.kind, each.name) == (console_documents.KIND, console.name)
        ]
        problems += check_sign_in(document, console, providers, [each.name for each in saml])
    return Trust(providers=providers, saml=saml, console=console), problems


def _useless(document: Document) -> Problem:
    return document.problem(("kind",), "people sign in by SAML at the console: a Console document is missing")


def _confusable(documents: Iterable[Document]) -> list[Problem]:
    """Names and issuers that documents of different kinds share."""
    problems: list[Problem] = []
    seen: dict[str, Document] = {}
    for document in documents:
        if document.kind not in _KINDS:
            continue
        issuers = [document.spec[key] for key in _ISSUERS if isinstance(document.spec.get(key), str)]
        for name in (document.name, *issuers):
            other = seen.setdefault(name, document)
            if other.kind != document.kind:
                problems.append(document.problem(("kind",), f"{name} is already that of the {other.kind} {other.name}"))
    return problems
