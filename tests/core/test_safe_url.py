"""Which URLs only their owner can answer."""

from __future__ import annotations

import pytest

from addons.core.safe_url import is_loopback, is_safe_url


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a.example", True),
        ("https://a.example:8443/x", True),
        ("http://localhost:9400", True),
        ("http://[::1]:9400", True),
        ("http://localhost.evil.example", False),
        ("http://a.example", False),
        ("https://", False),
        ("https://u:p@a.example", False),
        ("https://a.example/?x=1", False),
        ("https://a.example/#x", False),
        ("https://a.example:port", False),
        ("https://a.example/a b", False),
        ("https://a.example/\n", False),
        ("file:///etc/passwd", False),
    ],
)
def test_only_urls_nobody_else_can_answer_are_safe(url: str, safe: bool) -> None:
    assert is_safe_url(url) is safe


def test_loopback() -> None:
    assert is_loopback("http://127.0.0.1:1/x")
    assert not is_loopback("https://127.0.0.1.example")
