"""What is asked of the console's token endpoint, and what it answers: RFC 6749 in its errors, RFC 8693 in the exchange.

Stricter than the specifications where two readers could differ: a parameter given twice, or one that is not known, is a
mistake and not ignored. Sources: RFC 6749, sections 4.1.3 and 5; RFC 7636; RFC 8628, section 3.4; RFC 8693, section 2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
AUTHORIZATION_CODE = "authorization_code"
JWT: Literal["urn:ietf:params:oauth:token-type:jwt"] = "urn:ietf:params:oauth:token-type:jwt"
_TOKEN_TYPES = Literal[
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
    "urn:ietf:params:oauth:token-type:access_token",
]
MAX_FORM = 64 * 1024
_MAX_FIELDS = 20

Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
_Token = Annotated[str, StringConstraints(min_length=1, max_length=16384)]


class OAuthError(Exception):
    """An answer of RFC 6749, section 5.2: `error` is its code, the message its description."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.status = error, status

    def document(self) -> dict[str, str]:
        """What is sent."""
        return {"error": self.error, "error_description": str(self)}


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    grant_type: str


class ExchangeRequest(_Form):
    """A proof for a session token. `audience` is a connection; `intent` and `expires_in` are Chaperone's own."""

    subject_token: _Token
    subject_token_type: _TOKEN_TYPES
    actor_token: _Token | None = None
    actor_token_type: _TOKEN_TYPES | None = None
    requested_token_type: _TOKEN_TYPES = JWT
    audience: Text | Literal[""] = ""
    intent: Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{0,500}$")] = ""
    expires_in: Annotated[int, Field(ge=0, le=86400)] = 0
    client_id: Text | Literal[""] = ""


class CodeRequest(_Form):
    """A code that a browser came back with."""

    code: Text
    redirect_uri: Text
    client_id: Text
    code_verifier: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~-]{43,128}$")]


class DeviceRequest(_Form):
    """A device whose user types a code somewhere else."""

    device_code: Text
    client_id: Text


TokenRequest = ExchangeRequest | CodeRequest | DeviceRequest
_GRANTS: Mapping[str, type[TokenRequest]] = {
    EXCHANGE: ExchangeRequest,
    AUTHORIZATION_CODE: CodeRequest,
    DEVICE: DeviceRequest,
}


def form_of(body: bytes) -> dict[str, str]:
    """The fields of an urlencoded form. Raises OAuthError for what is none, and for a field that is there twice."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise OAuthError("invalid_request", "the body must be an application/x-www-form-urlencoded form") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise OAuthError("invalid_request", "a parameter is there twice")
    return fields


def token_request(fields: Mapping[str, str]) -> TokenRequest:
    """What is asked of the token endpoint. Raises OAuthError; the values of a form are never repeated."""
    grant = _GRANTS.get(fields.get("grant_type", ""))
    if grant is None:
        raise OAuthError("unsupported_grant_type", f"grant_type must be one of {', '.join(_GRANTS)}")
    found = parsed(grant, fields)
    if isinstance(found, ExchangeRequest) and (found.actor_token is None) != (found.actor_token_type is None):
        raise OAuthError("invalid_request", "actor_token and actor_token_type belong together")
    return found


def parsed[Form: BaseModel](model: type[Form], fields: Mapping[str, str]) -> Form:
    """The fields as a model. Raises OAuthError."""
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        wrong = sorted({str(item["loc"][0]) for item in error.errors(include_url=False, include_input=False)})
        names = ", ".join(wrong)
        raise OAuthError("invalid_request", f"missing, unknown or not well-formed: {names}") from None


def challenge_met(challenge: str, verifier: str) -> bool:
    """Whether a verifier is that of a code challenge of the method S256."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(digest, challenge.encode("utf-8", "surrogateescape"))


def answer(token: str, seconds: float, *, bound: bool) -> dict[str, Any]:
    """The answer to an exchange. `bound`: the token is good only with a proof of its key."""
    return {
        "access_token": token,
        "issued_token_type": JWT,
        "token_type": "DPoP" if bound else "Bearer",
        "expires_in": int(seconds),
    }


def metadata(issuer: str, algorithm: str) -> dict[str, Any]:
    """What the console says of itself. Sources: RFC 8414, section 2; OpenID Connect Discovery 1.0, section 3."""
    base = issuer.rstrip("/")
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "revocation_endpoint": f"{base}/revoke",
        "device_authorization_endpoint": f"{base}/device_authorization",
        "jwks_uri": f"{base}/keys",
        "response_types_supported": ["code"],
        "grant_types_supported": list(_GRANTS),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
        "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "RS256", "PS256"],
    }
