from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from addons.core.claims import RejectedToken
from addons.core.identity import Identity
from addons.core.saml import (
    ASSERTION,
    METADATA,
    PROTOCOL,
    Assertion,
    Confirmation,
    Expected,
    authn_request,
    identity_of,
    service_provider_metadata,
)
from addons.core.saml_provider import SamlProvider

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
PROVIDER = SamlProvider(name="p", issuer="urn:idp", sso_url="https://idp/sso", certificates=("c",))
BY_MAIL = replace(PROVIDER, subject="mail", groups="memberOf")
EXPECTED = Expected(entity_id="https://c/saml/metadata", acs_url="https://c/saml/acs", request_id="_1")
CONFIRMATION = Confirmation(
    method=BEARER, recipient=EXPECTED.acs_url, not_on_or_after="2027-01-15T08:01:00Z", in_response_to="_1"
)
GOOD = Assertion(
    id="_a",
    issuer="urn:idp",
    name_id="ann@corp",
    confirmations=(CONFIRMATION,),
    not_before="2027-01-15T07:59:00Z",
    not_on_or_after="2027-01-15T08:01:00Z",
    audiences=((EXPECTED.entity_id,),),
    conditions=frozenset({"AudienceRestriction"}),
    statements=1,
    attributes={"groups": ("admins", "users"), "mail": ("ann@mail",), "memberOf": ("team",)},
)


def read(provider: SamlProvider = PROVIDER, **changes: Any) -> Identity:
    return identity_of(replace(GOOD, **changes), provider, EXPECTED, NOW)


def confirmed(**changes: Any) -> dict[str, Any]:
    return {"confirmations": (replace(CONFIRMATION, **changes),)}


def test_who_signed_in() -> None:
    found = read()
    assert found == Identity(
        iss="urn:idp", sub="ann@corp", aud=(EXPECTED.entity_id,), exp=float("inf"), groups=("admins", "users")
    )
    assert found.claims == {"sub": "ann@corp"} and not found.session_token


def test_subject_and_groups_of_attributes() -> None:
    found = read(BY_MAIL)
    assert (found.sub, found.groups) == ("ann@mail", ("team",))
    assert found.subjects == {"ann@mail", "ann@corp"}
    assert read(replace(BY_MAIL, groups="none")).groups == ()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"not_before": ""}, id="no beginning"),
        pytest.param({"not_before": "2027-01-15T08:00:30Z"}, id="begins within the leeway"),
        pytest.param({"not_on_or_after": "2027-01-15T08:00:00.001Z"}, id="fractions of seconds"),
        pytest.param({"not_on_or_after": "2027-01-15T08:01:00+00:00"}, id="UTC by its offset"),
        pytest.param({"conditions": frozenset({"AudienceRestriction", "OneTimeUse", "ProxyRestriction"})}, id="known"),
        pytest.param({"audiences": (("x", EXPECTED.entity_id), (EXPECTED.entity_id,))}, id="two restrictions"),
        pytest.param({"confirmations": (Confirmation(method="x"), CONFIRMATION)}, id="one of two confirmations"),
        pytest.param({"statements": 2}, id="two statements"),
        pytest.param({"session_not_on_or_after": "2027-01-15T08:00:01Z"}, id="the sign-in is not over yet"),
        pytest.param({"name_id_format": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"}, id="a format"),
    ],
)
def test_what_is_good(changes: dict[str, Any]) -> None:
    assert read(**changes).sub == "ann@corp"


