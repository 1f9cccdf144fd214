"""Signed SAML responses, and the attacks on them: refused, or what was truly signed is read.

XSW1 to XSW8 are the shapes of signature wrapping of "On Breaking SAML: Be Whoever You Want to Be" (2012), as its
authors' tool numbers them.
"""

from __future__ import annotations

import base64
import copy
import zlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from addons.core.claims import RejectedToken
from addons.core.saml import ASSERTION, PROTOCOL, Assertion
from addons.edge.saml import MAX_RESPONSE, redirect_parameter, verified_assertion
from tests.support.saml import (
    DS,
    EC_PAIR,
    NAMES,
    OTHER_PAIR,
    RSA_PAIR,
    Element,
    Pair,
    assertion,
    encoded,
    provider,
    response,
    signed,
)

WHO = assertion("ann@corp", ("agents", "people"))
EVIL = assertion("mallory", ("system-admins",), identifier="_evil")
BY_RESPONSE = signed(response(WHO))
BY_ASSERTION = response(signed(WHO))
BOTH = signed(response(signed(WHO)))


def read(message: Element | bytes, *pairs: Pair) -> Assertion:
    return verified_assertion(encoded(message), provider(*pairs))


def find(element: Element, path: str) -> Element:
    found = element.find(path, NAMES)
    assert found is not None, path
    return found


def move(element: Element, into: Element, index: int | None = None) -> Element:
    """Put an element somewhere else, as its last child or at an index."""
    if index is None:
        into.append(element)
    else:
        into.insert(index, element)
    return element


def raw(message: Element, old: str, new: str) -> bytes:
    """The bytes of a message with something in them replaced."""
    text = etree.tostring(message).decode()
    assert old in text
    return text.replace(old, new).encode()


@pytest.mark.parametrize(
    ("message", "pairs"),
    [
        pytest.param(BY_RESPONSE, [RSA_PAIR], id="the response is signed"),
        pytest.param(BY_ASSERTION, [RSA_PAIR], id="the assertion is signed"),
        pytest.param(BOTH, [RSA_PAIR], id="both are signed"),
        pytest.param(signed(response(WHO), EC_PAIR), [EC_PAIR], id="ECDSA, the response"),
        pytest.param(response(signed(WHO, EC_PAIR)), [EC_PAIR], id="ECDSA, the assertion"),
        pytest.param(signed(response(WHO), algorithm="rsa-sha384", digest="sha384"), [RSA_PAIR], id="SHA-384"),
        pytest.param(signed(response(WHO), algorithm="rsa-sha512", digest="sha512"), [RSA_PAIR], id="SHA-512"),
        pytest.param(BY_RESPONSE, [OTHER_PAIR, RSA_PAIR], id="the second of two certificates"),
        pytest.param(BY_RESPONSE, [EC_PAIR, RSA_PAIR], id="the second of two, the first of another kind"),
    ],
)
def test_what_is_signed_is_read(message: Element, pairs: list[Pair]) -> None:
    found = read(message, *pairs)
    assert (found.id, found.issuer, found.name_id, found.name_id_format) == ("_assertion", "urn:idp", "ann@corp", "")
    assert found.attributes == {"groups": ("agents", "people")}
    assert found.audiences == (("https://c/saml/metadata",),)
    assert (set(found.conditions), found.statements) == ({"AudienceRestriction"}, 1)
    conditions = find(WHO, "./saml:Conditions")
    assert (found.not_before, found.not_on_or_after) == (conditions.get("NotBefore"), conditions.get("NotOnOrAfter"))
    (confirmation,) = found.confirmations
    assert confirmation.method == "urn:oasis:names:tc:SAML:2.0:cm:bearer"
    assert (confirmation.recipient, confirmation.in_response_to) == ("https://c/saml/acs", "_request")
    assert (confirmation.not_before, confirmation.not_on_or_after) == ("", conditions.get("NotOnOrAfter"))


def changed(change: Callable[[Element], object]) -> Element:
    """A signed response whose assertion was changed before."""
    who = copy.deepcopy(WHO)
    change(who)
    return signed(response(who))


def child(parent: Element, tag: str, text: str = "", **attributes: str) -> Element:
    made = etree.SubElement(parent, f"{{{ASSERTION}}}{tag}", attributes)
    made.text = text
    return made


