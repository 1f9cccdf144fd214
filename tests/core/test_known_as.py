from __future__ import annotations

import pytest

from addons.core.connection import EKS, IMPERSONATE, SERVICE_ACCOUNT
from addons.core.known_as import mistaken

ACCOUNT = "system:serviceaccount:web:agent"
ROLE = "arn:aws:iam::123456789012:role/agent"


@pytest.mark.parametrize(
    ("kind", "role", "username", "said"),
    [
        (SERVICE_ACCOUNT, ACCOUNT, ACCOUNT, ""),
        (SERVICE_ACCOUNT, ACCOUNT, f"{ACCOUNT}2", f"it should be {ACCOUNT}"),
        (SERVICE_ACCOUNT, ACCOUNT, "system:anonymous", "was not looked at"),
        (EKS, ROLE, "whoever", ""),
        (IMPERSONATE, "user:agent:{sub} group:a", "agent:me", ""),
        (IMPERSONATE, "user:agent", "gateway", "it should be agent"),
        (EKS, ROLE, "system:anonymous", "was not looked at"),
    ],
)
def test_who_it_is_known_as(kind: str, role: str, username: str, said: str) -> None:
    found = mistaken(kind, role, username, "me")
    assert (said in found, bool(found)) == (True, bool(said))
