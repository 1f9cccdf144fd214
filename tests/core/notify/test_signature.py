from __future__ import annotations

import hashlib
import hmac

import pytest

from addons.core.notify.signature import BadSignature, check, opaque, same, sign, slack_check, slack_sign

SECRET, OTHER, NOW = b"s" * 16, b"o" * 16, 1_800_000_000


def test_signatures_are_what_is_documented() -> None:
    ours = hmac.new(SECRET, b'1800000000.{"a":1}', hashlib.sha256).hexdigest()
    assert sign(SECRET, NOW, b'{"a":1}') == f"v1={ours}"


def test_slack_signs_as_its_documentation_says() -> None:
    """The example of https://docs.slack.dev/authentication/verifying-requests-from-slack."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    expected = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert slack_sign(b"8f742231b10e8888abcd99yyyzzz85a5", 1531420618, body) == expected


@pytest.mark.parametrize(("checked", "signed"), [(check, sign), (slack_check, slack_sign)])
def test_what_is_signed_now_counts(checked: object, signed: object) -> None:
    assert callable(checked) and callable(signed)
    for away in (-300, 0, 300):
        checked((OTHER, SECRET), str(NOW), signed(SECRET, NOW, b"body"), b"body", float(NOW + away))
    for stamp, signature, body, why in [
        (str(NOW), signed(OTHER, NOW, b"body"), b"body", "not that of this body"),
        (str(NOW), signed(SECRET, NOW, b"body"), b"bodY", "not that of this body"),
        (str(NOW + 1), signed(SECRET, NOW, b"body"), b"body", "not that of this body"),
        (str(NOW), "", b"body", "not that of this body"),
        (str(NOW), "v1=\udc80\u00e9", b"body", "not that of this body"),
        (str(NOW - 301), signed(SECRET, NOW - 301, b"body"), b"body", "more than 300 seconds"),
        (str(NOW + 301), signed(SECRET, NOW + 301, b"body"), b"body", "more than 300 seconds"),
        ("", "", b"body", "missing"),
        ("+1800000000", "", b"body", "missing"),
        ("١٨٠", "", b"body", "missing"),
    ]:
        with pytest.raises(BadSignature, match=why):
            checked((SECRET,), stamp, signature, body, float(NOW))


def test_ours_and_slacks_are_not_taken_for_each_other() -> None:
    with pytest.raises(BadSignature):
        slack_check((SECRET,), str(NOW), sign(SECRET, NOW, b"b"), b"b", NOW)
    with pytest.raises(BadSignature):
        check((SECRET,), str(NOW), slack_sign(SECRET, NOW, b"b"), b"b", NOW)


def test_a_digest_for_others_is_bound_to_the_key() -> None:
    assert opaque(SECRET, "d") == opaque(SECRET, "d") != opaque(OTHER, "d")
    assert opaque(SECRET, "d" * 64) != "d" * 64
    assert same("a", "a") and not same("a", "b") and not same("a", "\udcff")