def test_the_rest_of_an_assertion() -> None:
    def change(who: Element) -> None:
        find(who, "./saml:Subject/saml:NameID").set("Format", "urn:x")
        find(who, "./saml:AuthnStatement").set("SessionNotOnOrAfter", "2030-01-01T00:00:00Z")
        child(find(who, "./saml:Subject"), "SubjectConfirmation", Method="urn:holder")
        data = find(who, "./saml:Subject/saml:SubjectConfirmation/saml:SubjectConfirmationData")
        data.set("NotBefore", "2020-01-01T00:00:00Z")
        child(find(who, "./saml:Conditions"), "OneTimeUse")
        more = child(child(who, "AttributeStatement"), "Attribute", Name="groups")
        child(more, "AttributeValue", "  spaced\n")
        child(more, "AttributeValue")
        child(find(who, "./saml:AttributeStatement"), "Attribute")

    found = read(changed(change))
    assert (found.name_id_format, found.session_not_on_or_after) == ("urn:x", "2030-01-01T00:00:00Z")
    assert [each.method.rpartition(":")[2] for each in found.confirmations] == ["bearer", "holder"]
    assert [each.not_before for each in found.confirmations] == ["2020-01-01T00:00:00Z", ""]
    assert found.conditions == {"AudienceRestriction", "OneTimeUse"}
    assert found.attributes == {"groups": ("agents", "people", "spaced", ""), "": ()}


def drop(path: str) -> Element:
    return changed(lambda who: find(who, path).getparent().remove(find(who, path)))  # type: ignore[union-attr]


def twice(path: str) -> Element:
    return changed(lambda who: find(who, path).addnext(copy.deepcopy(find(who, path))))


@pytest.mark.parametrize(
    ("message", "why"),
    [
        pytest.param(signed(response()), "one Assertion", id="no assertion"),
        pytest.param(signed(response(WHO, EVIL)), "one Assertion", id="two assertions, both signed"),
        pytest.param(response(signed(WHO), signed(EVIL)), "one Assertion", id="two signed assertions"),
        pytest.param(drop("./saml:Issuer"), "one Issuer", id="no issuer"),
        pytest.param(twice("./saml:Issuer"), "one Issuer", id="two issuers"),
        pytest.param(drop("./saml:Subject"), "one Subject", id="no subject"),
        pytest.param(twice("./saml:Subject"), "one Subject", id="two subjects"),
        pytest.param(drop("./saml:Subject/saml:NameID"), "one NameID", id="no NameID"),
        pytest.param(twice("./saml:Subject/saml:NameID"), "one NameID", id="two NameIDs"),
        pytest.param(drop("./saml:Conditions"), "one Conditions", id="no conditions"),
        pytest.param(twice("./saml:Conditions"), "one Conditions", id="two conditions"),
        pytest.param(twice("./saml:AuthnStatement"), "one AuthnStatement", id="two sign-ins"),
        pytest.param(
            changed(lambda who: child(find(who, "./saml:Subject/saml:NameID"), "x", "y")),
            "an element where",
            id="an element in the NameID",
        ),
        pytest.param(
            changed(lambda who: child(find(who, ".//saml:AttributeValue"), "x", "y")),
            "an element where",
            id="an element in an attribute's value",
        ),
        pytest.param(signed(response(WHO, status="Responder")), "nobody has signed in", id="status not success"),
        pytest.param(
            signed(etree.fromstring(f'<R xmlns="{PROTOCOL}" ID="a"/>')), "not a SAML 2.0", id="another element"
        ),
        pytest.param(signed(WHO), "not a SAML 2.0", id="an assertion alone"),
    ],
)
def test_what_the_provider_signed_but_is_no_sign_in(message: Element, why: str) -> None:
    with pytest.raises(RejectedToken, match=why):
        read(message)


def version() -> Element:
    message = response(WHO)
    message.set("Version", "1.1")
    return signed(message)


def two_status_codes() -> Element:
    message = response(WHO)
    code = find(message, "./samlp:Status/samlp:StatusCode")
    code.addnext(copy.deepcopy(code))
    return signed(message)


def no_status() -> Element:
    message = response(WHO)
    message.remove(find(message, "./samlp:Status"))
    return signed(message)


