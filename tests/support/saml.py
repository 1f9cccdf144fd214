"""A SAML identity provider for tests: responses as XML, really signed, and the provider as the rules describe it."""

from __future__ import annotations

import base64
import copy
import datetime
import time
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, SignatureConstructionMethod
from signxml.signer import XMLSigner

from addons.core.saml import ASSERTION, PROTOCOL
from addons.core.saml_provider import SamlProvider

DS = "http://www.w3.org/2000/09/xmldsig#"
NAMES = {"saml": ASSERTION, "samlp": PROTOCOL, "ds": DS}
ISSUER = "urn:idp"
Element = etree._Element
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Pair:
    """A key, and its certificate in PEM form."""

    key: Key
    certificate: str


def pair(key: Key) -> Pair:
    """The key with a certificate of its own, which is good today."""
    name, now = x509.Name([]), datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return Pair(key, certificate.public_bytes(Encoding.PEM).decode())


RSA_PAIR = pair(rsa.generate_private_key(65537, 2048))
EC_PAIR = pair(ec.generate_private_key(ec.SECP256R1()))
OTHER_PAIR = pair(rsa.generate_private_key(65537, 2048))


def provider(*pairs: Pair, **changes: Any) -> SamlProvider:
    """The provider that signs with these."""
    certificates = tuple(each.certificate for each in pairs or (RSA_PAIR,))
    values = {"name": "workforce", "issuer": ISSUER, "sso_url": "https://idp/sso", "certificates": certificates}
    return SamlProvider(**{**values, **changes})


def instant(seconds: float) -> str:
    """As SAML has it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def assertion(
    name_id: str = "ann@corp",
    groups: tuple[str, ...] = ("agents",),
    request_id: str = "_request",
    base: str = "https://c",
    now: float | None = None,
    identifier: str = "_assertion",
) -> Element:
    """An assertion, not signed. `base` is the console's address."""
    at = time.time() if now is None else now
    values = "".join(f"<saml:AttributeValue>{each}</saml:AttributeValue>" for each in groups)
    return etree.fromstring(
        f'<saml:Assertion xmlns:saml="{ASSERTION}" ID="{identifier}" Version="2.0" IssueInstant="{instant(at)}">'
        f"<saml:Issuer>{ISSUER}</saml:Issuer>"
        f"<saml:Subject><saml:NameID>{name_id}</saml:NameID>"
        f'<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData'
        f' Recipient="{base}/saml/acs" NotOnOrAfter="{instant(at + 60)}" InResponseTo="{request_id}"/>'
        f"</saml:SubjectConfirmation></saml:Subject>"
        f'<saml:Conditions NotBefore="{instant(at - 5)}" NotOnOrAfter="{instant(at + 60)}"><saml:AudienceRestriction>'
        f"<saml:Audience>{base}/saml/metadata</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
        f'<saml:AuthnStatement AuthnInstant="{instant(at)}"><saml:AuthnContext/></saml:AuthnStatement>'
        f'<saml:AttributeStatement><saml:Attribute Name="groups">{values}</saml:Attribute></saml:AttributeStatement>'
        f"</saml:Assertion>"
    )


def response(*assertions: Element, status: str = "Success", identifier: str = "_response") -> Element:
    """A response with copies of these assertions, not signed."""
    found = etree.fromstring(
        f'<samlp:Response xmlns:samlp="{PROTOCOL}" xmlns:saml="{ASSERTION}" ID="{identifier}" Version="2.0">'
        f'<saml:Issuer>{ISSUER}</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:'
        f'{status}"/></samlp:Status></samlp:Response>'
    )
    found.extend(copy.deepcopy(each) for each in assertions)
    return found


class _AnyAlgorithm(XMLSigner):
    """Signs with what nobody should use, too."""

    def check_deprecated_methods(self) -> None:
        """Nothing is refused."""


def signed(
    element: Element, by: Pair = RSA_PAIR, algorithm: str = "", digest: str = "sha256", whole: str | None = None
) -> Element:
    """A copy with an enveloped signature of it, or of what has the ID `whole` in it."""
    usual = "rsa-sha256" if isinstance(by.key, rsa.RSAPrivateKey) else "ecdsa-sha256"
    signer = _AnyAlgorithm(
        SignatureConstructionMethod.enveloped,
        algorithm or usual,
        digest,
        CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    uri = str(element.get("ID")) if whole is None else whole
    found: Element = signer.sign(copy.deepcopy(element), key=by.key, cert=by.certificate, reference_uri=uri or None)
    return found


def encoded(element: Element | bytes) -> str:
    """As a browser sends it."""
    return base64.b64encode(element if isinstance(element, bytes) else etree.tostring(element)).decode()
