"""SAML responses as they come from a browser: parsed safely, their signature verified, and read from what was signed.

Only the bytes that a signature covers are ever read, so a second assertion wrapped around it, or next to it, is never
seen. Comments and processing instructions, at which readers cut values in different ways, are refused everywhere.
Sources: SAML V2.0 core, section 5; XML Signature, section 8; CVE-2017-11427 (comments), "On Breaking SAML" (wrapping).
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

from cryptography.x509 import load_pem_x509_certificate
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from addons.core.claims import RejectedToken
from addons.core.saml import ASSERTION, PROTOCOL, SUCCESS, Assertion, Confirmation
from addons.core.saml_provider import SamlProvider

MAX_RESPONSE = 256 * 1024
_DS = "http://www.w3.org/2000/09/xmldsig#"
_NAMES = {"saml": ASSERTION, "samlp": PROTOCOL, "ds": _DS}
_CONFIGURATION = SignatureConfiguration(
    location="./",
    expect_references=1,
    signature_methods=frozenset(
        {
            SignatureMethod.RSA_SHA256,
            SignatureMethod.RSA_SHA384,
            SignatureMethod.RSA_SHA512,
            SignatureMethod.ECDSA_SHA256,
            SignatureMethod.ECDSA_SHA384,
        }
    ),
    digest_algorithms=frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512}),
)


def verified_assertion(encoded: str, provider: SamlProvider) -> Assertion:
    """What a provider's signed response says, of a `SAMLResponse` in base64. Raises RejectedToken."""
    response = _parsed(encoded)
    if response.tag != f"{{{PROTOCOL}}}Response" or response.get("Version") != "2.0":
        raise RejectedToken("it is not a SAML 2.0 response")
    if _attribute(response, "./samlp:Status/samlp:StatusCode", "Value") != SUCCESS:
        raise RejectedToken("the provider says that nobody has signed in")
    if response.find("./saml:EncryptedAssertion", _NAMES) is not None:
        raise RejectedToken(
            "its assertion is encrypted, which the way here is already: have the provider turn that off"
        )
    if response.find("./ds:Signature", _NAMES) is not None:
        return _read(_only(_signed(response, provider), "./saml:Assertion"))
    return _read(_signed(_only(response, "./saml:Assertion"), provider))


def redirect_parameter(request: bytes) -> str:
    """A message for the HTTP-Redirect binding (Bindings for SAML V2.0, section 3.4.4.1), not yet URL-encoded."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return base64.b64encode(compressor.compress(request) + compressor.flush()).decode()


def _parsed(encoded: str) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        text = base64.b64decode("".join(encoded.split()), validate=True)
        if len(text) > MAX_RESPONSE:
            raise RejectedToken(f"it is longer than {MAX_RESPONSE} bytes")
        root = etree.fromstring(text, parser)
    except (ValueError, etree.XMLSyntaxError):
        raise RejectedToken("it is not XML in base64") from None
    if root.getroottree().docinfo.internalDTD is not None or any(
        True for _ in root.iter(etree.Comment, etree.PI, etree.Entity)
    ):
        raise RejectedToken("it has a document type, a comment or a processing instruction")
    if any(True for _ in root.itersiblings(preceding=True)) or any(True for _ in root.itersiblings()):
        raise RejectedToken("it has something beside its root element")
    return root


def _signed(element: etree._Element, provider: SamlProvider) -> etree._Element:
    """The element as it was signed, whole, by one of the provider's certificates."""
    if not element.get("ID") or element.find("./ds:Signature", _NAMES) is None:
        raise RejectedToken("neither it nor its assertion is signed")
    for signature in element.findall("./ds:Signature", _NAMES):
        for named in signature.findall("./ds:KeyInfo", _NAMES):  # not signed, and of no use: the keys are known
            signature.remove(named)
    for certificate in provider.certificates:
        signed = _verified(element, certificate)
        if signed is not None and (signed.tag, signed.get("ID")) == (element.tag, element.get("ID")):
            return signed
    raise RejectedToken("its signature is not that of the provider, or not over all of it")


def _verified(element: etree._Element, certificate: str) -> etree._Element | None:
    try:
        trusted = load_pem_x509_certificate(certificate.encode())
        found = XMLVerifier().verify(
            etree.tostring(element, with_tail=False), x509_cert=trusted, expect_config=_CONFIGURATION
        )
    except (SignXMLException, ValueError, TypeError, etree.LxmlError):
        return None
    return None if isinstance(found, list) else found.signed_xml


def _read(assertion: etree._Element) -> Assertion:
    subject = _only(assertion, "./saml:Subject")
    conditions = _only(assertion, "./saml:Conditions")
    name_id = _only(subject, "./saml:NameID")
    return Assertion(
        id=assertion.get("ID", ""),
        issuer=_text(_only(assertion, "./saml:Issuer")),
        name_id=_text(name_id),
        name_id_format=name_id.get("Format", ""),
        confirmations=tuple(map(_confirmation, subject.findall("./saml:SubjectConfirmation", _NAMES))),
        not_before=conditions.get("NotBefore", ""),
        not_on_or_after=conditions.get("NotOnOrAfter", ""),
        audiences=tuple(
            tuple(map(_text, each.findall("./saml:Audience", _NAMES)))
            for each in conditions.findall("./saml:AudienceRestriction", _NAMES)
        ),
        conditions=frozenset(etree.QName(each).localname for each in conditions),
        statements=len(assertion.findall("./saml:AuthnStatement", _NAMES)),
        session_not_on_or_after=_attribute(assertion, "./saml:AuthnStatement", "SessionNotOnOrAfter"),
        attributes=_attributes(assertion),
    )


def _confirmation(element: etree._Element) -> Confirmation:
    data = element.find("./saml:SubjectConfirmationData", _NAMES)
    said: dict[str, str] = {} if data is None else {str(key): str(value) for key, value in data.attrib.items()}
    return Confirmation(
        method=element.get("Method", ""),
        recipient=said.get("Recipient", ""),
        not_before=said.get("NotBefore", ""),
        not_on_or_after=said.get("NotOnOrAfter", ""),
        in_response_to=said.get("InResponseTo", ""),
    )


def _attributes(assertion: etree._Element) -> dict[str, tuple[str, ...]]:
    """By name, the values of all attributes of that name."""
    found: dict[str, tuple[str, ...]] = {}
    for each in assertion.findall("./saml:AttributeStatement/saml:Attribute", _NAMES):
        name = each.get("Name", "")
        found[name] = (*found.get(name, ()), *map(_text, each.findall("./saml:AttributeValue", _NAMES)))
    return found


def _attribute(element: etree._Element, path: str, name: str) -> str:
    """An attribute of what is there once, "" if it is not there at all."""
    return _only(element, path).get(name, "") if element.find(path, _NAMES) is not None else ""


def _only(element: etree._Element, path: str) -> etree._Element:
    found: Sequence[etree._Element] = element.findall(path, _NAMES)
    if len(found) != 1:
        raise RejectedToken(f"it must have one {path.rpartition(':')[2]}")
    return found[0]


def _text(element: etree._Element) -> str:
    """The text of an element that has nothing else in it."""
    if len(element):
        raise RejectedToken("there is an element where there must be text")
    return (element.text or "").strip()
