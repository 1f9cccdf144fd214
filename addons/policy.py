"""Everything the rule folders say, compiled: one immutable value that a worker judges by.

Loading is all or nothing: with one mistake anywhere, nothing is used and every mistake is reported.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from addons.core.access import AccessPolicy, AccessRules, check_unmask, compile_access, cross_check
from addons.core.connection import Connection, compile_connections, moved
from addons.core.documents import Document
from addons.core.guardrails import GuardrailSet, compile_guardrails
from addons.core.guardrails.catalogue import compile_catalogue, uncatalogued
from addons.core.identity_provider import IdentityProvider
from addons.core.kinds import KINDS
from addons.core.masking import Masker, compile_masking
from addons.core.notify.channel import Channel, compile_notifications
from addons.core.pipelines.pipeline import Pipeline, compile_pipelines
from addons.core.problem import InvalidConfiguration, Problem
from addons.core.trust import Trust, compile_trust
from addons.edge.own_credential import check_kubeconfigs
from addons.edge.rulefiles import parse_files, read_files, read_rules, version_of
from addons.edge.tls import check_ca_files, check_saml_certificates, check_webhook_cas

_MASKING_KINDS = ("Masking", "Detector")
_GUARDRAIL_KINDS = ("Guardrail", "FreezeWindow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What `rules/` says. `version` names the files it was made of: two policies of one version are the same."""

    version: str
    connections: Mapping[str, Connection]
    trust: Trust
    access: AccessPolicy
    guardrails: GuardrailSet
    masker: Masker
    channels: tuple[Channel, ...] = ()
    """Where the console announces questions."""
    traced: bool = False
    """Whether some pipeline sends traces, so that what a caller says of its own is recorded."""
    single_use: frozenset[str] = field(init=False)
    """The issuers each of whose tokens is for the place of its first use alone; every request looks at them."""

    def __post_init__(self) -> None:
        issuers = frozenset(each.issuer for each in self.trust.providers if each.single_use)
        object.__setattr__(self, "single_use", issuers)

    @property
    def providers(self) -> Sequence[IdentityProvider]:
        """Whose tokens are accepted."""
        return self.trust.issuers

    def summary(self) -> str:
        """One line for people."""
        clusters = ", ".join(f"{name} ({each.profile})" for name, each in self.connections.items())
        return f"connections: {clusters}; {len(self.guardrails.rules)} guardrails; version {self.version[:12]}"


def load_judgement(folders: Sequence[str], fingerprint_key: bytes) -> tuple[GuardrailSet, Masker]:
    """Guardrails and masking alone: what needs no cluster. Raises InvalidConfiguration with every mistake."""
    documents, problems = read_rules(folders)
    guardrails, masker, found = _judgement(documents, fingerprint_key)
    _raise(problems + found)
    return guardrails, masker


def load_policy(
    folders: Sequence[str],
    fingerprint_key: bytes,
    now: datetime.datetime,
    known: Mapping[str, Connection] = MappingProxyType({}),
) -> Policy:
    """The whole policy. Raises InvalidConfiguration with every mistake in any file.

    `known` are clusters this process has known by name before: one that has moved is a mistake, too.
    """
    files, problems = read_files(folders)
    documents, found = parse_files(files)
    problems += found
    compiled, found = _compile(documents, fingerprint_key, now)
    connections, trust, rules, guardrails, masker, channels, pipelines = compiled
    _raise(problems + found + _missing(folders, documents) + moved(documents, connections, known))
    return Policy(
        version=version_of(files),
        connections=connections,
        trust=trust,
        access=AccessPolicy(rules, trust.vouchers),
        guardrails=guardrails,
        masker=masker,
        channels=channels,
        traced=any(pipeline.send == "traces" for pipeline in pipelines),
    )


def check_policy(
    folders: Sequence[str], fingerprint_key: bytes, now: datetime.datetime
) -> tuple[list[Document], list[Problem]]:
    """What the folders hold, and every mistake in it; they need not hold all that a gateway needs."""
    documents, problems = read_rules(folders)
    return documents, _ordered(problems + _compile(documents, fingerprint_key, now)[1])


_Compiled = tuple[
    Mapping[str, Connection], Trust, AccessRules, GuardrailSet, Masker, tuple[Channel, ...], tuple[Pipeline, ...]
]


def _compile(documents: Sequence[Document], key: bytes, now: datetime.datetime) -> tuple[_Compiled, list[Problem]]:
    problems = [_unknown(document) for document in documents if document.kind not in KINDS]
    connections, found = compile_connections(documents)
    problems += found + check_ca_files(documents, connections, now) + check_kubeconfigs(documents, connections)
    trust, found = compile_trust(documents)
    problems += found + check_saml_certificates(documents, trust.saml)
    rules, found = compile_access(documents)
    problems += found + cross_check(connections, trust.vouchers, rules)
    guardrails, masker, found = _judgement(documents, key)
    problems += check_webhook_cas(documents, guardrails.rules, now) + check_unmask(rules, masker.names) + found
    channels, found = compile_notifications(documents, connections, trust.vouchers, console=trust.console is not None)
    pipelines, mistakes = compile_pipelines(documents, connections)
    return (connections, trust, rules, guardrails, masker, channels, pipelines), problems + found + mistakes


def _judgement(documents: Sequence[Document], key: bytes) -> tuple[GuardrailSet, Masker, list[Problem]]:
    guardrails, problems = compile_guardrails([document for document in documents if document.kind in _GUARDRAIL_KINDS])
    catalogue, found = compile_catalogue(documents)
    problems += [*found, *uncatalogued(documents, catalogue)]
    masker, found = compile_masking([document for document in documents if document.kind in _MASKING_KINDS], key)
    return guardrails, masker, problems + found


def _missing(folders: Sequence[str], documents: Sequence[Document]) -> list[Problem]:
    """Absence never means "off": a gateway without one of these kinds is misconfigured."""
    present = {document.kind for document in documents}
    if "SamlProvider" in present:
        present.add("IdentityProvider")  # one kind of provider is enough
    return [
        Problem(folders[0], 0, f"no {kind} document in any rules folder: see docs and the *.example files")
        for kind in ("Connection", "IdentityProvider", "Access", "Guardrail", "Masking")
        if kind not in present
    ]


def _unknown(document: Document) -> Problem:
    return document.problem(("kind",), f"unknown kind {document.kind}; known are {', '.join(KINDS)}")


def _raise(problems: list[Problem]) -> None:
    if problems:
        raise InvalidConfiguration(_ordered(problems))


def _ordered(problems: list[Problem]) -> list[Problem]:
    return sorted(set(problems), key=lambda problem: (problem.file, problem.line, problem.message))
