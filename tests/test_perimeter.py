"""Raw sockets against a real gateway: nothing that is not HTTP in TLS in a registered tunnel gets anywhere."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from mitmproxy import http
from mitmproxy.connection import Client

from addons.connections import Connections
from addons.edge.authority import Authority
from addons.exchange import exchange_of
from addons.perimeter import Perimeter
from addons.refusal import settled
from addons.tls import Tls
from tests.support.proxy import HOST, Upstream, Worker, everything, get, open_tunnel, upstream, worker


class PassAll:
    """Stands in for the gates between the perimeter and the cluster, and notes what hooks ran."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.tokens: list[str] = []
        """That the tunnel of each request was opened with."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        token = exchange_of(flow).tunnel_token
        self.tokens.append("" if token is None else token.reveal())
        assert "proxy-authorization" not in flow.request.headers

    def request(self, flow: http.HTTPFlow) -> None:
        self.seen.append(exchange_of(flow).intent or flow.request.path)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert settled(flow)

    def tcp_start(self, _: object) -> None:
        self.seen.append("tcp")


GATES = PassAll()


def stack(connections: Connections, authority: Authority, _: Callable[[Client], None]) -> Sequence[object]:
    perimeter = Perimeter(connections, lambda: None, time.time, 1 << 20)
    return [perimeter, Tls(connections, authority, time.time, http2=False), GATES]


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Worker, Upstream]]:
    folder = tmp_path_factory.mktemp("perimeter")
    with upstream(folder) as server, worker(folder, [server.connection()], stack) as gateway:
        yield gateway, server


@pytest.fixture(autouse=True)
def fresh(behind: tuple[Worker, Upstream]) -> None:
    GATES.seen.clear()
    GATES.tokens.clear()
    behind[1].requests.clear()


def status_of(answer: bytes) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head, answer
    parsed: dict[str, object] = json.loads(body)
    assert parsed["kind"] == "Status"
    assert head.split()[1] == str(parsed["code"]).encode()
    return parsed


def test_a_plain_request_passes(behind: tuple[Worker, Upstream]) -> None:
    gateway, server = behind
    answer = gateway.ask(get("/api/v1/pods", "Impersonate-Extra-Reason: INC-42", "Impersonate-User: admin"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert GATES.seen == ["INC-42"]
    ((method, path, headers, _),) = server.requests
    assert (method, path) == ("GET", "/api/v1/pods")
    assert not [name for name in headers if name.lower().startswith("impersonate")]


SPLITS = [1, 2, 3, 4, 10, 20]


@pytest.mark.parametrize("at", SPLITS)
@pytest.mark.parametrize(
    "start",
    [f"GET /api/v1/secrets HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()],
    ids=["http"],
)
def test_b01_split_request_line_is_http_or_nothing(behind: tuple[Worker, Upstream], start: bytes, at: int) -> None:
    gateway, _ = behind
    with gateway.tls() as tls:
        tls.sendall(start[:at])
        time.sleep(0.05)
        tls.sendall(start[at:])
        assert everything(tls).startswith(b"HTTP/1.1 200")
    assert GATES.seen == ["/api/v1/secrets"]


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"GET\t/api/v1/secrets HTTP/1.1\r\nHost: a\r\n\r\n", id="tab"),
        pytest.param(b"2GET /api/v1/secrets HTTP/1.1\r\n\r\n", id="digit"),
        pytest.param(b"\x00\x01\x02\x03\x04\x05", id="binary"),
        pytest.param(b"SSH-2.0-OpenSSH_9\r\n", id="ssh"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 64, id="B-06 h2 prior knowledge"),
        pytest.param(b"CONNECT etcd:2379 HTTP/1.1\r\nHost: etcd:2379\r\n\r\n", id="B-06 nested CONNECT"),
    ],
)
def test_b01_what_is_not_http_never_reaches_the_cluster(behind: tuple[Worker, Upstream], start: bytes) -> None:
    gateway, server = behind
    with gateway.tls() as tls:
        tls.sendall(start)
        answer = everything(tls, 0.5)
    assert b" 200 " not in answer
    assert server.requests == []
    assert "tcp" not in GATES.seen


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("at", [1, 2, 3, 5, 60])
def test_b02_split_client_hello_is_intercepted(behind: tuple[Worker, Upstream], at: int) -> None:
    """The agent must see the gateway's certificate, never the cluster's: only the gateway's CA is trusted here."""
    gateway, server = behind
    raw, _ = gateway.connect()
    before = server.connections
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=str(gateway.authority.certificate_file))
    tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    first = True
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            data = outgoing.read()
            pieces = [data[:at], data[at:]] if first else [data]
            first = False
            for piece in pieces:
                raw.sendall(piece)
                time.sleep(0.05)
            incoming.write(raw.recv(65536))
    assert server.connections == before
    raw.close()


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(), id="plain HTTP"),
        pytest.param(b"G", id="one byte"),
        pytest.param(b"\x16\x02\x00", id="almost TLS"),
        pytest.param(b"\x16G", id="TLS then text"),
        pytest.param(b"\x00" * 16, id="zeroes"),
    ],
)
def test_b02_a_tunnel_that_is_not_tls_is_closed(behind: tuple[Worker, Upstream], start: bytes) -> None:
    gateway, server = behind
    before = server.connections
    raw, answer = gateway.connect()
    assert b" 200 " in answer
    raw.sendall(start)
    if len(start) == 1:  # too little to tell: closed as soon as there is more
        raw.sendall(b"ET")
    assert everything(raw) == b""
    raw.close()
    assert server.connections == before


