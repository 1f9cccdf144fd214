from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.token_exchange import (
    AUTHORIZATION_CODE,
    DEVICE,
    EXCHANGE,
    JWT,
    CodeRequest,
    DeviceRequest,
    ExchangeRequest,
    OAuthError,
    answer,
    challenge_met,
    form_of,
    metadata,
    token_request,
)

ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
TRADE = {"grant_type": EXCHANGE, "subject_token": "s", "subject_token_type": JWT}
CODE = {
    "grant_type": AUTHORIZATION_CODE,
    "code": "c",
    "redirect_uri": "http://127.0.0.1:1/",
    "client_id": "chaperone",
    "code_verifier": VERIFIER,
}
WAIT = {"grant_type": DEVICE, "device_code": "d", "client_id": "chaperone"}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        pytest.param(b"", {}, id="nothing"),
        pytest.param(b"a=b", {"a": "b"}, id="one"),
        pytest.param(b"a=b+c%20d%26&e=%C3%A9", {"a": "b c d&", "e": "é"}, id="encoded"),
        pytest.param(b"a=&b=", {"a": "", "b": ""}, id="empty values"),
        pytest.param(b"a=b=c", {"a": "b=c"}, id="equals sign in a value"),
        pytest.param(b"a=%ff", {"a": "\ufffd"}, id="not UTF-8"),
        pytest.param(b"a=b;c=d", {"a": "b;c=d"}, id="a semicolon separates nothing"),
        pytest.param("&".join(f"a{n}=b" for n in range(20)).encode(), {f"a{n}": "b" for n in range(20)}, id="twenty"),
    ],
)
def test_form(body: bytes, fields: dict[str, str]) -> None:
    assert form_of(body) == fields


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(b"a=b&a=b", "there twice", id="the same twice"),
        pytest.param(b"a=b&%61=c", "there twice", id="twice, once encoded"),
        pytest.param(b"a", "form", id="no equals sign"),
        pytest.param(b"a=b&", "form", id="ends with &"),
        pytest.param(b"a=b&&c=d", "form", id="nothing between two"),
        pytest.param(b'{"a":"b"}', "form", id="JSON"),
        pytest.param("a=é".encode(), "form", id="not ASCII"),
        pytest.param("&".join(f"a{n}=b" for n in range(21)).encode(), "form", id="twenty-one"),
    ],
)
def test_what_is_no_form(body: bytes, why: str) -> None:
    with pytest.raises(OAuthError, match=why) as raised:
        form_of(body)
    assert (raised.value.error, raised.value.status) == ("invalid_request", 400)
    assert raised.value.document() == {"error": "invalid_request", "error_description": str(raised.value)}


@given(st.binary() | st.text("ab=&%26+;", max_size=20).map(str.encode))
def test_any_bytes_are_a_form_or_refused(body: bytes) -> None:
    try:
        assert len(form_of(body)) <= 20
    except OAuthError as error:
        assert error.error == "invalid_request"


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=20))
def test_a_form_is_read_as_it_was_written(fields: dict[str, str]) -> None:
    assert form_of(urlencode(fields).encode()) == fields


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        pytest.param(TRADE, ExchangeRequest, id="exchange"),
        pytest.param({**TRADE, "actor_token": "a", "actor_token_type": ID_TOKEN}, ExchangeRequest, id="with an actor"),
        pytest.param(
            {
                **TRADE,
                "audience": "",
                "client_id": "",
                "expires_in": "60",
                "requested_token_type": JWT,
                "intent": "é"[1:],
            },
            ExchangeRequest,
            id="everything optional",
        ),
        pytest.param(CODE, CodeRequest, id="code"),
        pytest.param(WAIT, DeviceRequest, id="device"),
    ],
)
def test_request(fields: dict[str, str], found: type) -> None:
    request = token_request(fields)
    assert isinstance(request, found)
    assert request.model_dump(exclude_unset=True) == {
        **fields, **({"expires_in": 60} if "expires_in" in fields else {})
    }  # fmt: skip


