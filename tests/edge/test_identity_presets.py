"""The examples for well-known providers read tokens of the shape that these providers issue.

Shapes: GitHub, "OpenID Connect reference"; GitLab, "ID token authentication"; Kubernetes, "Managing Service Accounts";
Okta, "Access token"; Microsoft, "Access token claims reference"; Google, "OpenID Connect"; Keycloak 26, "Server
Administration Guide".
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from addons.core.claims import RejectedToken
from addons.core.documents import parse_documents
from addons.core.identity import Identity
from addons.core.identity_provider import IdentityProvider, compile_identity
from addons.edge.oidc import Verifier
from tests.support.issuer import RSA_1, Clock, Issuer

PRESETS = Path(__file__).parents[2] / "rules" / "identity"
NOW = 1_800_000_000
TIMES = {"iat": NOW - 5, "nbf": NOW - 5, "exp": NOW + 600}
WORKFLOW = "acme/web/.github/workflows/deploy.yml"
TENANT, CLIENT = "11111111-2222-3333-4444-555555555555", "bbbbbbbb-cccc-dddd-eeee-ffffffffffff"

HEADERS: dict[str, dict[str, Any]] = {
    "github-actions": {"x5t": "k1"},
    "kubernetes": {"typ": None},
    "okta": {"typ": None},
    "entra": {"x5t": "k1"},
}
TOKENS: dict[str, dict[str, Any]] = {
    "github-actions": TIMES | {
        "jti": "3c0c1a2e-0c4a-4f7e-9b57-64f2b37d1b5b", "sub": "repo:acme/web:ref:refs/heads/main", "aud": "chaperone",
        "iss": "https://token.actions.githubusercontent.com", "ref": "refs/heads/main", "ref_type": "branch",
        "ref_protected": "true", "sha": "e" * 40, "repository": "acme/web", "repository_id": "74",
        "repository_owner": "acme", "repository_owner_id": "123456", "repository_visibility": "private",
        "actor": "ann", "actor_id": "12", "workflow": "deploy", "workflow_ref": f"{WORKFLOW}@refs/heads/main",
        "workflow_sha": "e" * 40, "job_workflow_ref": f"{WORKFLOW}@refs/heads/main", "job_workflow_sha": "e" * 40,
        "head_ref": "", "base_ref": "", "event_name": "push", "run_id": "30433642", "run_number": "10",
        "run_attempt": "2", "runner_environment": "github-hosted", "enterprise": "acme",
    },
    "gitlab-ci": TIMES | {
        "namespace_id": "72", "namespace_path": "acme", "project_id": "20", "project_path": "acme/web", "user_id": "1",
        "user_login": "ann", "user_email": "ann@acme.example", "user_access_level": "developer", "pipeline_id": "574",
        "pipeline_source": "push", "job_id": "302", "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
        "ref_protected": "true", "groups_direct": ["acme/ops"], "environment": "production", "sha": "7" * 40,
        "environment_protected": "true", "deployment_tier": "production", "runner_id": 1,
        "project_visibility": "private", "runner_environment": "self-hosted",
        "ci_config_ref_uri": "gitlab.com/acme/web//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": "7" * 40, "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b", "iss": "https://gitlab.com",
        "sub": "project_path:acme/web:ref_type:branch:ref:main", "aud": "chaperone",
    },
    "kubernetes": TIMES | {
        "aud": ["chaperone"], "jti": "ed8b3a3f-1b2c-4d5e-8f90-0a1b2c3d4e5f", "sub": "system:serviceaccount:ci:deployer",
        "iss": "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
        "kubernetes.io": {
            "namespace": "ci", "node": {"name": "ip-10-0-0-1.ec2.internal", "uid": "10"},
            "pod": {"name": "agent-0", "uid": "11"}, "serviceaccount": {"name": "deployer", "uid": "12"},
            "warnafter": NOW + 300,
        },
    },
    "okta": {
        "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "aud": "api://chaperone", "iat": NOW - 5,
        "iss": "https://acme.okta.com/oauth2/default", "exp": NOW + 600, "cid": "0oa1exampleAgent",
        "auth_time": NOW - 60, "uid": "00uid4BxXw6I6TV4m0g3", "scp": ["openid", "groups"], "sub": "ann@acme.example",
        "groups": ["web-agents", "On Call"],
    },
    "entra": TIMES | {
        "aud": "66666666-7777-8888-9999-aaaaaaaaaaaa", "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
        "aio": "AXQAi/8IAAAA", "azp": CLIENT, "azpacr": "1", "groups": ["00000000-0000-0000-0000-000000000042"],
        "name": "Ann, Deploys", "oid": "99999999-0000-0000-0000-000000000001", "preferred_username": "ann@acme.example",
        "rh": "I", "scp": "access_as_user", "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", "tid": TENANT,
        "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "2.0",
    },
    "google": {
        "iss": "https://accounts.google.com", "aud": "chaperone", "azp": "104", "sub": "104029292853099978293",
        "email": "agent@acme-prod.iam.gserviceaccount.com", "email_verified": True, "iat": NOW - 5, "exp": NOW + 600,
    },
    "keycloak": {
        "exp": NOW + 600, "iat": NOW - 5, "jti": "trrtcc:7a1c7ee5-7f6a-4a5e-9c53-1ad5b3aa3d1c", "typ": "Bearer",
        "iss": "https://keycloak.acme.example/realms/acme", "aud": ["chaperone", "account"], "azp": "agents",
        "acr": "1", "sub": "f3c1a2e0-0c4a-4f7e-9b57-64f2b37d1b5b", "sid": "s", "allowed-origins": ["/*"],
        "scope": "email profile",
        "realm_access": {"roles": ["offline_access", "web"]}, "email_verified": False, "preferred_username": "ann",
        "resource_access": {"account": {"roles": ["view-profile"]}}, "clientHost": "10.0.0.1",
    },
}  # fmt: skip
IDENTITIES = {
    "github-actions": ("repo:acme/web:ref:refs/heads/main", ("repository:acme/web", f"workflow:{WORKFLOW}"), "ann"),
    "gitlab-ci": (
        "project_path:acme/web:ref_type:branch:ref:main", ("project:acme/web", "ref-protected:true"), "ann",
    ),
    "kubernetes": ("serviceaccount:ci:deployer", ("serviceaccounts:ci",), "ci"),
    "okta": ("ann@acme.example", ("web-agents", "On Call"), "ann@acme.example"),
    "entra": ("99999999-0000-0000-0000-000000000001", ("00000000-0000-0000-0000-000000000042",), ""),
    "google": ("agent@acme-prod.iam.gserviceaccount.com", (), ""),
    "keycloak": ("f3c1a2e0-0c4a-4f7e-9b57-64f2b37d1b5b", ("role:offline_access", "role:web"), "ann"),
}  # fmt: skip


def preset(name: str) -> IdentityProvider:
    documents, problems = parse_documents((PRESETS / f"{name}.yaml.example").read_text(), name)
    [provider], mistakes = compile_identity(documents)
    assert not problems + mistakes
    return provider


async def proved(idp: Issuer, name: str, **changes: Any) -> Identity:
    """What a token of that provider's shape proves; its keys are published by an issuer of the test."""
    verifier = Verifier([replace(preset(name), jwks_uri=f"{idp.url}/jwks")], Clock())
    headers = {"kid": "k1", **HEADERS.get(name, {})}
    try:
        token = jwt.encode(TOKENS[name] | changes, RSA_1, algorithm="RS256", headers=headers)
        return await verifier.verify(token, NOW)
    finally:
        await verifier.close()


