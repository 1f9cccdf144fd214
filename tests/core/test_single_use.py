from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from addons.core.single_use import Use, client_address, misuse

FIRST = Use(iss="https://idp", jti="j", address="10.0.0.1", connection="prod", expires_at=100.0)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_one_client_has_one_address(host: str, address: str) -> None:
    assert client_address(host) == address


@pytest.mark.parametrize("host", ["", "client.example", "10.0.0.1:443"])
def test_what_is_no_address_has_none(host: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        client_address(host)


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({}, ""),
        ({"expires_at": 200.0}, ""),
        ({"address": "10.0.0.2"}, "address"),
        ({"connection": "test"}, "connection"),
        ({"address": "10.0.0.2", "connection": "test"}, "address and connection"),
    ],
)
def test_another_place_is_refused_and_the_first_one_is_not_told(changes: dict[str, Any], differs: str) -> None:
    refusal = misuse(FIRST, replace(FIRST, **changes))
    assert (refusal is not None) == bool(differs)
    if refusal is not None:
        assert (refusal.code, refusal.rule) == (401, "token-used-elsewhere")
        assert f"first used with another {differs}" in refusal.why
        assert not any(place in refusal.message("ref") for place in ("10.0.0", "prod", "test"))
