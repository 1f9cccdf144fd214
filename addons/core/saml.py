"""Judges what a SAML 2.0 assertion says, once its signature is good: for us, for this sign-in, now, and of whom.

What is read here was read from the very bytes that were signed. Sources: Assertions and Protocols for SAML V2.0,
sections 2.3 to 2.5 and 3.4; Profiles for SAML V2.0, section 4.1.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from types import MappingProxyType

from addons.core.claims import RejectedToken, group_names, subject_of
from addons.core.identity import Identity
from addons.core.saml_provider import SamlProvider

PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
METADATA = "urn:oasis:names:tc:SAML:2.0:metadata"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
_BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
_TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A SubjectConfirmation; what is not there is empty."""

    method: str
    recipient: str = ""
    not_before: str = ""
    not_on_or_after: str = ""
    in_response_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """What a signed assertion says, as text; what is not there is empty. `audiences`: a tuple per restriction."""

    id: str
    issuer: str
    name_id: str
    name_id_format: str = ""
    confirmations: tuple[Confirmation, ...]
    not_before: str = ""
    not_on_or_after: str = ""
    audiences: tuple[tuple[str, ...], ...]
    conditions: frozenset[str] = frozenset()
    """The names of the conditions."""
    statements: int
    """How many AuthnStatements: who only has attributes has not signed in."""
    session_not_on_or_after: str = ""
    attributes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an assertion must be for: who we are, where it is received, and which request it answers."""

    entity_id: str
    acs_url: str
    request_id: str


def identity_of(assertion: Assertion, provider: SamlProvider, expected: Expected, now: float) -> Identity:
    """Who signed in, at `now` (Unix seconds). Raises RejectedToken. `exp` is the end of the sign-in, if it has one."""
    if assertion.issuer != provider.issuer:
        raise RejectedToken("its issuer is not the provider that was asked")
    _check_conditions(assertion, provider, expected, now)
    if not any(_confirms(each, expected, now) for each in assertion.confirmations):
        raise RejectedToken("it is not addressed to this console, or answers another sign-in, or came too late")
    if not assertion.statements:
        raise RejectedToken("it does not say that anybody signed in")
    ends = _ends(assertion.session_not_on_or_after)
    if now >= ends:
        raise RejectedToken("the sign-in at the provider is over")
    return Identity(
        iss=provider.issuer,
        sub=_subject(assertion, provider),
        aud=(expected.entity_id,),
        exp=ends,
        groups=group_names(list(assertion.attributes.get(provider.groups, ())), provider.groups),
        claims=MappingProxyType({"sub": assertion.name_id}),
    )


def _check_conditions(assertion: Assertion, provider: SamlProvider, expected: Expected, now: float) -> None:
    if not assertion.conditions <= {"AudienceRestriction", "OneTimeUse", "ProxyRestriction"}:
        raise RejectedToken("it has a condition that is not known here")
    if not assertion.audiences or any(expected.entity_id not in each for each in assertion.audiences):
        raise RejectedToken("it is meant for another audience")
    if not assertion.not_on_or_after or now >= _time(assertion.not_on_or_after):
        raise RejectedToken("it has expired, or has no end")
    if assertion.not_before and _time(assertion.not_before) - now > provider.leeway_seconds:
        raise RejectedToken("it is not valid yet: one of the clocks is wrong")


def _confirms(confirmation: Confirmation, expected: Expected, now: float) -> bool:
    """Profiles, section 4.1.4.2: bearer, to our address, for our request, in time, without a beginning."""
    return (
        confirmation.method == _BEARER
        and confirmation.recipient == expected.acs_url
        and confirmation.in_response_to == expected.request_id
        and not confirmation.not_before
        and bool(confirmation.not_on_or_after)
        and now < _time(confirmation.not_on_or_after)
    )


def _subject(assertion: Assertion, provider: SamlProvider) -> str:
    if not provider.subject:
        if assertion.name_id_format == _TRANSIENT:
            raise RejectedToken("its NameID is another at every sign-in: name an attribute as the subject")
        return subject_of(assertion.name_id, "NameID")
    values = assertion.attributes.get(provider.subject, ())
    if len(values) != 1:
        raise RejectedToken(f"its attribute {provider.subject} must have one value")
    return subject_of(values[0], provider.subject)


def _ends(text: str) -> float:
    return _time(text) if text else float("inf")


def _time(text: str) -> float:
    """Unix seconds of an xs:dateTime, which SAML has in UTC (section 1.3.3). Raises RejectedToken."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RejectedToken("one of its times is none") from None
    if found.tzinfo is None or found.utcoffset() != UTC.utcoffset(None):
        raise RejectedToken("one of its times is not in UTC")
    return found.timestamp()


def authn_request(expected: Expected, provider: SamlProvider, now: float) -> bytes:
    """The AuthnRequest that a browser takes to the provider."""
    instant = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'<samlp:AuthnRequest xmlns:samlp="{PROTOCOL}" xmlns:saml="{ASSERTION}" ID="{escape(expected.request_id)}"'
        f' Version="2.0" IssueInstant="{instant}" Destination="{escape(provider.sso_url)}"'
        f' AssertionConsumerServiceURL="{escape(expected.acs_url)}" ProtocolBinding="{_POST}">'
        f"<saml:Issuer>{escape(expected.entity_id)}</saml:Issuer></samlp:AuthnRequest>"
    ).encode()


def service_provider_metadata(entity_id: str, acs_url: str) -> bytes:
    """What a provider is given to know us by. Source: Metadata for SAML V2.0, section 2.4.4."""
    return (
        f'<md:EntityDescriptor xmlns:md="{METADATA}" entityID="{escape(entity_id)}">'
        f'<md:SPSSODescriptor AuthnRequestsSigned="false" WantAssertionsSigned="true"'
        f' protocolSupportEnumeration="{PROTOCOL}">'
        f'<md:AssertionConsumerService Binding="{_POST}" Location="{escape(acs_url)}" index="0" isDefault="true"/>'
        "</md:SPSSODescriptor></md:EntityDescriptor>"
    ).encode()
