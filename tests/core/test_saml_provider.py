from __future__ import annotations

import textwrap

import pytest

from addons.core.documents import Document, parse_documents
from addons.core.saml_provider import SamlProvider, compile_saml

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
OTHER = "apiVersion: chaperone/v1\nkind: Access\nmetadata: {name: x}\nspec: {}\n"


def saml(name: str, more: str = "", entity_id: str = "https://idp/m", certificate: str = PEM) -> str:
    return (
        f"apiVersion: chaperone/v1\nkind: SamlProvider\nmetadata: {{name: {name}}}\nspec:\n"
        f"  entityId: {entity_id}\n  ssoUrl: https://idp/sso\n"
        f"  certificates:\n    - |\n{textwrap.indent(certificate, '      ')}\n{more}"
    )


def documents(*texts: str) -> list[Document]:
    found, problems = parse_documents("\n---\n".join((OTHER, *texts)), "rules/saml.yaml")
    assert not problems
    return found


def test_every_field_and_its_default() -> None:
    full = "  attributes: {subject: mail, groups: memberOf}\n  leewaySeconds: 5\n"
    providers, problems = compile_saml(documents(saml("a"), saml("b", full, "urn:idp")))
    assert not problems
    small = SamlProvider(name="a", issuer="https://idp/m", sso_url="https://idp/sso", certificates=(PEM,))
    assert providers == (
        small,
        SamlProvider(
            name="b",
            issuer="urn:idp",
            sso_url="https://idp/sso",
            certificates=(PEM,),
            subject="mail",
            groups="memberOf",
            leeway_seconds=5,
        ),
    )
    assert (small.subject, small.groups, small.leeway_seconds) == ("", "groups", 30)


def test_a_sign_on_service_may_have_a_query() -> None:
    (found,), problems = compile_saml(documents(saml("a").replace("https://idp/sso", "https://idp/sso?idpid=C01&x")))
    assert (found.sso_url, problems) == ("https://idp/sso?idpid=C01&x", [])


@pytest.mark.parametrize(
    ("texts", "whys"),
    [
        pytest.param([saml("a", "  x: 1\n")], ["Extra inputs"], id="unknown key"),
        pytest.param([saml("a", "  leewaySeconds: 301\n")], ["less than or equal to 300"], id="leeway too long"),
        pytest.param([saml("a", "  attributes: {subject: ''}\n")], ["at least 1"], id="empty attribute"),
        pytest.param([saml("a", "  attributes: {mail: x}\n")], ["Extra inputs"], id="unknown attribute"),
        pytest.param([saml("a", entity_id="a b")], ["match pattern"], id="space in the entity id"),
        pytest.param([saml("a", certificate="AAAA")], ["one certificate in PEM form"], id="no PEM"),
        pytest.param([saml("a", certificate=PEM + PEM)], ["one certificate in PEM form"], id="two in one"),
        pytest.param([saml("a", certificate=PEM + "x")], ["one certificate in PEM form"], id="something after it"),
        pytest.param([saml("a", certificate="x" + PEM)], ["one certificate in PEM form"], id="something before it"),
        pytest.param(
            [saml("a").replace("ssoUrl: https", "ssoUrl: http")], ["must be an https:// URL"], id="sign-in in clear"
        ),
        *(
            pytest.param(
                [saml("a").replace("https://idp/sso", f'"{url}"')],
                ["without user and fragment"],
                id=f"sign-in at {url}",
            )
            for url in (
                "https://u@idp/sso?a=b",
                "https://idp/sso#x",
                "https://idp/sso?a=b#x",
                "https://idp/sso?a b",
                "?",
            )
        ),
        pytest.param([saml("a"), saml("a", entity_id="urn:b")], ["two SAML providers are named a"], id="name twice"),
        pytest.param([saml("a"), saml("b")], ["https://idp/m is already another's entity id"], id="entity id twice"),
        pytest.param([saml("a"), saml("a")], ["two SAML providers", "already another's"], id="a document twice"),
    ],
)
def test_mistakes(texts: list[str], whys: list[str]) -> None:
    _, problems = compile_saml(documents(*texts))
    assert len(problems) == len(whys)
    assert all(why in str(problem) for why, problem in zip(whys, problems, strict=True))