TARGETS = [
    "127.0.0.1:8081",
    "169.254.169.254:80",
    "[fd00:ec2::254]:80",
    "127.0.0.1:2379",
    "sts.amazonaws.com:443",
    f"{HOST}:8443",
    f"{HOST}.:443",
    f"x.{HOST}:443",
    "[::ffff:127.0.0.1]:443",
    "2130706433:443",
    f"{HOST}:53",
]


@pytest.mark.parametrize("target", TARGETS)
def test_b03_connect_elsewhere_is_refused_before_dialling(behind: tuple[Worker, Upstream], target: str) -> None:
    gateway, server = behind
    before = server.connections
    raw, answer = gateway.connect(target)
    assert answer.startswith(b"HTTP/1.1 403 Forbidden: not a cluster registered"), answer
    raw.close()
    assert server.connections == before


def test_b03_the_upstream_port_cannot_be_dialled_by_its_own_address(behind: tuple[Worker, Upstream]) -> None:
    gateway, server = behind
    raw, answer = gateway.connect(f"127.0.0.1:{server.port}")
    raw.close()
    assert answer.startswith(b"HTTP/1.1 403")


BASIC = f"Proxy-Authorization: Basic {base64.b64encode(b'x:a.b.c').decode()}"


@pytest.mark.parametrize("header", [BASIC, "proxy-authorization: bearer a.b.c"])
def test_the_token_of_connect_is_that_of_each_request_and_goes_no_further(
    behind: tuple[Worker, Upstream], header: str
) -> None:
    gateway, server = behind
    with gateway.tls(f"{HOST}:443", HOST, header) as tls:
        kept = get("/api", "Proxy-Authorization: Basic eDpvdGhlcg==").replace(b"Connection: close\r\n", b"")
        tls.sendall(kept + get("/api"))
        assert everything(tls).count(b"HTTP/1.1 200") == 2
    assert GATES.tokens == ["a.b.c", "a.b.c"]
    sent = [name.lower() for _, _, headers, _ in server.requests for name in headers]
    assert "host" in sent and not {"authorization", "proxy-authorization"} & set(sent)


