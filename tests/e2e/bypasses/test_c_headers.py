"""Section C, headers: nothing that a caller says about who it is, or where it comes from, arrives."""

from __future__ import annotations

import json
import re
from contextlib import suppress

import pytest

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e import raw_http2
from tests.e2e.bypasses.oracle import Oracle
from tests.e2e.gateways import Gateways
from tests.e2e.raw import Answer, ask, proxy, request, target, tunnel
from tests.e2e.records import audit_files, gateway_events
from tests.e2e.wiretap import Wiretap
from tests.support.proxy import everything

PATH = "/api/v1/namespaces/default/configmaps"

IMPERSONATION = {
    "user": ("Impersonate-User: root",),
    "group": ("Impersonate-User: root", "Impersonate-Group: system:masters"),
    "groups": ("Impersonate-Group: a", "Impersonate-Group: system:masters"),
    "uid": ("Impersonate-Uid: 0",),
    "extra": ("Impersonate-Extra-Scopes: all",),
    "escaped extra": ("Impersonate-Extra-Foo%2fbar: all",),
    "constrained": ("Impersonate-Constraint: all",),
    "lower case": ("impersonate-user: root",),
    "mixed case": ("iMPERSONATE-uSER: root", "IMPERSONATE-GROUP: system:masters"),
    "twice": ("Impersonate-User: a", "Impersonate-User: root"),
    "empty": ("Impersonate-User:",),
    "spaces": ("Impersonate-User: \t root \t ",),
    "after a bare LF": ("X-A: b\nImpersonate-User: root",),
    "with an underscore": ("Impersonate_User: root",),
}


