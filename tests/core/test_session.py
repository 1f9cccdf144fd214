from __future__ import annotations

import re
from typing import Any

import pytest

from addons.core.identity import Identity
from addons.core.session import session_id


def job(intent: str = "", connection: str = "prod", **fields: Any) -> str:
    values = {"iss": "https://idp", "sub": "agent", "aud": ("c",), "exp": 9e9, **fields}
    return session_id(Identity(**values), connection, intent)


def test_the_id_is_a_folder_name_and_the_same_in_every_process() -> None:
    assert job() == job()
    assert re.fullmatch("[0-9a-f]{20}", job())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({}, {"sub": "eve"}, id="subject"),
        pytest.param({}, {"iss": "https://b"}, id="issuer"),
        pytest.param({}, {"act": "agent"}, id="actor"),
        pytest.param({}, {"connection": "dev"}, id="connection"),
        pytest.param({}, {"intent": "INC-1"}, id="intent"),
        pytest.param({"jti": "a"}, {"jti": "b"}, id="another token"),
        pytest.param({"claims": {"iat": 1}}, {"claims": {"iat": 2}}, id="issued again"),
        pytest.param({"claims": {"session": "a"}}, {"claims": {"session": "b"}}, id="another session claim"),
        pytest.param({"sub": "a", "act": "b"}, {"sub": "a\x00b"}, id="fields do not run together"),
    ],
)
def test_other_jobs_have_other_ids(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert job(**one) != job(**other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"jti": "a", "claims": {"session": "s"}}, {"jti": "b", "claims": {"session": "s"}}, id="session"),
        pytest.param({"jti": "a", "claims": {"sid": "s"}}, {"jti": "b", "claims": {"sid": "s"}}, id="sid"),
        pytest.param({"jti": "a", "claims": {"iat": 1}}, {"jti": "a", "claims": {"iat": 2}}, id="jti before iat"),
    ],
)
def test_a_job_goes_on_with_a_refreshed_token(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert job(**one) == job(**other)