def encrypted() -> Element:
    message = response(WHO)
    child(message, "EncryptedAssertion")
    return signed(message)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        pytest.param(version(), "not a SAML 2.0", id="SAML 1.1"),
        pytest.param(two_status_codes(), "one StatusCode", id="two status codes"),
        pytest.param(no_status(), "nobody has signed in", id="no status"),
        pytest.param(encrypted(), "encrypted", id="an encrypted assertion"),
    ],
)
def test_responses_of_another_kind(message: Element, why: str) -> None:
    with pytest.raises(RejectedToken, match=why):
        read(message)


# Attacks on a response: from BY_RESPONSE and BY_ASSERTION, whatever somebody without the provider's key can make.


def _taken(message: Element) -> tuple[Element, Element]:
    """The message's signed element without its signature, and the signature."""
    signature = find(message, ".//ds:Signature")
    owner = signature.getparent()
    assert owner is not None
    whole = copy.deepcopy(owner)
    whole.remove(find(whole, "./ds:Signature"))
    return whole, copy.deepcopy(signature)


def _object(signature: Element, content: Element) -> None:
    move(content, etree.SubElement(signature, f"{{{DS}}}Object"))


def xsw1(identifier: str) -> Element:
    """A forged response around the signature, around the signed response."""
    original, signature = _taken(BY_RESPONSE)
    forged = response(EVIL, identifier=identifier)
    _object(move(signature, forged), original)
    return forged


def xsw2(identifier: str) -> Element:
    """A forged response with the signed one before its signature."""
    original, signature = _taken(BY_RESPONSE)
    forged = response(EVIL, identifier=identifier)
    move(original, forged)
    move(signature, forged)
    return forged


def xsw3(identifier: str) -> Element:
    """A forged assertion before the signed one."""
    message = copy.deepcopy(BY_ASSERTION)
    find(message, "./saml:Assertion").addprevious(forged_assertion(identifier))
    return message


def xsw4(identifier: str) -> Element:
    """A forged assertion around the signed one."""
    forged = forged_assertion(identifier)
    move(copy.deepcopy(find(BY_ASSERTION, "./saml:Assertion")), forged)
    return response(forged)


def xsw5(identifier: str) -> Element:
    """A forged assertion with the signature, and the signed one after it."""
    original, signature = _taken(BY_ASSERTION)
    forged = forged_assertion(identifier)
    move(signature, forged)
    return response(forged, original)


def xsw6(identifier: str) -> Element:
    """A forged assertion around the signature, around the signed one."""
    original, signature = _taken(BY_ASSERTION)
    forged = forged_assertion(identifier)
    move(original, move(signature, forged))
    return response(forged)


def xsw7(identifier: str) -> Element:
    """A forged assertion in extensions, before the signed one."""
    message = copy.deepcopy(BY_ASSERTION)
    extensions = etree.Element(f"{{{PROTOCOL}}}Extensions")
    move(forged_assertion(identifier), extensions)
    return move(extensions, message, 1).getparent()  # type: ignore[return-value]


def xsw8(identifier: str) -> Element:
    """A forged assertion around the signature, around an object with the signed one."""
    original, signature = _taken(BY_ASSERTION)
    forged = forged_assertion(identifier)
    _object(move(signature, forged), original)
    return response(forged)


def forged_assertion(identifier: str) -> Element:
    return assertion("mallory", ("system-admins",), identifier=identifier)


def only_if_true(message: Element | bytes) -> Assertion | None:
    """What is read, None where it is refused; never anything that was not signed."""
    try:
        found = read(message)
    except RejectedToken:
        return None
    assert found == read(BY_RESPONSE)
    return found


@pytest.mark.parametrize("identifier", ["_evil", "_assertion", "_response", ""])
@pytest.mark.parametrize(
    ("attack", "refused"),
    [(xsw1, True), (xsw2, True), (xsw3, True), (xsw4, True), (xsw5, True), (xsw6, True), (xsw7, False), (xsw8, True)],
)
def test_signature_wrapping(attack: Callable[[str], Element], refused: bool, identifier: str) -> None:
    found = only_if_true(attack(identifier))
    assert found is None or not refused


@pytest.mark.parametrize("attack", [xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8])
def test_signature_wrapping_with_another_signature_on_top(attack: Callable[[str], Element]) -> None:
    assert only_if_true(signed(attack("_other"), OTHER_PAIR)) is None