def without(fields: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in fields.items() if key != name}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        *(
            pytest.param(without(fields, name), rf"well-formed: {name}$", id=f"{kind} without {name}")
            for kind, fields in {"exchange": TRADE, "code": CODE, "device": WAIT}.items()
            for name in fields
            if name != "grant_type"
        ),
        pytest.param({**TRADE, "resource": "r"}, "well-formed: resource$", id="unknown parameter"),
        pytest.param({**WAIT, "a": "", "b": ""}, "well-formed: a, b$", id="two unknown parameters"),
        pytest.param({**TRADE, "subject_token": ""}, "subject_token", id="empty token"),
        pytest.param({**TRADE, "subject_token": "x" * 16385}, "subject_token", id="token too long"),
        pytest.param({**TRADE, "subject_token_type": "saml2"}, "subject_token_type", id="token of an unknown type"),
        pytest.param({**TRADE, "requested_token_type": "x"}, "requested_token_type", id="asked for an unknown type"),
        pytest.param({**TRADE, "expires_in": "-1"}, "expires_in", id="negative life"),
        pytest.param({**TRADE, "expires_in": "86401"}, "expires_in", id="life too long"),
        pytest.param({**TRADE, "expires_in": "soon"}, "expires_in", id="life no number"),
        pytest.param({**TRADE, "expires_in": "9" * 5000}, "expires_in", id="life with too many digits"),
        pytest.param({**TRADE, "intent": "a\nb"}, "intent", id="line feed in the intent"),
        pytest.param({**TRADE, "intent": "a\n"}, "intent", id="line feed after the intent"),
        pytest.param({**TRADE, "intent": "é"}, "intent", id="intent not ASCII"),
        pytest.param({**TRADE, "intent": "x" * 501}, "intent", id="intent too long"),
        pytest.param({**TRADE, "audience": "x" * 1025}, "audience", id="audience too long"),
        pytest.param({**CODE, "code_verifier": "x" * 42}, "code_verifier", id="verifier too short"),
        pytest.param({**CODE, "code_verifier": "x" * 129}, "code_verifier", id="verifier too long"),
        pytest.param({**CODE, "code_verifier": f"{VERIFIER}\n"}, "code_verifier", id="line feed after the verifier"),
        pytest.param({**TRADE, "actor_token": "a"}, "belong together", id="actor without its type"),
        pytest.param({**TRADE, "actor_token_type": JWT}, "belong together", id="type without an actor"),
    ],
)
def test_what_is_no_request(fields: dict[str, str], why: str) -> None:
    with pytest.raises(OAuthError, match=why) as raised:
        token_request(fields)
    assert raised.value.error == "invalid_request"


@pytest.mark.parametrize("grant", [None, "", "password", "client_credentials", "refresh_token", EXCHANGE.upper()])
def test_unknown_grants(grant: str | None) -> None:
    with pytest.raises(OAuthError) as raised:
        token_request({**WAIT, "grant_type": grant} if grant is not None else {})
    assert raised.value.error == "unsupported_grant_type"


def test_values_are_not_repeated() -> None:
    with pytest.raises(OAuthError) as raised:
        token_request(
            {**TRADE, "subject_token": "hunter2" * 3000, "expires_in": "hunter2", "actor_token_type": "hunter2"}
        )
    assert "hunter2" not in str(raised.value.document())


@pytest.mark.parametrize(
    ("challenge", "verifier", "met"),
    [
        pytest.param("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", VERIFIER, True, id="RFC 7636, appendix B"),
        pytest.param("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=", VERIFIER, False, id="with padding"),
        pytest.param("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", VERIFIER[:-1] + "l", False, id="another verifier"),
        pytest.param(VERIFIER, VERIFIER, False, id="method plain"),
        pytest.param("", VERIFIER, False, id="none"),
        pytest.param("é\udce9", VERIFIER, False, id="not ASCII"),
    ],
)
def test_challenge(challenge: str, verifier: str, met: bool) -> None:
    assert challenge_met(challenge, verifier) == met


@pytest.mark.parametrize(("bound", "kind"), [(True, "DPoP"), (False, "Bearer")])
def test_answer(bound: bool, kind: str) -> None:
    assert answer("t", 59.9, bound=bound) == {
        "access_token": "t",
        "issued_token_type": JWT,
        "token_type": kind,
        "expires_in": 59,
    }


@pytest.mark.parametrize(("issuer", "base"), [("https://c/x", "https://c/x"), ("https://c/", "https://c")])
def test_metadata(issuer: str, base: str) -> None:
    found: dict[str, Any] = metadata(issuer, "ES256")
    assert found["issuer"] == issuer
    assert {name: value.removeprefix(base) for name, value in found.items() if name.endswith(("endpoint", "uri"))} == {
        "authorization_endpoint": "/authorize",
        "token_endpoint": "/token",
        "revocation_endpoint": "/revoke",
        "device_authorization_endpoint": "/device_authorization",
        "jwks_uri": "/keys",
    }
    assert found["grant_types_supported"] == [EXCHANGE, AUTHORIZATION_CODE, DEVICE]
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["id_token_signing_alg_values_supported"] == ["ES256"]
