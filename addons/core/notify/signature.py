"""Signatures of what is sent and of what comes back: HMAC-SHA256 over a timestamp and the body, good for five minutes.

Ours are `v1=HEX` over `TIMESTAMP.BODY`. Slack's are `v0=HEX` over `v0:TIMESTAMP:BODY`
(https://docs.slack.dev/authentication/verifying-requests-from-slack).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

WINDOW_SECONDS = 300
TIMESTAMP_HEADER = "X-Chaperone-Timestamp"
SIGNATURE_HEADER = "X-Chaperone-Signature"
SLACK_TIMESTAMP_HEADER = "X-Slack-Request-Timestamp"
SLACK_SIGNATURE_HEADER = "X-Slack-Signature"
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


class BadSignature(PermissionError):
    """It does not prove that its sender has the secret, now. The message is for the sender."""


def sign(secret: bytes, timestamp: int, body: bytes) -> str:
    """Our signature."""
    return f"v1={_mac(secret, b'%d.' % timestamp + body)}"


def slack_sign(secret: bytes, timestamp: int, body: bytes) -> str:
    """Slack's signature."""
    return f"v0={_mac(secret, b'v0:%d:' % timestamp + body)}"


def check(secrets: Sequence[bytes], timestamp: str, signature: str, body: bytes, now: float) -> None:
    """Returns if one of the secrets made our signature, within five minutes of `now`. Raises BadSignature."""
    moment = _moment(timestamp, now)
    _check(signature, [sign(secret, moment, body) for secret in secrets])


def slack_check(secrets: Sequence[bytes], timestamp: str, signature: str, body: bytes, now: float) -> None:
    """The same for Slack's."""
    moment = _moment(timestamp, now)
    _check(signature, [slack_sign(secret, moment, body) for secret in secrets])


def opaque(key: bytes, digest: str) -> str:
    """The digest of a request for others to repeat: without `key`, nobody can try out what was in the request."""
    return _mac(key, b"notification\0" + digest.encode())


def same(expected: str, given: str) -> bool:
    """Whether two texts are equal; how long it takes does not tell where they differ."""
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))


def _moment(timestamp: str, now: float) -> int:
    if _TIMESTAMP.fullmatch(timestamp) is None:
        raise BadSignature("the timestamp is missing, or not in Unix seconds")
    if abs(now - int(timestamp)) > WINDOW_SECONDS:
        raise BadSignature(f"the timestamp is more than {WINDOW_SECONDS} seconds away from now")
    return int(timestamp)


def _check(signature: str, expected: Sequence[str]) -> None:
    if not any(same(each, signature) for each in expected):
        raise BadSignature("the signature is not that of this body")


def _mac(secret: bytes, message: bytes) -> str:
    return hmac.new(secret, message, hashlib.sha256).hexdigest()