def test_the_end_of_the_sign_in_is_that_of_the_identity() -> None:
    assert read(session_not_on_or_after="2027-01-15T09:00:00Z").exp == NOW + 3600


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"issuer": "urn:other"}, "not the provider that was asked", id="another issuer"),
        pytest.param({"conditions": frozenset({"Condition"})}, "not known here", id="unknown condition"),
        pytest.param({"audiences": ()}, "another audience", id="no audience"),
        pytest.param({"audiences": ((),)}, "another audience", id="empty audience"),
        pytest.param({"audiences": (("https://x",),)}, "another audience", id="another audience"),
        pytest.param({"audiences": ((EXPECTED.entity_id,), ("x",))}, "another audience", id="not in every restriction"),
        pytest.param({"not_on_or_after": ""}, "has no end", id="no end"),
        pytest.param({"not_on_or_after": "2027-01-15T08:00:00Z"}, "has expired", id="expired this second"),
        pytest.param({"not_before": "2027-01-15T08:00:31Z"}, "not valid yet", id="begins later"),
        pytest.param({"not_on_or_after": "tomorrow"}, "times is none", id="time no time"),
        pytest.param({"not_on_or_after": "2027-01-15T08:01:00"}, "not in UTC", id="time without zone"),
        pytest.param({"not_on_or_after": "2027-01-15T09:01:00+01:00"}, "not in UTC", id="time in another zone"),
        pytest.param({"not_before": "x"}, "times is none", id="beginning no time"),
        pytest.param({"confirmations": ()}, "not addressed", id="no confirmation"),
        pytest.param(confirmed(method="urn:holder"), "not addressed", id="not bearer"),
        pytest.param(confirmed(recipient="https://x"), "not addressed", id="for another address"),
        pytest.param(confirmed(recipient=""), "not addressed", id="for no address"),
        pytest.param(confirmed(in_response_to="_2"), "not addressed", id="of another sign-in"),
        pytest.param(confirmed(in_response_to=""), "not addressed", id="of no sign-in"),
        pytest.param(confirmed(not_before="2027-01-15T07:00:00Z"), "not addressed", id="confirmation with a beginning"),
        pytest.param(confirmed(not_on_or_after=""), "not addressed", id="confirmation without end"),
        pytest.param(confirmed(not_on_or_after="2027-01-15T08:00:00Z"), "not addressed", id="confirmed too long ago"),
        pytest.param(confirmed(not_on_or_after="x"), "times is none", id="end of the confirmation no time"),
        pytest.param({"statements": 0}, "anybody signed in", id="attributes alone"),
        pytest.param({"session_not_on_or_after": "2027-01-15T08:00:00Z"}, "is over", id="sign-in over"),
        pytest.param({"name_id": ""}, "NameID must be", id="empty NameID"),
        pytest.param({"name_id": "a b"}, "NameID must be", id="space in the NameID"),
        pytest.param({"name_id": "system:admin"}, "reserved", id="a name of Kubernetes"),
        pytest.param(
            {"name_id_format": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"}, "every sign-in", id="transient"
        ),
        pytest.param({"attributes": {"groups": ("system:masters",)}}, "reserved", id="a group of Kubernetes"),
        pytest.param({"attributes": {"groups": ("a,b",)}}, "each name", id="comma in a group"),
        pytest.param({"attributes": {"groups": ("g",) * 201}}, "more than 200", id="too many groups"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(RejectedToken, match=why):
        read(**changes)


@pytest.mark.parametrize(
    "values",
    [pytest.param((), id="none"), pytest.param(("a", "b"), id="two"), pytest.param(("",), id="empty")],
)
def test_an_attribute_that_says_no_subject(values: tuple[str, ...]) -> None:
    with pytest.raises(RejectedToken, match=r"mail must"):
        read(BY_MAIL, attributes={"mail": values})
    with pytest.raises(RejectedToken, match=r"mail must"):
        read(BY_MAIL, attributes={})


ODD = """https://c/?a=1&b="<'>"""


def test_authn_request() -> None:
    expected, provider = Expected(entity_id=ODD, acs_url=ODD + "acs", request_id="_1"), replace(PROVIDER, sso_url=ODD)
    found = ElementTree.fromstring(authn_request(expected, provider, NOW + 0.9))
    assert found.tag == f"{{{PROTOCOL}}}AuthnRequest"
    assert found.attrib == {
        "ID": "_1",
        "Version": "2.0",
        "IssueInstant": "2027-01-15T08:00:00Z",
        "Destination": ODD,
        "AssertionConsumerServiceURL": ODD + "acs",
        "ProtocolBinding": "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST",
    }
    assert [(each.tag, each.text) for each in found] == [(f"{{{ASSERTION}}}Issuer", ODD)]


def test_service_provider_metadata() -> None:
    found = ElementTree.fromstring(service_provider_metadata(ODD, ODD + "acs"))
    assert (found.tag, found.get("entityID")) == (f"{{{METADATA}}}EntityDescriptor", ODD)
    service = found.find(f"{{{METADATA}}}SPSSODescriptor/{{{METADATA}}}AssertionConsumerService")
    assert service is not None and service.get("Location") == ODD + "acs"