def without_signature() -> Element:
    return response(WHO)


def two_signatures() -> Element:
    message = copy.deepcopy(BY_RESPONSE)
    signature = find(message, "./ds:Signature")
    signature.addnext(copy.deepcopy(signature))
    return message


def duplicate_id() -> Element:
    """Something else in the signed assertion's response has its ID."""
    message = response(signed(WHO))
    find(message, "./samlp:Status").set("ID", "_assertion")
    return signed(message, OTHER_PAIR)


def duplicate_id_inside() -> Element:
    who = copy.deepcopy(WHO)
    find(who, "./saml:Subject").set("ID", "_assertion")
    find(who, "./saml:Subject/saml:NameID").text = "mallory"
    message = response(who)
    move(_taken(BY_ASSERTION)[1], find(message, "./saml:Assertion"))
    return message


def part_only() -> Element:
    """The provider signed a part of the assertion; the signature stands where that of the whole does."""
    who = copy.deepcopy(WHO)
    find(who, "./saml:Conditions").set("ID", "_part")
    return response(signed(who, whole="_part"))


def inner_signature() -> Element:
    """The assertion is signed within a response whose own signature is not the provider's."""
    return signed(response(signed(WHO)), OTHER_PAIR)


def smuggled(transform: str, inside: str = "") -> Element:
    """An attacker's signature has it anyway; in the provider's, it breaks what is signed."""
    message = copy.deepcopy(BY_RESPONSE)
    transforms = find(message, ".//ds:Transforms")
    made = etree.SubElement(transforms, f"{{{DS}}}Transform", Algorithm=transform)
    if inside:
        made.append(etree.fromstring(inside))
    return message


def with_attackers_key() -> Element:
    """Signed with another key, whose certificate is in the signature."""
    message = signed(response(EVIL), OTHER_PAIR)
    assert message.find(".//ds:X509Certificate", NAMES) is not None
    return message


def hmac_with_certificate() -> Element:
    """HMAC-SHA256 whose key is the provider's certificate, which everybody knows."""
    message = signed(response(EVIL))
    find(message, ".//ds:SignatureMethod").set("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")
    digest = hmac.HMAC(RSA_PAIR.certificate.encode(), hashes.SHA256())
    digest.update(etree.tostring(find(message, ".//ds:SignedInfo"), method="c14n", exclusive=True))
    find(message, ".//ds:SignatureValue").text = base64.b64encode(digest.finalize()).decode()
    return message


def two_references() -> Element:
    message = copy.deepcopy(BY_RESPONSE)
    reference = find(message, ".//ds:Reference")
    reference.addnext(copy.deepcopy(reference))
    return message


def no_id() -> Element:
    message = response(WHO)
    del message.attrib["ID"]
    return signed(message, whole="")


