"""A PostgreSQL that is away, comes back, is slow, silent or somebody else: refused in time, and then it works again."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from addons.core.approval import State
from addons.edge import store_thread
from addons.edge.postgresql import CONNECT_SECONDS, Postgresql
from addons.edge.schema import APPROVALS
from addons.edge.store import Store, StoreUnavailable
from addons.edge.store_thread import StoreThread
from scripts.devenv.certificates import Authority
from tests.edge.test_store import ALICE, ASK, NOW
from tests.support.postgresql import PASSWORD, Server, way
from tests.support.stores import Place, in_postgresql

QUICK = 1.5
"""Seconds, in the place of CALL_SECONDS."""


@pytest.fixture
def there(postgresql_server: Server) -> Iterator[Place]:
    yield in_postgresql(postgresql_server)
    if postgresql_server.process is None:
        postgresql_server.start()


@pytest.fixture
async def thread(there: Place, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StoreThread]:
    monkeypatch.setattr(store_thread, "CALL_SECONDS", QUICK)
    with closing(StoreThread(there.open())) as opened:
        yield opened


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "killed"])
def test_after_a_restart_the_first_to_ask_is_served(there: Place, how: int) -> None:
    assert there.server is not None
    with closing(there.open()) as store:
        asked = store.claim("d", ASK, NOW).approval
        there.server.stop(how)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="Connection refused") as refused:
                store.claim("d", ASK, NOW)
            assert PASSWORD not in str(refused.value) and "\n" not in str(refused.value)
        there.server.start()
        assert store.claim("d", ASK, NOW).approval == asked


def test_who_starts_while_it_is_away_works_when_it_is_back(there: Place) -> None:
    assert there.server is not None
    there.server.stop()
    with closing(there.open()) as store:
        with pytest.raises(StoreUnavailable):
            store.check()
        there.server.start()
        store.check()
        assert store.claim("d", ASK, NOW).approval.state is State.PENDING


def test_the_password_is_read_anew_for_every_connection(there: Place, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong-password-1\n")
    with closing(replace(there, file=secret).open()) as store:
        with pytest.raises(StoreUnavailable, match="password authentication failed") as refused:
            store.check()
        assert "wrong-password-1" not in str(refused.value)
        secret.write_text(PASSWORD)
        store.check()
        secret.unlink()
        store.check()


def test_without_its_password_file(there: Place, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="FileNotFoundError"):
        replace(there, file=tmp_path / "none").open()


async def test_a_silent_server_holds_nobody_up(there: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the question and never answers, as one whose disk hangs."""
    assert there.server is not None
    monkeypatch.setattr(store_thread, "CALL_SECONDS", QUICK)
    with way(there.server.port) as between:
        place = replace(there, url=there.server.url(there.database, between.port))
        with closing(StoreThread(place.open())) as thread:
            await thread.call(Store.check)
            between.silent.set()
            began = time.monotonic()
            answers = await asyncio.gather(*(thread.call(Store.check) for _ in range(5)), return_exceptions=True)
            assert [type(each) for each in answers] == [StoreUnavailable] * 5
            assert time.monotonic() - began < 2 * QUICK, "all together, not one after the other"
            between.silent.clear()
            await asyncio.sleep(CONNECT_SECONDS)  # the thread tries to connect once more
            await thread.call(Store.check)
            between.silent.set()
            hanging = asyncio.ensure_future(thread.call(Store.check))
            await asyncio.sleep(0.1)
            began = time.monotonic()
        assert time.monotonic() - began < 2 * QUICK, "nor does the end"
        with pytest.raises(StoreUnavailable):
            await hanging


async def test_a_server_that_is_stopped_in_the_middle(thread: StoreThread, there: Place) -> None:
    assert there.server is not None
    await thread.call(Store.check)
    there.server.signal_backends(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match="has not answered within"):
            await thread.call(Store.check)
    finally:
        there.server.signal_backends(signal.SIGCONT)
    await thread.call(Store.check)


async def test_a_row_that_somebody_holds_is_waited_for_and_no_longer(thread: StoreThread, there: Place) -> None:
    case = await thread.call(Store.claim, "d", ASK, NOW)
    with closing(there.open()) as other, other.writing() as connection:
        connection.execute(APPROVALS.update().values(note="held"))
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await thread.call(Store.decide, case.approval.id, State.GRANTED, ALICE, "", NOW)
        assert time.monotonic() - began < 2 * QUICK
    assert (await thread.call(Store.get, case.approval.id)).approval.state is State.PENDING
    assert (await thread.call(Store.decide, case.approval.id, State.GRANTED, ALICE, "", NOW)).approval.note == ""


def test_the_limits_are_set_for_every_connection(there: Place) -> None:
    with closing(there.open()) as store, store.reading() as connection:
        shown = [
            connection.execute(sa.text(f"SHOW {name}")).scalar()
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        ]
        assert shown == ["4s", "3s", "10s"]


def test_who_may_only_use_the_tables_needs_no_more(there: Place, tmp_path: Path) -> None:
    assert there.server is not None
    there.open().close()
    there.server.execute("CREATE ROLE user_only LOGIN PASSWORD 'narrow-password'")
    there.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO user_only")
    secret = tmp_path / "secret"
    secret.write_text("narrow-password")
    narrow = replace(there, url=there.url.replace("chaperone@", "user_only@", 1), file=secret)
    with closing(narrow.open()) as store:
        assert store.claim("d", ASK, NOW).approval.state is State.PENDING


@pytest.mark.parametrize(
    ("authority", "host", "why"),
    [
        ("ours", "127.0.0.1", ""),
        ("theirs", "127.0.0.1", "certificate verify failed"),
        ("ours", "10.0.0.1", "server certificate"),
    ],
    ids=["the right one", "somebody else's", "another name"],
)
def test_in_tls_the_server_is_verified(there: Place, tmp_path: Path, authority: str, host: str, why: str) -> None:
    """Over a hop that ends the TLS, as a managed database's proxy does: the wheel's server has none of its own."""
    assert there.server is not None
    authorities = {name: Authority(tmp_path / name) for name in ("ours", "theirs")}
    pair = authorities[authority].issue("server", "postgresql", hosts=[host])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    query = f"?sslmode=verify-full&sslrootcert={authorities['ours'].pair.certificate}"
    with way(there.server.port, context) as between:
        place = replace(there, url=there.server.url(there.database, between.port, query))
        with closing(place.open()) as store:
            if why:
                with pytest.raises(StoreUnavailable, match=why):
                    store.check()
            else:
                store.check()


def test_a_server_without_tls_is_not_talked_to_where_tls_is_asked_for(there: Place) -> None:
    assert there.server is not None
    place = replace(there, url=there.server.url(there.database, query="?sslmode=verify-full&sslrootcert=system"))
    with closing(place.open()) as store, pytest.raises(StoreUnavailable, match="does not support SSL"):
        store.check()


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(OSError, match=r"pip install 'kube-chaperone\[postgresql\]'"):
        Postgresql("postgresql://127.0.0.1/x", None)
