from __future__ import annotations

import datetime
import ssl
import textwrap
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from addons.core.connection import compile_connections
from addons.core.documents import parse_documents
from addons.core.problem import Problem
from addons.core.saml_provider import compile_saml
from addons.edge.tls import check_ca_files, check_saml_certificates, client_context

NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def certificate(name: str, start: datetime.datetime, end: datetime.datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, start, end)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


GOOD = certificate("good", NOW - DAY, NOW + DAY)
OLD = certificate("old", NOW - 2 * DAY, NOW)
NEW = certificate("", NOW + DAY, NOW + 2 * DAY)


def check(folder: Path, content: bytes | None) -> list[Problem]:
    file = folder / "connections" / "prod.yaml"
    file.parent.mkdir()
    if content is not None:
        (file.parent / "ca.pem").write_bytes(content)
    text = (
        "apiVersion: chaperone/v1\nkind: Connection\nmetadata: {name: prod}\nspec:\n  host: a.example:443\n"
        "  caFile: ca.pem\n  eks: {cluster: c, region: eu-west-1}\n"
    )
    documents, _ = parse_documents(text, str(file))
    connections, problems = compile_connections(documents)
    assert not problems
    return check_ca_files(documents, connections, NOW)


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        pytest.param(GOOD, "", id="valid"),
        pytest.param(OLD + GOOD, "", id="a rotation's bundle"),
        pytest.param(None, "cannot be read: No such file or directory", id="missing"),
        pytest.param(b"text", "holds no certificate in PEM form", id="no PEM"),
        pytest.param(b"", "holds no certificate in PEM form", id="empty"),
        pytest.param(OLD, "expired on 2026-11-23 (CN=old)", id="expired"),
        pytest.param(
            OLD + NEW,
            "expired on 2026-11-23 (CN=old); is not valid before 2026-11-24 (certificate without a name)",
            id="none is valid",
        ),
    ],
)
def test_ca_files(tmp_path: Path, content: bytes | None, mistake: str) -> None:
    problems = check(tmp_path, content)
    assert [(problem.line, problem.message) for problem in problems] == (
        [(6, f"caFile {tmp_path}/connections/ca.pem {mistake}")] if mistake else []
    )


def test_only_the_connections_own_documents_are_looked_at(tmp_path: Path) -> None:
    documents, _ = parse_documents("apiVersion: chaperone/v1\nkind: Access\nmetadata: {name: x}\nspec: {}\n", "x")
    assert check_ca_files(documents, {}, NOW) == []


def test_a_cluster_is_verified_by_its_own_ca_alone(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(GOOD)
    context = client_context(str(file))
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) + context.cert_store_stats()["x509"] <= 2


def test_a_saml_certificate_that_cannot_be_read_is_told_at_its_line() -> None:
    head = "apiVersion: chaperone/v1\nkind: SamlProvider\nmetadata: {name: p}\nspec:\n"
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    text = f"{head}  entityId: e\n  ssoUrl: https://idp\n  certificates:\n"
    for each in (GOOD.decode(), broken):
        text += f"    - |\n{textwrap.indent(each, '      ')}"
    documents, _ = parse_documents(text, "saml.yaml")
    providers, problems = compile_saml(documents)
    assert not problems
    (found,) = check_saml_certificates(documents, providers)
    assert "cannot be read" in found.message
    assert text.splitlines()[found.line - 1].strip() == "- |" and found.line > 8
    assert check_saml_certificates(documents, ()) == []