DOCTYPE = b'<!DOCTYPE r [<!ENTITY who "mallory"><!ENTITY file SYSTEM "file:///etc/passwd">]>'
XSLT = (
    '<x:stylesheet xmlns:x="http://www.w3.org/1999/XSL/Transform" version="1.0"><x:template match="/">'
    "<a/></x:template></x:stylesheet>"
)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(without_signature(), id="no signature"),
        pytest.param(signed(response(WHO), OTHER_PAIR), id="signed by another key"),
        pytest.param(response(signed(WHO, OTHER_PAIR)), id="assertion signed by another key"),
        pytest.param(with_attackers_key(), id="KeyInfo with the attacker's certificate"),
        pytest.param(inner_signature(), id="good assertion in a response that another has signed"),
        pytest.param(signed(response(WHO), algorithm="rsa-sha1"), id="signature with SHA-1"),
        pytest.param(signed(response(WHO), digest="sha1"), id="digest with SHA-1"),
        pytest.param(hmac_with_certificate(), id="HMAC with the certificate as its key"),
        pytest.param(two_signatures(), id="two signatures"),
        pytest.param(two_references(), id="two references"),
        pytest.param(duplicate_id(), id="an ID twice in the response"),
        pytest.param(duplicate_id_inside(), id="an ID twice in the assertion"),
        pytest.param(part_only(), id="signed is not the whole assertion"),
        pytest.param(no_id(), id="no ID"),
        pytest.param(smuggled("http://www.w3.org/TR/1999/REC-xslt-19991116", XSLT), id="XSLT transform"),
        pytest.param(
            smuggled("http://www.w3.org/TR/1999/REC-xpath-19991116", f'<XPath xmlns="{DS}">false()</XPath>'),
            id="XPath transform",
        ),
        pytest.param(smuggled("http://www.w3.org/2000/09/xmldsig#base64"), id="base64 transform"),
        pytest.param(raw(BY_RESPONSE, "ann@corp", "eve@corp"), id="NameID changed"),
        pytest.param(raw(BY_RESPONSE, ">agents<", ">admins<"), id="attribute value changed"),
        pytest.param(raw(BY_RESPONSE, 'Name="groups"', 'Name="other"'), id="attribute name changed"),
        pytest.param(raw(BY_ASSERTION, "https://c/saml/metadata", "https://d/saml/metadata"), id="audience changed"),
        pytest.param(raw(BY_ASSERTION, "#_assertion", "#_other"), id="reference to nothing"),
        pytest.param(raw(BY_ASSERTION, "#_assertion", "http://127.0.0.1:1/x"), id="reference to somewhere else"),
        pytest.param(raw(BY_ASSERTION, "#_assertion", "file:///etc/passwd"), id="reference to a file"),
        pytest.param(raw(BY_ASSERTION, "#_assertion", "#xpointer(/)"), id="reference by XPointer"),
        pytest.param(raw(BY_RESPONSE, "ann@corp", "admin@corp<!---->.evil"), id="comment in the NameID"),
        pytest.param(raw(BY_RESPONSE, "ann@corp", "ann<!---->@corp"), id="comment that changes nothing"),
        pytest.param(raw(BY_RESPONSE, "ann@corp", "ann<?x?>@corp"), id="processing instruction in the NameID"),
        pytest.param(raw(BY_RESPONSE, "</samlp:Status>", "</samlp:Status><!---->"), id="comment elsewhere"),
        pytest.param(DOCTYPE + etree.tostring(BY_RESPONSE), id="DOCTYPE"),
        pytest.param(DOCTYPE + raw(BY_RESPONSE, "ann@corp", "&who;"), id="entity"),
        pytest.param(DOCTYPE + raw(BY_RESPONSE, "ann@corp", "&file;"), id="entity from a file"),
        pytest.param(b"<!DOCTYPE r>" + etree.tostring(BY_RESPONSE), id="DOCTYPE without entities"),
        pytest.param(raw(BY_RESPONSE, "ann@corp", "&nobody;"), id="unknown entity"),
        pytest.param(b"<!---->" + etree.tostring(BY_RESPONSE), id="comment before"),
        pytest.param(etree.tostring(BY_RESPONSE) + b"<?x?>", id="processing instruction after"),
        pytest.param(etree.tostring(BY_RESPONSE) * 2, id="two documents"),
        pytest.param(etree.tostring(BY_RESPONSE) + b" " * MAX_RESPONSE, id="huge"),
        pytest.param(raw(BY_RESPONSE, "ann@corp", "<a>" * 300 + "</a>" * 300), id="deep"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"mallory", id="not XML"),
        pytest.param(b"\x00\xff", id="bytes"),
        pytest.param(raw(BY_RESPONSE, "<ds:SignatureValue>", "<ds:SignatureValue>AAAA"), id="signature changed"),
        pytest.param(raw(BY_RESPONSE, "#rsa-sha256", "#unheard-of"), id="unknown algorithm"),
        pytest.param(raw(BY_RESPONSE, "#rsa-sha256", "#ecdsa-sha256"), id="algorithm of another kind of key"),
    ],
)
def test_attacks_are_refused(message: Element | bytes) -> None:
    with pytest.raises(RejectedToken):
        read(message)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("!" + encoded(BY_RESPONSE), id="not base64"),
        pytest.param(encoded(BY_RESPONSE)[:-1], id="base64 cut"),
        pytest.param(encoded(BY_RESPONSE) + "é", id="not ASCII"),
        pytest.param(etree.tostring(BY_RESPONSE).decode(), id="XML without base64"),
        pytest.param(redirect_parameter(etree.tostring(BY_RESPONSE)), id="deflated"),
    ],
)
def test_what_is_not_base64_of_xml(text: str) -> None:
    with pytest.raises(RejectedToken, match="not XML in base64"):
        verified_assertion(text, provider())


