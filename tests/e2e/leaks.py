"""Finds secret values in whatever form they were written down: as they are, escaped, or within base64 at any offset."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator

import re2

EKS_TOKEN = b"k8s-aws-v1."
_CORE = re.compile(r"[0-9A-Za-z_-]{20,}")


def core(secret: str) -> bytes:
    """The longest part of a secret that no encoding of text changes: what JSON, URLs and shells leave as it is."""
    longest: str = max(_CORE.findall(secret), key=len)
    return longest.encode()


def forms(secret: bytes) -> Iterator[bytes]:
    """The secret, and the characters that any base64 of it contains, wherever it starts in a group of three bytes."""
    yield secret
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + secret)
        inner = encoded[-(-offset * 8 // 6) : (offset + len(secret)) * 8 // 6]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))
    yield secret.hex().encode()


def search(*secrets: bytes, any_case: bool = False) -> Callable[[bytes], bool]:
    """True for text with one of the secrets in one of their forms: one pass, however many they are."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.case_sensitive = not any_case
    options.max_mem = 1 << 28
    pattern = re2.compile(b"|".join(re2.escape(form) for secret in secrets for form in forms(secret)), options)

    def leaked(text: bytes) -> bool:
        return pattern.search(text) is not None

    return leaked


def found(secrets: Iterable[bytes], text: bytes) -> list[bytes]:
    """The secrets that occur in the text in one of their forms."""
    return [secret for secret in secrets if any(form in text for form in forms(secret))]
