"""Checks a presigned AWS request as the service does: Signature Version 4 with the signature in the query.

Moto accepts any signature.  The properties that an EKS token rests on (it is bound to one cluster name, it ends after
15 minutes, it cannot be altered) only exist where the signature is checked, so the STS front does it.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

# "the token expires 15 minutes after the x-amz-date timestamp regardless" of X-Amz-Expires (aws-iam-authenticator).
STS_VALID_SECONDS = 900.0
_ALGORITHM = "AWS4-HMAC-SHA256"


class SignatureRefused(ValueError):
    """The message is the service's error code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What AssumeRole gave out; `expires_at` in Unix seconds."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires_at: float


def check_presigned(
    query: str, headers: Mapping[str, str], issued: Mapping[str, Credentials], now: float
) -> Credentials:
    """The credentials that signed a `GET /?query`; raises SignatureRefused.  Header names in lower case."""
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    try:
        scope = given["X-Amz-Credential"].split("/", 1)[1]
        credentials = issued[given["X-Amz-Credential"].split("/", 1)[0]]
        signed_at = datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        expected = _signature(pairs, given, scope, headers, credentials)
    except (KeyError, IndexError, ValueError):
        raise SignatureRefused("InvalidClientTokenId") from None
    if given.get("X-Amz-Security-Token") != credentials.session_token:
        raise SignatureRefused("InvalidClientTokenId")
    if not hmac.compare_digest(expected, given.get("X-Amz-Signature", "")):
        raise SignatureRefused("SignatureDoesNotMatch")
    if now > credentials.expires_at or abs(now - signed_at) > STS_VALID_SECONDS:
        raise SignatureRefused("ExpiredToken")
    return credentials


def _signature(
    pairs: list[tuple[str, str]],
    given: Mapping[str, str],
    scope: str,
    headers: Mapping[str, str],
    credentials: Credentials,
) -> str:
    names = given["X-Amz-SignedHeaders"]
    encoded = sorted((_encode(name), _encode(value)) for name, value in pairs if name != "X-Amz-Signature")
    canonical = "\n".join(
        [
            "GET",
            "/",
            "&".join(f"{name}={value}" for name, value in encoded),
            *(f"{name}:{' '.join(headers[name].split())}" for name in names.split(";")),
            "",
            names,
            hashlib.sha256(b"").hexdigest(),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = b"AWS4" + credentials.secret_access_key.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join([_ALGORITHM, given["X-Amz-Date"], scope, digest])
    return hmac.digest(key, text.encode(), "sha256").hex()


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")
