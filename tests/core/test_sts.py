from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.session import session_id
from addons.core.sts import public_endpoint, role_request, role_session_name, tag_value, token_from_url, token_url

NOW = 1_800_000_000.0
NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
TAG = re.compile(r"[A-Za-z0-9 _.:/=+@-]{0,128}")


def identity(sub: str = "alice@example.com", **fields: Any) -> Identity:
    return Identity(**{"iss": "https://idp", "sub": sub, "aud": ("c",), "exp": NOW + 3600, **fields})


def grant(ends_in: float = 1800, **fields: Any) -> Grant:
    values = {"id": "g1", "identity": identity(owner="web team"), "connection": "prod", "role": "arn:role",
              "not_before_at": NOW, "expires_at": NOW + ends_in, "intent": "INC-42: <fix>", **fields}  # fmt: skip
    return Grant(**values)


def test_the_request_carries_who_why_and_how_long() -> None:
    asked = role_request(grant(), NOW)
    assert asked.role_arn == "arn:role"
    assert asked.role_session_name == asked.source_identity == role_session_name(grant().identity)
    assert dict(asked.tags) == {
        "owner": "web team",
        "intent": "INC-42: _fix_",
        "session": session_id(grant().identity, "prod", "INC-42: <fix>"),
    }
    assert asked.duration_seconds == 1800


def test_empty_tags_are_left_out() -> None:
    asked = role_request(grant(identity=identity(), intent=""), NOW)
    assert [key for key, _ in asked.tags] == ["session"]


@pytest.mark.parametrize(
    ("ends_in", "seconds"),
    [
        pytest.param(10, 900, id="never less than STS takes"),
        pytest.param(901.9, 901, id="not beyond the grant"),
        pytest.param(43200, 3600, id="never more than a chained role may"),
    ],
)
def test_duration(ends_in: float, seconds: int) -> None:
    assert role_request(grant(ends_in), NOW).duration_seconds == seconds


@pytest.mark.parametrize(
    ("sub", "readable"),
    [
        ("alice@example.com", "alice@example.com"),
        ("repo:acme/web:ref:refs/heads/main", "repo-acme-web-ref-refs-heads-main"),
        ("x" * 255, "x" * 43),
        ("::", "agent"),
        ("\u00fc", "agent"),
        ("a" * 42 + ":b", "a" * 42),
    ],
)
def test_session_names_start_with_what_can_be_read(sub: str, readable: str) -> None:
    name = role_session_name(identity(sub))
    assert name.rpartition("-")[0] == readable
    assert NAME.fullmatch(name)


@given(st.text(min_size=1), st.text(min_size=1))
def test_session_names_are_valid_and_never_collide(one: str, other: str) -> None:
    names = {role_session_name(identity(sub)) for sub in (one, other)}
    assert all(NAME.fullmatch(name) for name in names)
    assert len(names) == len({one, other})


def test_identities_that_differ_elsewhere_have_other_names() -> None:
    names = {role_session_name(each) for each in (identity(), identity(iss="https://b"), identity(act="agent"))}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("INC-42 a/b:c=d+e@f", "INC-42 a/b:c=d+e@f"),
        (" a\r\nb ", "a_b"),
        ("aws:reserved", "_aws:reserved"),
        ("AWS:x", "_AWS:x"),
        ("\u20ac", "_"),
        ("x" * 127 + " y", "x" * 127),
        ("", ""),
    ],
)
def test_tags(text: str, value: str) -> None:
    assert tag_value(text) == value


@given(st.text())
def test_any_text_makes_a_valid_tag(text: str) -> None:
    value = tag_value(text)
    assert len(value) <= 129 and re.fullmatch(r"[A-Za-z0-9 _.:/=+@-]*", value)
    assert not value.lower().startswith("aws:")


def test_tokens_are_made_for_the_public_endpoint_of_the_region() -> None:
    assert token_url("eu-central-1") == (
        "https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15"
    )
    assert public_endpoint("cn-north-1") == "https://sts.cn-north-1.amazonaws.com.cn"


def test_a_token_is_the_url() -> None:
    prefix, _, rest = token_from_url("https://sts/?a=b").partition(".")
    assert prefix == "k8s-aws-v1" and "=" not in rest
    assert base64.urlsafe_b64decode(rest + "==") == b"https://sts/?a=b"
