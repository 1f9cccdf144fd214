from __future__ import annotations

import pytest

from addons.core.documents import Document, parse_documents
from addons.core.trust import Trust, compile_trust
from tests.core.test_saml_provider import saml

IDP = "apiVersion: chaperone/v1\nkind: IdentityProvider\nmetadata: {name: %s}\nspec: {issuer: %s, audiences: [a]}\n"
CONSOLE = "apiVersion: chaperone/v1\nkind: Console\nmetadata: {name: %s}\nspec: {url: %s}\n"
ACCESS = "apiVersion: chaperone/v1\nkind: Access\nmetadata: {name: workforce}\nspec: {url: 'https://idp'}\n"


def documents(*texts: str) -> list[Document]:
    found, problems = parse_documents("\n---\n".join(texts), "rules/trust.yaml")
    assert not problems
    return found


GOOD = (IDP % ("idp", "https://idp"), saml("workforce"), CONSOLE % ("console", "https://c"), ACCESS)


def test_who_is_believed() -> None:
    trust, problems = compile_trust(documents(*GOOD))
    assert not problems
    assert trust.console is not None
    assert [each.name for each in trust.issuers] == ["idp", "console"]
    assert [each.name for each in trust.vouchers] == ["idp", "workforce"]
    assert trust.issuers[1].session_tokens and not trust.issuers[0].session_tokens


def test_without_a_console() -> None:
    trust, problems = compile_trust(documents(GOOD[0]))
    assert not problems
    assert (trust.issuers, trust.vouchers, trust.console) == (trust.providers, trust.providers, None)
    assert (Trust().issuers, Trust().vouchers) == ((), ())


@pytest.mark.parametrize(
    ("texts", "whys"),
    [
        pytest.param([GOOD[0], GOOD[1]], ["a Console document is missing"], id="SAML without a console"),
        pytest.param([GOOD[1], saml("b", entity_id="urn:b")], ["is missing", "is missing"], id="two without a console"),
        pytest.param(
            [IDP % ("console", "https://idp"), GOOD[2]],
            ["console is already that of the IdentityProvider console"],
            id="a name of two kinds",
        ),
        pytest.param(
            [IDP % ("idp", "https://c"), GOOD[2]],
            ["https://c is already that of the IdentityProvider idp"],
            id="the console's address is an issuer",
        ),
        pytest.param(
            [IDP % ("idp", "https://idp/m"), GOOD[1], GOOD[2]],
            ["https://idp/m is already that of the IdentityProvider idp"],
            id="an entity id is an issuer",
        ),
        pytest.param(
            [IDP % ("idp", "https://idp"), IDP % ("idp", "https://idp")],
            ["two identity providers"],
            id="the same kind is told once, by its own check",
        ),
        pytest.param([IDP % ("idp", "[x]")], ["issuer"], id="an issuer that is no text"),
        pytest.param(
            [IDP % ("idp", "http://x"), saml("b", "  x: 1\n"), CONSOLE % ("c", "x")], ["", "", ""], id="one of each"
        ),
    ],
)
def test_mistakes(texts: list[str], whys: list[str]) -> None:
    _, problems = compile_trust(documents(*texts))
    assert len(problems) == len(whys), [str(problem) for problem in problems]
    assert all(why in str(problem) for why, problem in zip(whys, problems, strict=True))
