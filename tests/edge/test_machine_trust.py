"""Receivers with no CA of their own are believed when the machine trusts theirs, a company's own included."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.edge.machine_trust import machine_trust
from addons.edge.post import NotSent, Poster
from scripts.devenv.certificates import Authority
from tests.support.receiver import receiver


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    """Of a receiver with a certificate of that CA."""
    pair = authority.issue("receiver", "receiver", hosts=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with receiver(tls=context) as found:
        yield found.url


@pytest.fixture
def _read_again() -> Iterator[None]:
    machine_trust.cache_clear()
    yield
    machine_trust.cache_clear()


@pytest.mark.usefixtures("_read_again")
async def test_a_ca_that_the_machine_trusts(url: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pair.certificate))
    assert await Poster().post(url, b"{}", {}) == b""


@pytest.mark.usefixtures("_read_again")
async def test_any_other_ca(url: str, authority: Authority) -> None:
    with pytest.raises(NotSent):
        await Poster().post(url, b"{}", {})
    assert await Poster(str(authority.pair.certificate)).post(url, b"{}", {}) == b""
