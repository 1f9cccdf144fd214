"""What a client leaves open towards a cluster goes on for the same session, and for nobody else."""

from __future__ import annotations

import http.server
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random

from tests.support.going_on import Running, answer_with, request, running, wait_for
from tests.support.proxy import HOST, everything


def test_the_next_client_of_a_session_goes_on_where_the_last_one_left(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        gateway.client("/1", "/2")
        gateway.client("/3")
        gateway.client("/4", "/5")
        assert gateway.paths == ["/1", "/2", "/3", "/4", "/5"]
        assert gateway.server.connections == 1
        first, *_, last = gateway.sessions.servers
    assert first.id != last.id
    assert last.certificate_list
    for name in ("peername", "sockname", "tls_version", "cipher", "alpn", "sni", "timestamp_start", "certificate_list"):
        assert getattr(first, name) == getattr(last, name), name


def test_another_session_never_does(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        for number, session in enumerate(("one", "two", "one", "two"), 1):
            gateway.client(f"/{number}", session=session)
        assert gateway.server.connections == 2


def test_nobody_goes_on_with_what_two_sessions_have_used(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        with gateway.worker.tls() as tls:
            gateway.asks(tls, "/1", "one")
            gateway.asks(tls, "/2", "two")
        gateway.settle()
        gateway.client("/3", session="one")
        gateway.client("/4", session="two")
        assert gateway.server.connections == 3


def test_b07_what_went_on_ends_before_another_session_speaks(tmp_path: Path) -> None:
    """What clients of the one session may have left in it is not met by the other's request."""
    with running(tmp_path) as gateway:
        gateway.client("/1", session="one")
        with gateway.worker.tls() as tls:
            for number, session in enumerate(("one", "two", "one", "two"), 2):
                assert gateway.asks(tls, f"/{number}", session).endswith(b"{}")
        gateway.settle()
        assert gateway.paths == [f"/{number}" for number in range(1, 6)]
        first, again, other, *rest = [server.sockname for server in gateway.sessions.servers]
        assert first == again != other
        assert set(rest) == {other}, "what it has opened itself stays its own"
        assert gateway.server.connections == 2


def test_clients_at_the_same_time_have_one_each(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        for _ in range(2):
            with gateway.worker.tls() as one, gateway.worker.tls() as other:
                for tls in (one, other, one, other):
                    gateway.asks(tls, "/")
            gateway.settle()
        assert (len(gateway.paths), gateway.server.connections) == (8, 2)


def test_what_is_registered_anew_is_dialled_anew(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        gateway.client("/1")
        changed = gateway.server.connection(sts_endpoint_url="https://sts.test")
        gateway.registered.replace({(changed.host, changed.port): changed})
        gateway.client("/2")
        gateway.client("/3")
        assert gateway.server.connections == 2


def test_a_connection_of_a_cluster_that_changed_meanwhile_is_left_to_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        with gateway.worker.tls() as tls:
            gateway.asks(tls, "/1")
            registered = gateway.server.connection()
            changed = replace(registered, server_name="another.test")
            gateway.registered.replace({(changed.host, changed.port): changed})
        gateway.settle()
        gateway.registered.replace({(registered.host, registered.port): registered})
        gateway.client("/2")
        assert gateway.server.connections == 2


def test_b07_whatever_many_do_each_has_its_own_answers_and_no_connection_two_sessions(tmp_path: Path) -> None:
    """Clients of three sessions at once; some leave in the middle, and now and then the cluster hangs up."""
    seen: dict[int, set[str]] = {}

    def echo(handler: http.server.BaseHTTPRequestHandler) -> None:
        seen.setdefault(id(handler), set()).add(handler.headers["x-session"])
        kept.append(handler)  # so that no id comes twice
        ends = (("Connection", "close"),) if "ends" in handler.path else ()
        answer_with(handler, f"{handler.headers['x-session']} {handler.path} {{}}".encode(), *ends)

    def client(gateway: Running, seed: int) -> None:
        random = Random(seed)
        session = random.choice(["one", "two", "three"])
        with gateway.worker.tls() as tls:
            for number in range(random.randrange(5)):
                ends = "ends" if random.random() < 0.1 else "goes-on"
                path = f"/{seed}/{number}/{ends}"
                answer = gateway.asks(tls, path, session)
                assert answer.endswith(f"{session} {path} {{}}".encode())
                if ends == "ends":
                    return
            if random.random() < 0.3:
                tls.sendall(request(f"/{seed}/left", session))

    kept: list[object] = []
    with running(tmp_path, echo) as gateway, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: client(gateway, seed), range(80)))
        gateway.settle()
        assert [sessions for sessions in seen.values() if len(sessions) > 1] == []
        assert len(seen) < 80


def test_whoever_speaks_http2_has_its_own(tmp_path: Path) -> None:
    import hpack

    from tests.test_endings import PREFACE, asked

    with running(tmp_path, http2=True) as gateway:
        gateway.client("/1")
        raw, _ = gateway.worker.connect()
        with gateway.worker.trust("h2").wrap_socket(raw, server_hostname=HOST) as tls:
            tls.sendall(PREFACE + asked(hpack.Encoder(), 1))
            wait_for(lambda: len(gateway.paths) == 2)
            everything(tls, 0.3)
        gateway.settle()
        gateway.client("/3")
        assert gateway.server.connections == 2, "the third goes on with the first"
