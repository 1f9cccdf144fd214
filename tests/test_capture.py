"""The record of a real worker in front of a real upstream."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from addons.capture import Capture
from addons.core.authorization import Bearer
from addons.core.command import Command
from addons.core.decision import Decision, Verdict
from addons.core.grant import Grant
from addons.core.guardrails import record as decision_record
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal
from addons.core.secret import Secret
from addons.core.session import Session
from addons.core.spdy import Data, Frame, FrameReader, FrameWriter, SynReply, SynStream
from addons.edge import tape
from addons.edge.audit_check import verify_state
from addons.edge.audit_ledger import AuditLedger
from addons.edge.flow_record import FlowRecords
from addons.edge.live import Live, live_folder
from addons.edge.recordings import Recordings
from addons.exchange import Exchange, exchange_of
from addons.perimeter import Perimeter
from addons.refusal import refuse, settled
from addons.seal import Seal
from addons.tls import Tls
from addons.upgrade_hooks import Passing
from addons.upgrades import Upgrades
from tests.core.spdy.test_frames import joined
from tests.support.flows import judged, records
from tests.support.proxy import HOST, Upstream, Worker, everything, get, upstream, worker

IDENTITY = Identity(iss="https://idp", sub="agent", aud=("gw",), exp=9e9)
AGENT_TOKEN = "agent-t0ken"
CREDENTIAL = "upstream-credential"
PLAIN = "unmasked-secret"
SENT_PLAIN = "secret-the-agent-wrote"
GOES_ON = threading.Event()
"""Set when the upstream may end what has `/held` in its path."""


class Gates:
    """Stands in for the steps before capture: decides by the path, and masks."""

    def __init__(self, upgrade_allowed: bool = True) -> None:
        self._upgrade_allowed = upgrade_allowed

    def requestheaders(self, flow: HTTPFlow) -> None:
        flow.request.headers.pop("authorization", None)
        if settled(flow):
            return
        exchange = exchange_of(flow)
        exchange.identity = IDENTITY
        exchange.session = Session(id="s1", identity=IDENTITY, connection="test", started_at=1.0)

    def request(self, flow: HTTPFlow) -> None:
        if settled(flow):
            return
        exchange, path = exchange_of(flow), flow.request.path
        if "/garbage" in path:
            refuse(flow, Refusal(code=400, rule="ambiguous", why="garbage"))
            return
        upgrade = flow.request.headers.get("upgrade", "").lower().partition("/")[0]
        connect: Any = {"resource": "pods", "subresource": "exec", "name": "p"} if "/exec" in path else {}
        exchange.request = KubeRequest(
            method=flow.request.method, path=path.partition("?")[0], target=path, verb="get", upgrade=upgrade,
            argv=("sh",), stdin=True, stdout=True, **connect,
        )  # fmt: skip
        exchange.command = Command(inferred="kubectl get")
        exchange.grant = _grant(("secrets",) if "/shown" in path else ())
        exchange.decision = Decision(verdict=Verdict.ALLOW)
        exchange.judged = judged(exchange.request, object={"data": SENT_PLAIN}, identity=IDENTITY)
        exchange.approved = exchange.masked = True
        if "/refused" in path:
            refuse(flow, Refusal(code=403, rule="no", why="because"))

    def responseheaders(self, flow: HTTPFlow) -> None:
        if flow.response is not None and "/stream" in flow.request.path:
            flow.response.stream = lambda chunk: chunk.replace(PLAIN.encode(), b"*****")

    def response(self, flow: HTTPFlow) -> None:
        if flow.response is not None and flow.response.raw_content and "/shown" not in flow.request.path:
            flow.response.content = flow.response.raw_content.replace(PLAIN.encode(), b"*****")
        if "/unmaskable" in flow.request.path:
            flow.kill()

    def upgrade_message(self, passing: Passing) -> None:
        passing.message.data = passing.message.data.replace(PLAIN.encode(), b"*****")


class Inject:
    """Stands in for the credentials step."""

    def request(self, flow: HTTPFlow) -> None:
        if not settled(flow):
            flow.request.headers["Authorization"] = f"Bearer {CREDENTIAL}"
            exchange_of(flow).credential = Bearer(Secret(CREDENTIAL))


def _grant(unmask: tuple[str, ...]) -> Grant:
    return Grant(id="g", identity=IDENTITY, connection="test", role="r", not_before_at=0, expires_at=9e9, unmask=unmask)


def _scrub(_: Exchange, body: bytes, __: str) -> bytes:
    return body.replace(SENT_PLAIN.encode(), b"*****").replace(PLAIN.encode(), b"*****")


@dataclass
class Setup:
    state: Path
    upstream: Upstream
    worker: Worker
    recordings: Recordings
    events_at_upstream: list[list[dict[str, Any]]] = field(default_factory=list)

    def events(self, session: str = "s1", count: int = 0) -> list[dict[str, Any]]:
        """The session's audit events, once there are `count`."""
        file = self.state / "sessions" / session / "audit.jsonl"
        for _ in range(300):
            events = [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []
            if len(events) >= count:
                break
            time.sleep(0.01)
        return events

    def flows(self, session: str = "s1") -> list[HTTPFlow]:
        """What is in the session's flow file after everything was written."""
        self.recordings.close()
        [file] = (self.state / "sessions" / session).glob("flows-*.mitm")
        flows = [*FlowReader(io.BytesIO(file.read_bytes())).stream()]
        assert all(isinstance(flow, HTTPFlow) for flow in flows)
        return flows  # type: ignore[return-value]

    def everything_written(self) -> bytes:
        self.recordings.close()
        return b"".join(path.read_bytes() for path in self.state.rglob("*") if path.is_file())


Start = Callable[[], Setup]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run() -> Setup:
            state = tmp_path / "state"
            recordings = Recordings(state, "w0", 1000.0, AuditLedger(state))
            flow_records = FlowRecords(_scrub)
            live = Live(state, flow_records, interval_seconds=0.02)

            def answering(handler: http.server.BaseHTTPRequestHandler) -> None:
                setup.events_at_upstream.append(setup.events())
                _answer(handler)

            def addons(connections: Any, authority: Any, disconnect: Callable[[Client], None]) -> Sequence[object]:
                return [
                    Perimeter(connections, lambda: None, time.time, 1024 * 1024),
                    Tls(connections, authority, time.time, False),
                    Gates(),
                    Upgrades(),
                    Capture(recordings, time.time, disconnect, flow_records, live),
                    Inject(),
                    Seal(),
                ]

            seen = stack.enter_context(upstream(tmp_path, answering))
            running = stack.enter_context(worker(tmp_path, [seen.connection()], addons))
            stack.callback(recordings.close)
            stack.callback(live.close)
            setup = Setup(state, seen, running, recordings)
            return setup

        yield run


def _answer(handler: http.server.BaseHTTPRequestHandler) -> None:
    if "/vanish" in handler.path:
        handler.close_connection = True
        return
    if handler.headers.get("Upgrade"):
        _websocket(handler)
        return
    if "/stream" in handler.path:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in [f'{{"data":"{PLAIN}"}}\n'.encode()] * 3 + [b""]:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            _pause(handler)
        return
    body = json.dumps({"data": PLAIN}).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _pause(handler: http.server.BaseHTTPRequestHandler) -> None:
    if "/held" in handler.path:
        handler.wfile.flush()
        GOES_ON.wait(10)


def _websocket(handler: http.server.BaseHTTPRequestHandler) -> None:
    key = handler.headers.get("Sec-WebSocket-Key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    handler.send_response(101)
    if handler.headers["Upgrade"] == "SPDY/3.1":
        _spdy(handler)
        return
    handler.send_header("Upgrade", "foo" if "/strange" in handler.path else "websocket")
    handler.send_header("Connection", "Upgrade")
    handler.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
    handler.send_header("Sec-WebSocket-Protocol", "v9.strange" if "/odd" in handler.path else "v5.channel.k8s.io")
    handler.end_headers()
    frame = handler.rfile.read(6 + 5)
    typed = bytes(byte ^ frame[2 + index % 4] for index, byte in enumerate(frame[6:]))
    output = b"\x07bad" if "/bad" in handler.path else b"\x01" + PLAIN.encode() + b" " + typed[1:] + b"\r\n"
    for payload in [output, b'\x03{"status":"Success"}']:
        handler.wfile.write(bytes([0x82, len(payload)]) + payload)
        _pause(handler)
    handler.wfile.write(b"\x88\x02\x03\xe8")
    handler.wfile.flush()
    handler.close_connection = True


def _spdy(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Accepts the streams, and answers what was typed once it ends in a new line."""
    assert handler.headers.get_all("X-Stream-Protocol-Version") == ["v4.channel.k8s.io", "v3.channel.k8s.io"]
    handler.send_header("Upgrade", "SPDY/3.1")
    handler.send_header("Connection", "Upgrade")
    handler.send_header("X-Stream-Protocol-Version", "v4.channel.k8s.io")
    handler.end_headers()
    reader, writer, typed = FrameReader(), FrameWriter(), b""
    while not typed.endswith(b"\n") and (read := handler.connection.recv(65536)):
        for frame in reader.feed(read):
            if isinstance(frame, SynStream):
                handler.wfile.write(writer.write(SynReply(frame.stream)))
            typed += frame.data if isinstance(frame, Data) else b""
    for answer in [Data(5, PLAIN.encode() + b" " + typed, True), Data(1, b'{"status":"Success"}', True)]:
        handler.wfile.write(writer.write(answer))
    handler.close_connection = True


def _exec(setup: Setup, path: str = "/exec?command=sh") -> bytes:
    """What the agent receives of a session in which it types `id` and a return."""
    lines = [
        f"GET {path} HTTP/1.1", f"Host: {HOST}", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol: v5.channel.k8s.io", "", "",
    ]  # fmt: skip
    with setup.worker.tls() as tls:
        tls.sendall("\r\n".join(lines).encode())
        tls.sendall(bytes([0x82, 0x80 | 5, 0, 0, 0, 0]) + b"\x00id\r\n")
        return everything(tls, 5)


def test_forwarded(start: Start) -> None:
    setup = start()
    answer = setup.worker.ask(get("/x?access_token=abc", f"Authorization: Bearer {AGENT_TOKEN}"))
    assert b"*****" in answer
    received, complete = setup.events(count=2)
    assert (received["stage"], complete["stage"]) == ("RequestReceived", "ResponseComplete")
    assert received["auditID"] == complete["auditID"]
    assert complete["responseStatus"]["code"] == 200
    assert "responseStatus" not in received
    assert received["annotations"]["chaperone.dev/role"] == "r"
    [(_, _, headers, _)] = setup.upstream.requests
    assert headers["Audit-Id" if "Audit-Id" in headers else "Audit-ID"] == received["auditID"]
    [flow] = setup.flows()
    assert flow.response is not None
    assert json.loads(flow.response.content or b"") == {"data": "*****"}
    assert flow.request.headers["authorization"] == "[scrubbed]"
    assert flow.metadata["chaperone"]["verdict"] == "allow"


def test_what_is_shown_unmasked_is_masked_in_the_record(start: Start) -> None:
    setup = start()
    assert PLAIN.encode() in setup.worker.ask(get("/shown"))
    _, complete = setup.events(count=2)
    assert complete["annotations"]["chaperone.dev/unmask"] == "secrets"
    [flow] = setup.flows()
    assert flow.response is not None
    assert json.loads(flow.response.content or b"") == {"data": "*****"}


def test_the_event_is_on_disk_before_the_request_leaves(start: Start) -> None:
    setup = start()
    setup.worker.ask(get("/x"))
    [[event]] = setup.events_at_upstream
    assert event["stage"] == "RequestReceived"


@pytest.mark.parametrize("path", ["/x", "/stream", "/refused", "/garbage", "/vanish", "/unmaskable", "/exec"])
def test_b83_no_secret_in_any_file(start: Start, path: str) -> None:
    setup = start()
    if path == "/exec":
        _exec(setup)
    else:
        body = f'{{"x":"{SENT_PLAIN}"}}'
        setup.worker.ask(
            f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {AGENT_TOKEN}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
    setup.events(count=1)
    written = setup.everything_written()
    assert b"ResponseComplete" in written
    for secret in (AGENT_TOKEN, CREDENTIAL, PLAIN, SENT_PLAIN):
        assert secret.encode() not in written, secret


@pytest.mark.parametrize(("path", "code"), [("/refused", 403), ("/garbage", 400)])
def test_refused(start: Start, path: str, code: int) -> None:
    setup = start()
    answer = setup.worker.ask(get(path))
    assert b"%d " % code in answer.split(b"\r\n")[0]
    [event] = setup.events(count=1)
    assert (event["stage"], event["responseStatus"]["code"]) == ("ResponseComplete", code)
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert event["auditID"].encode() in answer
    assert setup.upstream.requests == []
    [flow] = setup.flows()
    assert flow.marked == ":no_entry:"
    assert flow.response is not None
    assert flow.response.status_code == code


@pytest.mark.parametrize("path", ["/x?token=mine", "/refused"])
def test_what_a_request_was_judged_by_is_recorded(start: Start, path: str) -> None:
    setup = start()
    setup.worker.ask(get(path))
    [event] = setup.events(count=1)[:1]
    [line] = (setup.state / "sessions" / "s1" / "decisions.jsonl").read_bytes().splitlines()
    record = decision_record.read(line)
    assert (record.id, record.judged.rules) == (event["auditID"], "digest")
    assert record.judged.facts.object == {"data": "*****"}
    assert record.judged.facts.identity == IDENTITY
    assert b"mine" not in line


def test_what_was_not_judged_has_no_decision(start: Start) -> None:
    setup = start()
    setup.worker.ask(get("/garbage"))
    setup.events(count=1)
    assert not (setup.state / "sessions" / "s1" / "decisions.jsonl").exists()


def test_nobody_knows_who_it_was(start: Start) -> None:
    setup = start()
    setup.worker.ask(b"GET /x HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n")
    [event] = setup.events("unidentified-test", 1)
    assert event["user"]["username"] == "system:anonymous"
    assert event["responseStatus"]["code"] == 421


def test_b41_what_cannot_be_recorded_is_not_forwarded(start: Start) -> None:
    setup = start()
    setup.state.mkdir()
    (setup.state / "sessions").write_text("in the way")
    assert b" 503 " in setup.worker.ask(get("/x"))
    assert setup.upstream.connections == 0
    assert b" 403 " in setup.worker.ask(get("/refused"))


def test_b41_without_the_decision_on_record_nothing_is_forwarded(start: Start) -> None:
    setup = start()
    setup.worker.ask(get("/x"))
    (setup.state / "sessions" / "s1" / "decisions.jsonl").unlink()
    setup.recordings._journal._files.close()
    (setup.state / "sessions" / "s1" / "decisions.jsonl").mkdir()
    assert b" 503 " in setup.worker.ask(get("/x"))
    assert len(setup.upstream.requests) == 1


def test_streams_are_sampled(start: Start) -> None:
    setup = start()
    answer = setup.worker.ask(get("/stream"))
    assert answer.count(b"*****") == 3
    stages = [event["stage"] for event in setup.events(count=3)]
    assert stages == ["RequestReceived", "ResponseStarted", "ResponseComplete"]
    assert setup.events()[-1]["annotations"]["chaperone.dev/streamed-bytes"] == "51"
    [flow] = setup.flows()
    assert flow.response is not None
    assert flow.response.raw_content == b'{"data":"*****"}\n' * 3


@pytest.mark.parametrize("path", ["/held/stream", "/held/exec"])
def test_what_runs_is_shown_to_viewers_while_it_runs(start: Start, path: str) -> None:
    GOES_ON.clear()
    setup = start()
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(_exec, setup, path) if path == "/held/exec" else pool.submit(setup.worker.ask, get(path))
        try:
            for _ in range(500):
                [*files] = live_folder(setup.state).glob("*.mitm")
                if files and b"*****" in (seen := files[0].read_bytes()):
                    break
                time.sleep(0.01)
        finally:
            GOES_ON.set()
        assert b"*****" in asking.result()
    [flow] = records(seen)
    assert (flow.marked, flow.comment, flow.request.path) == (":arrow_forward:", "still running", path)
    assert flow.metadata["chaperone"]["over"] is False
    assert not [secret for secret in (AGENT_TOKEN, CREDENTIAL, PLAIN) if secret.encode() in seen]
    [final] = setup.flows()
    assert (final.id, final.marked, final.metadata["chaperone"]["over"]) == (flow.id, "", True)
    for _ in range(500):
        if not files[0].exists():
            return
        time.sleep(0.01)
    raise AssertionError("it is still shown as running")


def test_a_withheld_reply_is_not_in_the_record(start: Start) -> None:
    setup = start()
    setup.worker.ask(get("/unmaskable"))
    event = setup.events(count=2)[-1]
    assert "code" not in event["responseStatus"]
    [flow] = setup.flows()
    assert flow.response is not None
    assert flow.response.raw_content is None


def test_no_reply(start: Start) -> None:
    setup = start()
    setup.worker.ask(get("/vanish"))
    event = setup.events(count=2)[-1]
    assert event["stage"] == "ResponseComplete"
    assert event["responseStatus"]["message"]
    [flow] = setup.flows()
    assert flow.error is not None


def test_too_large_for_anyone_to_read(start: Start) -> None:
    setup = start()
    setup.worker.ask(f"POST /x HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9999999\r\n\r\n".encode())
    [event] = setup.events("unidentified-test", 1)
    assert (event["stage"], event["responseStatus"]["code"]) == ("ResponseComplete", 413)
    assert setup.upstream.requests == []


def _cast(setup: Setup) -> list[Any]:
    setup.recordings.close()
    [file] = (setup.state / "sessions" / "s1").glob("exec-*.cast")
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def test_exec_has_a_cast(start: Start) -> None:
    setup = start()
    assert b"***** id" in _exec(setup)
    received, started, complete = setup.events(count=3)
    assert [event["stage"] for event in (received, started, complete)] == [
        "RequestReceived", "ResponseStarted", "ResponseComplete",
    ]  # fmt: skip
    assert complete["responseStatus"]["code"] == 101
    annotations = complete["annotations"]
    assert annotations["chaperone.dev/cast"] == f"exec-{complete['auditID']}.cast"
    assert annotations["chaperone.dev/exit-code"] == "0"
    assert annotations["chaperone.dev/argv"] == '["sh"]'
    header, *events = _cast(setup)
    assert header["version"] == 3
    assert {(code, text) for _, code, text in events} == {("i", "id\r\n"), ("o", "***** id\r\n\r\n"), ("x", "0")}
    [flow] = setup.flows()
    assert flow.websocket is not None
    assert sorted(message.content[:1] for message in flow.websocket.messages) == [b"\x00", b"\x01", b"\x03"]


def test_b83_a_cast_is_sealed_by_the_end_of_its_session(start: Start) -> None:
    setup = start()
    _exec(setup)
    setup.events(count=3)
    _cast(setup)
    assert verify_state(setup.state).findings == []
    [file] = (setup.state / "sessions" / "s1").glob("exec-*.cast")
    written = file.read_bytes()
    other = written.replace(b"***** id", b"***** ls")
    for now, what in ((other, "changed"), (written[:-1], "changed"), (None, "missing")):
        file.unlink()
        if now is not None:
            file.write_bytes(now)
        [finding] = verify_state(setup.state).findings
        assert (finding.what, finding.line) == (what, 3) and file.name in finding.text


@pytest.mark.parametrize(
    "path",
    [pytest.param("/exec?odd=/odd", id="unknown-protocol"), pytest.param("/exec?bad=/bad", id="b34-malformed-message")],
)
def test_what_cannot_be_read_ends_the_session(start: Start, path: str) -> None:
    setup = start()
    answer = _exec(setup, path)
    said = re.sub(rb"[0-9a-f]{8}-[0-9a-f-]{27}", b"REFERENCE", answer.partition(b"\r\n\r\n")[2])
    assert b"bad" not in said
    assert PLAIN.encode() not in answer
    assert b"*****" not in answer
    assert setup.events(count=3)[-1]["stage"] == "ResponseComplete"


def test_b41_a_cast_that_cannot_be_written_ends_the_session(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = start()
    monkeypatch.setattr(tape, "cast_name", lambda _: "audit.jsonl/x")
    begun = time.monotonic()
    assert b"***** id" not in _exec(setup, "/exec?command=sh")[-40:] or time.monotonic() - begun < 1
    assert setup.events(count=3)[-1]["stage"] == "ResponseComplete"


def test_an_upgrade_to_something_else_is_withheld(start: Start) -> None:
    setup = start()
    assert b" 101 " not in _exec(setup, "/exec?strange=/strange").split(b"\r\n")[0]


OPENED = [SynStream(1, (("streamtype", "error"),)), SynStream(3, (("streamtype", "stdin"),)),
          SynStream(5, (("streamtype", "stdout"),))]  # fmt: skip


def _spdy_exec(setup: Setup, *typed: Frame, path: str = "/exec?command=sh") -> tuple[bytes, list[Frame]]:
    """As `_exec`, over SPDY: the head of the answer and the frames that follow."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
        "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: v3.channel.k8s.io\r\n\r\n"
    )
    writer = FrameWriter()
    with setup.worker.tls() as tls:
        tls.sendall(head.encode())
        tls.sendall(b"".join(map(writer.write, [*OPENED, *typed])))
        answer, _, frames = everything(tls, 5).partition(b"\r\n\r\n")
    return answer, joined(FrameReader().feed(frames))


def test_exec_over_spdy_has_a_cast(start: Start) -> None:
    setup = start()
    head, frames = _spdy_exec(setup, Data(3, b"id\r"), Data(3, b"\n", fin=True))
    assert b" 101 " in head
    assert Data(5, b"***** id\r\n", fin=True) in frames
    assert frames[-1] == Data(1, b'{"status":"Success"}', fin=True)
    assert setup.events(count=3)[-1]["annotations"]["chaperone.dev/exit-code"] == "0"
    _, *events = _cast(setup)
    assert "".join(text for _, code, text in events if code == "i") == "id\r\n"
    assert {(code, text) for _, code, text in events if code != "i"} == {("o", "***** id\r\n"), ("x", "0")}
    [flow] = setup.flows()
    assert flow.websocket is not None
    assert sorted({message.content[:1] for message in flow.websocket.messages}) == [b"\x00", b"\x01", b"\x03"]


def test_b33_what_spdy_does_not_allow_ends_the_session(start: Start) -> None:
    """And says why: in the record, and on the stream for errors."""
    setup = start()
    _, frames = _spdy_exec(setup, Data(3, b"id\r\n"), SynStream(7, (("streamtype", "stdout"),)))
    said = json.loads(b"".join(frame.data for frame in frames if isinstance(frame, Data) and frame.stream == 1))
    assert "a second stream of type stdout" in said["message"]
    annotations = setup.events(count=3)[-1]["annotations"]
    assert annotations["chaperone.dev/ended-by"] == "protocol-violation"
    assert annotations["chaperone.dev/ended-because"] == "a second stream of type stdout"


def test_many_workers_at_once_keep_whole_lines(start: Start) -> None:
    setup = start()
    for _ in range(10):
        setup.worker.ask(get("/x"))
    events = setup.events(count=20)
    assert len({event["auditID"] for event in events}) == 10
    assert len(setup.flows()) == 10
