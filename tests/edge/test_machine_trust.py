"""Whom no CA is named for is believed when the machine trusts theirs, a company's own included."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mitmproxy.exceptions import CommandError

from addons.cli.viewer_commands import Decisions
from addons.core.sign_in import Client, SignInFailed
from addons.edge.machine_trust import machine_trust, person_trust
from addons.edge.post import NotSent, Poster
from addons.edge.sign_in import Provider
from addons.edge.token_exchange import session_token
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


ASKED_BY = {
    "chaperone login, of a provider": lambda url: Provider(Client(issuer=url, client_id="cli")).by_device(print),
    "chaperone token, of a console": lambda url: session_token(url, "a.proof.x"),
    "chaperone.approve in the viewer, of a console": lambda url: Decisions(url, lambda: "a.token.x").approve("1"),
}


@pytest.mark.usefixtures("_read_again")
@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("ask", ASKED_BY.values(), ids=ASKED_BY)
def test_a_persons_commands_believe_them_as_well(
    ask: Callable[[str], object], trusted: bool, url: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is no provider and no console: what matters is whether they came as far as to notice."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.pair.certificate))
    with pytest.raises((SignInFailed, CommandError)) as said:
        ask(url)
    assert ("CERTIFICATE_VERIFY_FAILED" in str(said.value)) is not trusted


@pytest.mark.usefixtures("_read_again")
def test_a_person_whose_machine_has_no_store_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ssl.get_default_verify_paths()._replace(cafile="", capath="")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert person_trust().get_ca_certs()
    assert person_trust() is not machine_trust()


@pytest.mark.usefixtures("_read_again")
def test_nobody_is_believed_for_a_store_that_is_named_and_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    assert not person_trust().get_ca_certs()
