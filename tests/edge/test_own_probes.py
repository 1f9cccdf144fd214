"""What doctor says of the gateway's own files and of who is told of questions."""

from __future__ import annotations

import datetime
import socket
from pathlib import Path
from typing import Any

import pytest

from addons.core.documents import Document
from addons.core.notify.channel import Channel, Webhook
from addons.edge.audit_ledger import AuditLedger
from addons.edge.authority import open_authority
from addons.edge.own_probes import examine_own
from addons.edge.probes import Finding, clock
from tests.edge.test_own_certificate import write

NOW = datetime.datetime.now(datetime.UTC)


def findings(folder: Path, *channels: Channel, key: Path | None = None, **shown: Any) -> dict[str, Finding]:
    found = examine_own(shown, AuditLedger(folder / "state", key), channels, NOW)
    return {each.what: each for each in found}


def pager(folder: Path, url: str) -> Channel:
    place = Webhook(url=url, secret_file=str(folder / "secret"), callback=False)
    return Channel(name="pager", place=place, document=Document("Notification", "pager", {}, "n.yaml", 1, {}))


def test_the_key_of_the_audit_log(tmp_path: Path) -> None:
    file = tmp_path / "signing.key"
    (found,) = findings(tmp_path, key=file).values()
    assert found.ok and found.detail == f"{file} will be made at the first start"
    key = AuditLedger(tmp_path / "state", file).check()
    (found,) = findings(tmp_path, key=file).values()
    assert found.ok and key.id in found.detail
    file.chmod(0o640)
    (found,) = findings(tmp_path, key=file).values()
    assert not found.ok and found.remedy.startswith(f"chmod 600 {file}")
    file.unlink()
    (found,) = findings(tmp_path, key=file).values()
    assert not found.ok and "cannot be read" in found.detail and found.remedy.startswith("restore it")


def test_certificates(tmp_path: Path) -> None:
    certificate, key = write(tmp_path, open_authority(tmp_path / "ca", NOW).leaf("gateway.test", NOW))
    found = findings(tmp_path, console=(certificate, key), gateway=(tmp_path / "none", key))
    missing = found["certificate of gateway"]
    assert not missing.ok and "cannot be read" in missing.detail
    soon = found["certificate of console"]
    assert (soon.ok, soon.remedy) == (False, "renew it in time") and "is valid for 6 days" in soon.detail


def test_who_is_told_of_questions(tmp_path: Path) -> None:
    what = "notifications pager"
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        found = findings(tmp_path, pager(tmp_path, url))[what]
        assert not found.ok and "cannot be read" in found.detail
        (tmp_path / "secret").write_text("0123456789abcdef")
        assert findings(tmp_path, pager(tmp_path, url))[what].ok
    found = findings(tmp_path, pager(tmp_path, url))[what]
    assert not found.ok and "refused" in found.detail


@pytest.mark.parametrize(
    ("date", "ok", "words"),
    [
        ("Sun, 29 Nov 2026 12:00:00 GMT", True, "this machine is 30 seconds ahead"),
        ("Sun, 29 Nov 2026 12:02:00 GMT", False, "this machine is 90 seconds behind"),
        ("", True, "it does not say what time it is"),
        ("yesterday", True, "it does not say what time it is"),
    ],
)
def test_a_clock(date: str, ok: bool, words: str) -> None:
    now = datetime.datetime(2026, 11, 29, 12, 0, 30, tzinfo=datetime.UTC).timestamp()
    found = clock("idp", date, now, "set it")
    assert (found.what, found.ok, found.detail) == ("idp: clock", ok, words)
