from __future__ import annotations

import re
from dataclasses import replace

import pytest

from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.impersonation import ROLE, NotImpersonable, groups_of, impersonated, reserved, user_of

WHO = Identity(iss="https://idp.test", sub="alice@corp.test", aud=("c",), exp=60)
GRANT = Grant(
    id="g1", identity=WHO, connection="prod", role="user:agent:{sub} group:a group:b:c", not_before_at=0, expires_at=60
)


def test_a_grant_becomes_headers() -> None:
    assert impersonated(GRANT) == (
        (b"impersonate-user", b"agent:alice@corp.test"),
        (b"impersonate-group", b"a"),
        (b"impersonate-group", b"b:c"),
        (b"impersonate-extra-chaperone.dev%2fgrant", b"g1"),
        (b"impersonate-extra-chaperone.dev%2fsubject", b"https://idp.test#alice@corp.test"),
    )


def test_a_fixed_user() -> None:
    fields = impersonated(replace(GRANT, role="user:robot"))
    assert [value for name, value in fields] == [b"robot", b"g1", b"https://idp.test#alice@corp.test"]


@pytest.mark.parametrize(
    ("role", "subject"),
    [
        ("user:{sub}", "system:admin"),
        ("user:sys{sub}", "tem:admin"),
        ("user:{sub}", ""),
        ("user:{sub}", "a b"),
        ("user:{sub}", "a\r\nImpersonate-Group: system:masters"),
        ("user:{sub}", "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}"),
    ],
)
def test_a_subject_that_is_no_name(role: str, subject: str) -> None:
    with pytest.raises(NotImpersonable):
        user_of(role, subject)


def test_groups_of_kubernetes_are_refused_once_more() -> None:
    with pytest.raises(NotImpersonable):
        groups_of("user:a group:system:masters")


@pytest.mark.parametrize(
    ("role", "is_role", "is_reserved"),
    [
        ("user:a", True, False),
        ("user:a group:b group:c", True, False),
        ("user:{sub} group:b", True, False),
        ("user:", False, False),
        ("user:a b", False, False),
        ("group:a", False, False),
        ("user:a group:system:masters", True, True),
        ("user:system:node:x", True, True),
    ],
)
def test_what_a_role_is(role: str, is_role: bool, is_reserved: bool) -> None:
    assert (re.fullmatch(ROLE, role) is not None, reserved(role)) == (is_role, is_reserved)