def test_a_tunnel_without_a_token_has_none(behind: tuple[Worker, Upstream]) -> None:
    gateway, _ = behind
    assert gateway.ask(get("/api", BASIC)).startswith(b"HTTP/1.1 200")
    assert GATES.tokens == [""]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        pytest.param([BASIC, BASIC], b"there is more than one Proxy-Authorization header: send one", id="two"),
        pytest.param(["Proxy-Authorization: Basic YS5iLmM6"], b"http://x:TOKEN@gateway", id="a user without password"),
        pytest.param(["Proxy-Authorization: a.b.c"], b"http://x:TOKEN@gateway", id="no scheme"),
        pytest.param(["Proxy-Authorization: Basic \xe9"], b"http://x:TOKEN@gateway", id="no ASCII"),
        pytest.param(["Proxy-Authorization:"], b"http://x:TOKEN@gateway", id="empty"),
    ],
)
def test_b23_what_is_no_token_opens_no_tunnel(
    behind: tuple[Worker, Upstream], headers: list[str], reason: bytes
) -> None:
    gateway, server = behind
    before = server.connections
    raw, answer = gateway.connect(f"{HOST}:443", *headers)
    line, _, rest = answer.partition(b"\r\n")
    assert line.startswith(b"HTTP/1.1 407 Proxy Authentication Required: ") and reason in line, answer
    assert b'proxy-authenticate: Basic realm="chaperone"' in rest
    raw.sendall(f"GET https://{HOST}/version HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
    assert status_of(everything(raw))["code"] == 403
    raw.close()
    assert server.connections == before


@pytest.mark.parametrize("first", ["elsewhere.test:443", f"{HOST}:443"])
def test_the_token_of_a_tunnel_that_was_refused_is_forgotten(behind: tuple[Worker, Upstream], first: str) -> None:
    gateway, _ = behind
    headers = [BASIC] if first != f"{HOST}:443" else [BASIC, BASIC]
    raw, answer = gateway.connect(first, *headers)
    assert answer.split()[1] in (b"403", b"407")
    assert b" 200 " in open_tunnel(raw, f"{HOST}:443")
    context = ssl.create_default_context(cafile=str(gateway.authority.certificate_file))
    with context.wrap_socket(raw, server_hostname=HOST) as tls:
        tls.sendall(get("/api"))
        assert everything(tls).startswith(b"HTTP/1.1 200")
    assert GATES.tokens == [""]


@pytest.mark.parametrize(
    "url",
    [
        f"http://{HOST}/version",
        f"https://{HOST}/version",
        f"http://{HOST}:443/version",
        f"https://{HOST}/clusters/test/version",
        "/clusters/test/version",
    ],
)
def test_b04_requests_without_a_tunnel_are_refused(behind: tuple[Worker, Upstream], url: str) -> None:
    gateway, server = behind
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as raw:
        raw.sendall(f"GET {url} HTTP/1.1\r\nHost: {HOST}\r\n{BASIC}\r\nConnection: close\r\n\r\n".encode())
        assert status_of(everything(raw))["code"] == 403
    assert server.requests == []


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        pytest.param(get("/api", host="other.test"), 421, id="other Host"),
        pytest.param(get("/api", host=f"{HOST}:8443"), 421, id="other port"),
        pytest.param(get("/api", f"Host: {HOST}"), 421, id="two Hosts"),
        pytest.param(get("https://other.test/api"), 421, id="absolute form of another server"),
        pytest.param(get(f"https://{HOST}/api"), 200, id="absolute form of this cluster"),
        pytest.param(get("/api", "X-A: \xe9"), 400, id="not ASCII"),
        pytest.param(get("/api", "Content-Length: 5", "Content-Length: 6"), 400, id="B-07 two lengths"),
        pytest.param(get("/api", "Transfer-Encoding: chunked", "Content-Length: 6"), 400, id="B-07 CL and TE"),
        pytest.param(get("/api", "Content-Length: 1048577"), 413, id="B-65 declared too large"),
    ],
)
def test_b05_one_tunnel_one_cluster(behind: tuple[Worker, Upstream], request_bytes: bytes, code: int) -> None:
    gateway, server = behind
    answer = gateway.ask(request_bytes)
    assert answer.split()[1] == str(code).encode(), answer
    if code != 200:
        assert status_of(answer)["code"] == code
        assert server.requests == []


def test_b05_sni_decides_nothing(behind: tuple[Worker, Upstream]) -> None:
    gateway, server = behind
    with gateway.tls(server_name="other.test") as tls:
        tls.sendall(get("/api"))
        assert everything(tls).startswith(b"HTTP/1.1 200")
    assert len(server.requests) == 1


def test_b65_a_chunked_body_over_the_limit_is_a_status(behind: tuple[Worker, Upstream]) -> None:
    gateway, server = behind
    with gateway.tls() as tls:
        head = f"POST /api HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        tls.sendall(head.encode())
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        tls.sendall(chunk * 17 + b"0\r\n\r\n")
        assert status_of(everything(tls))["code"] == 413
    assert server.requests == []


def test_b84_the_ca_of_another_cluster_is_not_accepted(tmp_path: Path) -> None:
    with upstream(tmp_path) as server:
        (tmp_path / "b").mkdir()
        with upstream(tmp_path / "b") as other:
            registered = server.connection(ca_file=str(other.ca_file))
            with worker(tmp_path, [registered], stack) as gateway:
                assert status_of(gateway.ask(get("/api")))["code"] == 503
        assert server.requests == []


@pytest.mark.parametrize("name", ["other.test", "127.0.0.1"])
def test_the_cluster_must_have_the_registered_name(name: str, tmp_path: Path) -> None:
    with upstream(tmp_path) as server, worker(tmp_path, [server.connection(server_name=name)], stack) as gateway:
        assert status_of(gateway.ask(get("/api")))["code"] == 503
        assert server.requests == []
