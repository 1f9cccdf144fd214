"""What `chaperone doctor` says of a store, on both databases: it looks, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from addons.edge.store_probe import examine_store
from tests.support.postgresql import PASSWORD, Server
from tests.support.stores import Place, in_postgresql


def looked(place: Place, password_file: Path | None = None) -> tuple[bool, str]:
    url = place.url if place.server else ""
    finding = examine_store(place.file, url, password_file or (place.file if place.server else None))
    assert finding.ok or finding.remedy
    return finding.ok, finding.detail


def test_a_new_one_is_left_alone(place: Place) -> None:
    assert looked(place)[0]
    assert "will be made at the first start" in looked(place)[1]
    if place.server is None:
        assert not place.file.exists()
    else:
        tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        assert place.execute(tables) == [(0,)]


def test_one_of_this_version_and_one_of_another(place: Place) -> None:
    place.open().close()
    assert (looked(place)[0], "has schema 1" in looked(place)[1]) == (True, True)
    place.execute("UPDATE chaperone_schema SET version = 99")
    assert (looked(place)[0], "has schema 99" in looked(place)[1]) == (False, True)


def test_one_that_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "approvals.sqlite"
    file.write_text("this is no database, and long enough to be taken for one" * 100)
    finding = examine_store(file, "", None)
    assert (finding.ok, "file is not a database" in finding.detail) == (False, True)


@pytest.mark.parametrize(("port", "password", "why"), [(1, "", "Connection refused"), (0, "wrong", "authentication")])
def test_a_server_that_is_away_or_refuses(
    port: int, password: str, why: str, postgresql_server: Server, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(password or PASSWORD)
    place = in_postgresql(postgresql_server)
    finding = examine_store(tmp_path, postgresql_server.url(place.database, port or None), secret)
    assert (finding.ok, why in finding.detail) == (False, True), finding.detail
    assert secret.read_text() not in finding.detail
