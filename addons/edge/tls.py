"""Certificates that the rules name or hold: checked when the rules are loaded, and the TLS of the gateway's own calls.

A cluster is verified against its own CA and nothing else; the machine's trust store has no part in it (B-84).
"""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from addons.core.connection import KIND, Connection
from addons.core.documents import Document
from addons.core.guardrails import Guardrail
from addons.core.guardrails.guardrail import KIND as GUARDRAIL
from addons.core.problem import Problem
from addons.core.saml_provider import KIND as SAML
from addons.core.saml_provider import SamlProvider


def check_ca_files(
    documents: Iterable[Document], connections: Mapping[str, Connection], now: datetime.datetime
) -> list[Problem]:
    """Every CA bundle that is missing, unreadable, no CA, or not valid at `now` (with a time zone), at its line."""
    return [
        document.problem(("spec", "caFile"), f"caFile {connections[document.name].ca_file} {mistake}")
        for document in documents
        if document.kind == KIND and document.name in connections
        for mistake in _mistakes(Path(connections[document.name].ca_file), now)
    ]


def check_webhook_cas(
    documents: Iterable[Document], rules: Mapping[str, Guardrail], now: datetime.datetime
) -> list[Problem]:
    """The same for the policy services that rules ask."""
    return [
        document.problem(("spec", "webhook", "caFile"), f"webhook.caFile {webhook.ca_file} {mistake}")
        for document in documents
        if document.kind == GUARDRAIL and document.name in rules
        if (webhook := rules[document.name].webhook) is not None
        for mistake in _mistakes(Path(webhook.ca_file), now)
    ]


def check_saml_certificates(documents: Iterable[Document], providers: Iterable[SamlProvider]) -> list[Problem]:
    """Every signing certificate of a SAML provider that cannot be read, at its line."""
    certificates = {provider.name: provider.certificates for provider in providers}
    return [
        document.problem(("spec", "certificates", index), "this certificate cannot be read: is it whole?")
        for document in documents
        if document.kind == SAML
        for index, text in enumerate(certificates.get(document.name, ()))
        if not _is_certificate(text)
    ]


def client_context(ca_file: str) -> ssl.SSLContext:
    """TLS towards a cluster: at least 1.2, its CA alone, its name checked, no client certificate (B-26).

    Reads the file. Without the strict mode of newer Pythons: cluster CAs often lack the extensions it insists on.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=ca_file)
    return context


def _is_certificate(text: str) -> bool:
    try:
        x509.load_pem_x509_certificate(text.encode()).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _mistakes(file: Path, now: datetime.datetime) -> Iterator[str]:
    """Nothing as long as one certificate is valid: during a rotation a bundle holds an old one too."""
    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except OSError as error:
        yield f"cannot be read: {error.strerror}"
        return
    except ValueError:
        yield "holds no certificate in PEM form"
        return
    if not any(one.not_valid_before_utc <= now < one.not_valid_after_utc for one in certificates):
        yield "; ".join(_validity(one, now) for one in certificates)


def _validity(certificate: x509.Certificate, now: datetime.datetime) -> str:
    name = certificate.subject.rfc4514_string() or "certificate without a name"
    if certificate.not_valid_before_utc > now:
        return f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d} ({name})"
    return f"expired on {certificate.not_valid_after_utc:%Y-%m-%d} ({name})"
