"""The interception CA: made once, verified at every start, and its leaves are what real TLS clients accept."""

from __future__ import annotations

import datetime
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from addons.core.problem import InvalidConfiguration
from addons.edge.authority import CERTIFICATE_FILE, KEY_FILE, open_authority

NOW = datetime.datetime.now(datetime.UTC)


def test_made_once_and_private(tmp_path: Path) -> None:
    first = open_authority(tmp_path / "certs", NOW)
    second = open_authority(tmp_path / "certs", NOW)
    assert first.certificate == second.certificate
    assert stat.S_IMODE((tmp_path / "certs" / KEY_FILE).stat().st_mode) == 0o600


def test_clocks_may_differ_whatever_the_hour(tmp_path: Path) -> None:
    """A gateway's leaves are of the day's first moment (UTC), by a clock that may be ahead of its agents'."""
    authority = open_authority(tmp_path, NOW)
    tomorrow = NOW + datetime.timedelta(days=1)
    for certificate in (authority.certificate, authority.leaf("api.cluster.test", tomorrow).certificate):
        assert certificate.not_valid_before_utc < NOW - datetime.timedelta(hours=12)


@pytest.mark.parametrize("host", ["api.cluster.test", "127.0.0.1", "::1"])
def test_a_leaf_is_accepted_by_a_tls_client(host: str, tmp_path: Path) -> None:
    authority = open_authority(tmp_path, NOW)
    leaf = authority.leaf(host, NOW)
    assert leaf.key.public_key() != authority.certificate.public_key()
    pem = tmp_path / "leaf.pem"
    pem.write_bytes(
        leaf.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + leaf.certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cafile=str(authority.certificate_file))
    left, right = socket.socketpair()
    accepting = threading.Thread(target=lambda: server.wrap_socket(right, server_side=True).close())
    accepting.start()
    with client.wrap_socket(left, server_hostname=host) as tls:
        assert tls.version() == "TLSv1.3"
    accepting.join(5)


def test_every_unusable_authority_stops_the_start(tmp_path: Path) -> None:
    open_authority(tmp_path, NOW)
    with pytest.raises(InvalidConfiguration, match="expired on"):
        open_authority(tmp_path, NOW + datetime.timedelta(days=1100))
    other = open_authority(tmp_path / "other", NOW)
    (tmp_path / KEY_FILE).write_bytes((tmp_path / "other" / KEY_FILE).read_bytes())
    with pytest.raises(InvalidConfiguration, match="is not the elliptic-curve key"):
        open_authority(tmp_path, NOW)
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(InvalidConfiguration, match="cannot be read"):
        open_authority(tmp_path, NOW)
    (tmp_path / CERTIFICATE_FILE).write_text("garbage")
    with pytest.raises(InvalidConfiguration, match="cannot be read"):
        open_authority(tmp_path, NOW)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidConfiguration, match="cannot be written"):
        open_authority(tmp_path / "file" / "certs", NOW)
    assert isinstance(other.certificate, x509.Certificate)
