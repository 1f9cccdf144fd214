from __future__ import annotations

import pytest

from addons.core.documents import Document, parse_documents
from addons.core.guardrails.cel import compile_claims_expression
from addons.core.identity_provider import IdentityProvider, compile_identity

FULL = """
apiVersion: chaperone/v1
kind: IdentityProvider
metadata: {name: corp}
spec:
  issuer: https://idp.example/tenant
  audiences: [chaperone]
  algorithms: [PS256, EdDSA]
  jwksUri: https://keys.example/jwks
  claims: {subject: email, groups: roles, owner: team}
  leewaySeconds: 5
  keysMaxAgeSeconds: 600
  requiredClaims: {tenant: acme, tier: [1, 2]}
  singleUse: true
"""
SMALL = """
apiVersion: chaperone/v1
kind: IdentityProvider
metadata: {name: local}
spec: {issuer: "http://127.0.0.1:9400", audiences: [a, b]}
"""


def documents(*texts: str) -> list[Document]:
    found, problems = parse_documents("---\n".join(texts), "rules/idp.yaml")
    assert not problems
    return found


def test_every_field_and_its_default() -> None:
    other = "apiVersion: chaperone/v1\nkind: Access\nmetadata: {name: x}\nspec: {}\n"
    providers, problems = compile_identity(documents(FULL, SMALL, other))
    assert not problems
    assert providers == (
        IdentityProvider(
            name="corp",
            issuer="https://idp.example/tenant",
            audiences=("chaperone",),
            algorithms=frozenset({"PS256", "EdDSA"}),
            jwks_uri="https://keys.example/jwks",
            subject="email",
            groups="roles",
            owner="team",
            leeway_seconds=5,
            keys_max_age_seconds=600,
            required_claims=(("tenant", ("acme",)), ("tier", (1, 2))),
            single_use=True,
        ),
        IdentityProvider(
            name="local",
            issuer="http://127.0.0.1:9400",
            audiences=("a", "b"),
            algorithms=frozenset({"RS256", "ES256"}),
            leeway_seconds=30,
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        pytest.param("https://idp.example/tenant", "http://idp.example/tenant", 6, id="issuer in clear"),
        pytest.param("[chaperone]", "[]", 7, id="no audience"),
        pytest.param("[PS256, EdDSA]", "[HS256]", 8, id="symmetric algorithm"),
        pytest.param("[PS256, EdDSA]", "[none]", 8, id="no algorithm"),
        pytest.param("[PS256, EdDSA]", "[]", 8, id="empty algorithms"),
        pytest.param("https://keys.example/jwks", "ftp://keys.example/jwks", 9, id="keys over ftp"),
        pytest.param("leewaySeconds: 5", "leewaySeconds: 301", 11, id="leeway too long"),
        pytest.param("keysMaxAgeSeconds: 600", "keysMaxAgeSeconds: 90000", 12, id="keys for longer than a day"),
        pytest.param("groups: roles", "gropus: roles", 10, id="unknown key"),
        pytest.param("groups: roles", "groups: claims.a +", 10, id="expression that does not parse"),
        pytest.param("groups: roles", "groups: claims.a + object.b", 10, id="expression with another variable"),
    ],
)
def test_mistakes_have_their_line(old: str, new: str, line: int) -> None:
    assert old in FULL
    _, problems = compile_identity(documents(FULL.replace(old, new)))
    assert {problem.line for problem in problems} == {line}


def test_groups_by_expression() -> None:
    (provider,), problems = compile_identity(documents(FULL.replace("groups: roles", "groups: claims.a.roles")))
    assert not problems
    assert provider.groups == compile_claims_expression("claims.a.roles")


def test_names_and_issuers_are_used_once() -> None:
    _, problems = compile_identity(documents(FULL, FULL, FULL.replace("corp", "twin")))
    assert [problem.message for problem in problems] == [
        "two identity providers are named corp",
        "https://idp.example/tenant is already the issuer of corp",
    ]