def test_every_preset_is_tried() -> None:
    files = {path.name.removesuffix(".yaml.example") for path in PRESETS.glob("*.example")}
    assert files - {"corp", "console", "saml"} == TOKENS.keys() == IDENTITIES.keys()


@pytest.mark.parametrize("name", TOKENS)
async def test_its_tokens_are_read(idp: Issuer, name: str) -> None:
    identity = await proved(idp, name)
    assert (identity.sub, identity.groups, identity.owner) == IDENTITIES[name]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        pytest.param("github-actions", {"repository_owner_id": "666"}, id="repository of somebody else"),
        pytest.param("gitlab-ci", {"namespace_id": "666"}, id="project of somebody else"),
        pytest.param("kubernetes", {"aud": ["https://kubernetes.default.svc"]}, id="token for the cluster itself"),
        pytest.param("kubernetes", {"kubernetes.io": {"namespace": "ci"}}, id="token of no service account"),
        pytest.param("okta", {"cid": "0oaAnother"}, id="another application of okta"),
        pytest.param("entra", {"tid": CLIENT}, id="another tenant"),
        pytest.param("entra", {"azp": TENANT}, id="another client"),
        pytest.param("entra", {"_claim_names": {"groups": "src1"}}, id="more groups than fit"),
        pytest.param("google", {"email_verified": False}, id="address nobody has proved"),
        pytest.param("keycloak", {"typ": "ID"}, id="ID token"),
        pytest.param("keycloak", {"azp": "account-console"}, id="another client of keycloak"),
        *(pytest.param(name, {"aud": "sts.amazonaws.com"}, id=f"{name} token for AWS") for name in TOKENS),
        *(pytest.param(name, {"iss": "https://idp.evil"}, id=f"{name} token of another issuer") for name in TOKENS),
    ],
)
async def test_other_tokens_of_it_are_refused(idp: Issuer, name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(RejectedToken):
        await proved(idp, name, **changes)
