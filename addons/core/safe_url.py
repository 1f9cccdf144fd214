"""URLs of services that are trusted with secrets, or to say who somebody is."""

from __future__ import annotations

from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""What can only be this machine."""


def is_loopback(url: str) -> bool:
    """True if a URL's host can only be this machine."""
    return urlsplit(url).hostname in LOOPBACK


def is_safe_url(url: str) -> bool:
    """True for https, and for plain http to this machine alone: who can answer here decides who everybody is."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError when it is no number
    except ValueError:
        return False
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))
    plain = url.isprintable() and " " not in url and not parts.query and not parts.fragment and "@" not in parts.netloc
    return bool(secure and plain and parts.hostname)