@pytest.mark.parametrize("headers", IMPERSONATION.values(), ids=IMPERSONATION)
@pytest.mark.parametrize("first", [True, False], ids=["before the token", "after it"])
def test_b20_nobody_is_impersonated(
    headers: tuple[str, ...], first: bool, gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    bearer = f"Authorization: Bearer {token}"
    answer = ask(gateway, request(gateway, PATH, *([*headers, bearer] if first else [bearer, *headers])))
    assert answer.status == 200, answer
    (event,) = oracle.events()
    assert "impersonatedUser" not in event
    assert b"impersonate-" not in oracle.sent().lower()


@pytest.fixture(scope="module")
def over_http2(gateways: Gateways, wire: Wiretap) -> GatewayEnv:
    return gateways.start("impersonated-http2", wire.upstream, {"http2": True})


@pytest.mark.parametrize("names", [["impersonate-user"], ["impersonate-group", "impersonate-extra-a%2fb"]])
def test_b20_nor_over_http2(names: list[str], over_http2: GatewayEnv, token: str, oracle: Oracle) -> None:
    asked = raw_http2.get(over_http2, PATH, *[(name, "root") for name in names], token=token)
    (outcome,) = raw_http2.ask(over_http2, asked)
    assert outcome.status == 200
    (event,) = oracle.events()
    assert "impersonatedUser" not in event
    assert b"impersonate" not in oracle.sent().lower()


NAMED = [
    "Impersonate-User, Impersonate-Group, Authorization",
    "Authorization",
    "authorization,audit-id",
    "Audit-ID",
    "close, Audit-ID, Authorization, User-Agent",
    "keep-alive, Host, Authorization",
    "Accept, Accept-Encoding",
    ", ,Authorization,,",
    "*",
]


@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize("header", ["Connection", "Proxy-Connection"])
def test_b21_what_the_gateway_writes_cannot_be_named_away(
    header: str, named: str, gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    """The role's token and our id arrive, whatever is declared hop-by-hop."""
    close = () if header == "Connection" else ("Connection: close",)
    lines = (f"{header}: {named}", *close, "Impersonate-User: root", "Audit-ID: mine")
    answer = ask(gateway, request(gateway, PATH, *lines, token=token), seconds=1)
    assert answer.status == 200, answer
    (event,) = oracle.events()
    assert event["user"]["username"].startswith("arn:aws:sts::")
    assert re.fullmatch("[0-9a-f-]{36}", event["auditID"])
    assert "impersonatedUser" not in event
    sent = oracle.sent().lower()
    assert b"\r\nproxy-connection:" not in sent
    assert b"authorization" not in b"".join(re.findall(rb"\r\nconnection:[^\r]*", sent))


@pytest.mark.parametrize("line", ["TE: trailers, chunked", "Trailer: Authorization", "Keep-Alive: timeout=1, max=1000"])
def test_b21_headers_of_one_hop_stay_on_it(line: str, gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    assert ask(gateway, request(gateway, PATH, line, token=token)).status == 200
    assert line.partition(":")[0].lower().encode() + b":" not in oracle.sent().lower()


def test_b21_an_upgrade_does_not_save_what_is_named_beside_it(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    lines = ("Connection: Upgrade, Audit-ID, Authorization", "Upgrade: websocket", "Audit-ID: mine")
    assert ask(gateway, request(gateway, f"{PATH}?watch=1", *lines, token=token), seconds=1).status in (400, 403)
    assert oracle.silent()


ROUTES = """
X-Remote-User: root
X-Remote-Group: system:masters
X-Remote-Uid: 0
X-Remote-Extra-Scopes: all
X-Forwarded-For: 10.0.0.1
X-Forwarded-Host: other-cluster.test
X-Forwarded-Proto: http
X-Forwarded-User: root
X-Forwarded-Client-Cert: By=root
X-Forwarded-Access-Token: x
Forwarded: for=10.0.0.1;host=other-cluster.test
X-Real-IP: 10.0.0.1
X-Client-IP: 10.0.0.1
True-Client-IP: 10.0.0.1
Via: 1.1 trusted
X-Original-URL: /api/v1/secrets
X-Rewrite-URL: /api/v1/secrets
X-HTTP-Method-Override: DELETE
X-Envoy-Original-Path: /api/v1/secrets
X-Chaperone-Identity: root
Cookie: session=root
Proxy-Authorization: Basic cm9vdDpyb290
""".strip().splitlines()


@pytest.mark.parametrize("line", ROUTES)
def test_b25_headers_of_proxies_are_removed(line: str, gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    name = line.partition(":")[0]
    for spelt in (name, name.lower(), name.upper()):
        assert ask(gateway, request(gateway, PATH, line.replace(name, spelt), token=token)).status == 200
    events = oracle.events()
    assert [event["requestURI"] for event in events] == [PATH] * 3
    assert {*events[0]["sourceIPs"]} == {"127.0.0.1"}
    assert b"\r\n" + name.lower().encode() + b":" not in oracle.sent().lower()


@pytest.mark.parametrize(
    "line", [b"PROXY TCP4 10.0.0.1 10.0.0.2 1 443\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + b"\0" * 12]
)
def test_b25_a_line_of_the_proxy_protocol_is_no_source(line: bytes, gateway: GatewayEnv, oracle: Oracle) -> None:
    with proxy(gateway) as raw:
        raw.sendall(line + f"CONNECT {target(gateway)} HTTP/1.1\r\n\r\n".encode())
        assert Answer(everything(raw, 0.5)).status in (0, 400)
    with tunnel(gateway) as tls:
        tls.sendall(line + request(gateway, PATH))
        assert Answer(everything(tls, 0.5)).status in (0, 400)
    assert oracle.silent()


HINTS = [
    "Audit-ID: chosen-by-the-caller",
    "User-Agent: kubectl/v1.37.1 (linux/amd64)",
    "Kubectl-Command: kubectl get pods",
    "Kubectl-Session: 00000000-0000-0000-0000-000000000000",
]


def test_b27_what_a_caller_says_of_itself_is_a_hint(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    """Nothing is decided by it: the same request is refused with and without."""
    refused = f"{PATH[:-10]}secrets/x/../y"
    for path, code in [(PATH, 200), (refused, 400), ("/apis/rbac.authorization.k8s.io/v1/unheard-of", 403)]:
        for lines in ((), HINTS):
            assert ask(gateway, request(gateway, path, *lines, token=token)).status == code
    events = oracle.events()
    assert len(events) == 2
    assert all(re.fullmatch("[0-9a-f-]{36}", event["auditID"]) for event in events)


def test_b27_a_megabyte_of_header_is_431(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    answer = Answer(b"")
    with suppress(ConnectionError):  # whoever writes on when the answer is there may not see it
        answer = ask(gateway, request(gateway, PATH, "X-A: " + "a" * (1 << 20), token=token))
    assert answer.status in (0, 431)
    assert oracle.silent()


FORGED_LINES = ["\x1b[2J\x1b[31mroot", "\x07\x08\x7f", "a\x0b\x0cb", "a\x85b", "\xff\xfe"]


@pytest.mark.parametrize("text", FORGED_LINES)
@pytest.mark.parametrize("name", ["User-Agent", "Kubectl-Command", "Impersonate-Extra-Reason", "Accept"])
def test_b27_control_characters_are_refused_and_recorded_as_text(
    name: str, text: str, gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    assert ask(gateway, request(gateway, PATH, f"{name}: x{text}y", token=token)).status == 400
    assert oracle.silent()


def test_b27_every_record_is_a_line_of_printable_json(gateway: GatewayEnv, token: str) -> None:
    """After all that was tried above and here: no line was forged and none holds a raw control character."""
    forged = '{"kind":"Event","verb":"forged"}'
    for line in (
        f"User-Agent: x\\n{forged}",
        f"Impersonate-Extra-Reason: y\\r\\n{forged}",
        f"Kubectl-Command: {forged}",
    ):
        ask(gateway, request(gateway, PATH, line, token=token))
    ask(gateway, request(gateway, f"{PATH}?a=%0A{forged.replace('"', '%22')}%1b%5b2J", token=token))
    assert "forged" not in {event["verb"] for event in gateway_events(gateway)}
    for file in (*audit_files(gateway), gateway.log):
        for line in file.read_bytes().decode().splitlines(keepends=False):
            json.loads(line)
            assert not re.search(r"[\x00-\x1f\x7f-\x9f]", line), file