def empty(path: str) -> Element:
    message = copy.deepcopy(BY_RESPONSE)
    find(message, path).text = None
    return message


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(empty(".//ds:SignatureValue"), id="no signature value"),
        pytest.param(empty(".//ds:DigestValue"), id="no digest"),
    ],
)
def test_a_signature_with_nothing_in_it(message: Element) -> None:
    with pytest.raises(RejectedToken):
        read(message)


def with_key_info(text: str) -> Element:
    message = copy.deepcopy(BY_RESPONSE)
    info = find(message, ".//ds:KeyInfo")
    info.clear()
    info.append(etree.fromstring(text))
    return message


def unsigned_object() -> Element:
    """Something that is not signed in the signature itself, which is not signed either."""
    message = copy.deepcopy(BY_RESPONSE)
    _object(find(message, "./ds:Signature"), forged_assertion("_evil"))
    return message


def unsigned_neighbour() -> Element:
    message = copy.deepcopy(BY_ASSERTION)
    child(message, "Attribute", "evil", Name="groups")
    return message


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(
            with_key_info(
                f'<KeyValue xmlns="{DS}"><RSAKeyValue><Modulus>AQAB</Modulus><Exponent>AQAB</Exponent></RSAKeyValue>'
                "</KeyValue>"
            ),
            id="KeyInfo with another key",
        ),
        pytest.param(
            with_key_info(f'<KeyValue xmlns="{DS}"><DSAKeyValue/></KeyValue>'), id="KeyInfo with an empty key"
        ),
        pytest.param(with_key_info(f'<KeyName xmlns="{DS}">mallory</KeyName>'), id="KeyInfo with a name"),
        pytest.param(
            with_key_info(f'<RetrievalMethod xmlns="{DS}" URI="http://127.0.0.1:1/"/>'), id="KeyInfo from elsewhere"
        ),
        pytest.param(
            raw(BY_RESPONSE, "<ds:SignatureValue>", "<ds:SignatureValue>!"), id="signature with what base64 skips"
        ),
        pytest.param(unsigned_object(), id="object in the signature"),
        pytest.param(unsigned_neighbour(), id="something beside the signed assertion"),
        pytest.param(etree.tostring(BY_RESPONSE, encoding="UTF-16"), id="UTF-16"),
        pytest.param(etree.tostring(BY_RESPONSE) + b"\n\n", id="white space after it"),
        pytest.param(raw(BY_RESPONSE, "ann@corp", "<![CDATA[ann@corp]]>"), id="CDATA, which is text"),
        pytest.param(raw(BY_RESPONSE, "ann@corp", "&#97;nn@corp"), id="character reference"),
    ],
)
def test_attacks_that_change_nothing_that_is_read(message: Element | bytes) -> None:
    assert only_if_true(message) is not None


def test_line_breaks_in_base64_are_nothing() -> None:
    text = encoded(BY_RESPONSE)
    lines = "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))
    assert verified_assertion(lines, provider()) == read(BY_RESPONSE)


@settings(max_examples=300)
@given(st.sampled_from([BY_RESPONSE, BY_ASSERTION, BOTH]), st.integers(0), st.integers(1, 255))
def test_one_byte_changed_is_never_somebody_else(message: Element, position: int, difference: int) -> None:
    text = bytearray(etree.tostring(message))
    text[position % len(text)] ^= difference
    only_if_true(bytes(text))


@given(st.binary() | st.text("<>&;/ !?[]a\"'=:xmlns", max_size=60).map(str.encode))
def test_any_bytes_are_refused(text: bytes) -> None:
    with pytest.raises(RejectedToken):
        read(text)


def test_a_certificate_that_is_none_is_the_providers_trouble() -> None:
    with pytest.raises(RejectedToken):
        verified_assertion(encoded(BY_RESPONSE), provider(certificates=("-----BEGIN CERTIFICATE-----\nAA",)))


@pytest.mark.parametrize("message", [b"", b"<a/>", bytes(range(256)) * 10])
def test_redirect_parameter_is_deflated(message: bytes) -> None:
    assert zlib.decompress(base64.b64decode(redirect_parameter(message)), wbits=-15) == message
