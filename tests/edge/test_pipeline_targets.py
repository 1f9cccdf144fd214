"""Every target, over real files, pipes and sockets. The collector is a stand-in: an HTTP server that reads OTLP."""

from __future__ import annotations

import hmac
import json
import os
import re
import ssl
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from addons.core.pipelines.pipeline import Pipeline
from addons.edge import pipeline_targets as module
from addons.edge.pipeline_targets import Parcel, PartlyTaken, check_files, receiver
from addons.edge.post import NotSent
from scripts.devenv.certificates import Authority
from tests.core.pipelines.events import alert_of, call, denied, facts, made
from tests.core.pipelines.otlp_reading import plain, with_base64_ids
from tests.edge.pipelines import SECRET, pipeline
from tests.support.receiver import receiver as http_receiver
from tests.support.syslog_receiver import datagrams, stream

PARCELS = [Parcel(known=facts(made(call()))), Parcel(known=facts(denied()), alert=alert_of(denied()))]


async def send(to: Pipeline, parcels: list[Parcel] = PARCELS) -> None:
    sender = receiver(to)
    try:
        await sender.send(parcels)
    finally:
        await sender.close()


async def test_a_file(tmp_path: Path) -> None:
    to = pipeline(tmp_path, "file: {path: out/x.jsonl}")
    with pytest.raises(NotSent, match="No such file or directory"):
        await send(to)
    (tmp_path / "out").mkdir()
    await send(to)
    (tmp_path / "out" / "x.jsonl").rename(tmp_path / "out" / "x.1")
    await send(to, PARCELS[:1])
    first, second = ((tmp_path / "out" / name).read_text().splitlines() for name in ("x.1", "x.jsonl"))
    assert [json.loads(line)["kind" if not number else "schema"] for number, line in enumerate(first)] == [
        "Event",
        "chaperone.dev/alert/v1",
    ]
    assert len(second) == 1
    assert (tmp_path / "out" / "x.jsonl").stat().st_mode & 0o077 == 0


async def test_a_torn_last_line_is_ended(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"torn')
    await send(pipeline(tmp_path, "file: {path: x.jsonl}, format: ecs"), PARCELS[:1])
    torn, line = (tmp_path / "x.jsonl").read_text().splitlines()
    assert (torn, json.loads(line)["event"]["kind"]) == ('{"torn', "event")


async def test_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as out, os.fdopen(reading, "rb") as reader:
        monkeypatch.setattr(sys, "stdout", out)
        await send(pipeline(tmp_path, "stdout: {}, format: ocsf"))
        assert [json.loads(reader.readline())["class_uid"] for _ in PARCELS] == [6003, 2004]


async def test_a_reader_who_stops_holds_up_nothing_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEND_SECONDS", 0.2)
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as out, os.fdopen(reading, "rb") as reader:
        monkeypatch.setattr(sys, "stdout", out)
        sender = receiver(pipeline(tmp_path, "stdout: {}"))
        with pytest.raises(NotSent, match="nobody read standard output"):
            await sender.send(PARCELS * 200)
        os.set_blocking(reading, False)
        while reader.read(65536):
            pass
        await sender.send(PARCELS[:1])
        torn, line = reader.read().split(b"\n")[:2]
        assert (torn, json.loads(line)["kind"]) == (b"", "Event")


async def test_syslog_over_udp(tmp_path: Path) -> None:
    with datagrams() as siem:
        to = pipeline(tmp_path, f"syslog: {{address: '127.0.0.1:{siem.port}', transport: udp, facility: 4}}")
        long = made(call(user_agent="x" * 16000, intent="y" * 60_000))
        await send(to, [*PARCELS, Parcel(known=facts(long))])
        first, second, third = siem.until(3)
    assert first.startswith(b"<38>1 2025-11-23T20:16:41.750000Z ")
    assert b" chaperone - ResponseComplete [origin" in first
    assert second.startswith(b"<33>1 ")
    assert b" chaperone - alert [origin" in second
    assert json.loads(third.partition(b"] {")[2].join([b"{", b""]))["userAgent"].endswith("… 14976 more characters")


async def test_syslog_over_tcp_connects_again(tmp_path: Path) -> None:
    with stream() as siem:
        to = pipeline(tmp_path, f"syslog: {{address: '127.0.0.1:{siem.port}', transport: tcp}}")
        sender = receiver(to)
        await sender.send(PARCELS)
        first = siem.until(2)
        siem.close_all()
        await sender.send(PARCELS[:1])
        again = siem.until(3)[2]
        await sender.close()
    assert [message.partition(b" ")[0] for message in first] == [b"<110>1", b"<105>1"]
    assert b'sequenceId="3"' in again
    with pytest.raises(NotSent, match=r"could not be reached: .*refused"):
        await send(to)


async def test_syslog_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue("siem", "siem", hosts=["127.0.0.1"]), authority.issue("us", "us")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.pair.certificate))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(server.certificate, server.key)
    ours = f"certificateFile: '{client.certificate}', keyFile: '{client.key}'"
    with stream(context) as siem:
        at = f"address: '127.0.0.1:{siem.port}', transport: tls"
        to = pipeline(tmp_path, f"syslog: {{{at}, caFile: ca.crt, {ours}}}")
        assert check_files([to]) == []
        await send(to, PARCELS * 100)
        assert len(siem.until(200)) == 200
        with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
            await send(pipeline(tmp_path, f"syslog: {{{at}, {ours}}}"))
        with pytest.raises(NotSent):  # it shows no certificate
            await send(pipeline(tmp_path, f"syslog: {{{at}, caFile: ca.crt}}"))
        assert len(siem.messages) == 200


async def test_a_webhook(tmp_path: Path) -> None:
    with http_receiver() as siem:
        await send(pipeline(tmp_path, f"webhook: {{url: '{siem.url}', secretFile: secret}}, format: ecs", "siem"))
        (sent,) = siem.sent
    headers = {name.lower(): value for name, value in sent.headers.items()}
    signed = headers["x-chaperone-timestamp"].encode() + b"." + sent.body
    assert headers["x-chaperone-signature"] == f"v1={hmac.new(SECRET.encode(), signed, sha256).hexdigest()}"
    assert {key: sent.document[key] for key in ("schema", "pipeline")} == {
        "schema": "chaperone.dev/events/v1",
        "pipeline": "siem",
    }
    assert [event["event"]["kind"] for event in sent.document["events"]] == ["event", "alert"]


async def test_a_webhook_that_refuses(tmp_path: Path) -> None:
    with http_receiver(lambda _: (413, {"Retry-After": "7"}, b"")) as siem:
        with pytest.raises(NotSent, match="answered with status 413") as refused:
            await send(pipeline(tmp_path, f"webhook: {{url: '{siem.url}', secretFile: secret}}"))
        assert (refused.value.status, refused.value.wait) == (413, 7.0)


async def test_without_its_secret_nothing_is_sent(tmp_path: Path) -> None:
    with http_receiver() as siem:
        to = pipeline(tmp_path, f"webhook: {{url: '{siem.url}', secretFile: secret}}")
        (tmp_path / "secret").unlink()
        with pytest.raises(NotSent, match="secret cannot be read"):
            await send(to)
        assert siem.sent == []


async def test_a_collector(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("Bearer abc\n")
    with http_receiver(lambda _: (200, {}, b"{}")) as collector:
        spec = f"otlp: {{url: '{collector.url.rstrip('/')}', headerFiles: {{Authorization: key}}}}, format: ocsf"
        await send(pipeline(tmp_path, spec))
        (sent,) = collector.sent
    assert sent.path.endswith("/v1/logs")
    headers = {name.lower(): value for name, value in sent.headers.items()}
    assert headers["authorization"] == "Bearer abc"
    request = Parse(json.dumps(with_base64_ids(sent.document)), ExportLogsServiceRequest())
    records = request.resource_logs[0].scope_logs[0].log_records
    assert [plain(record.body)["class_uid"] for record in records] == [6003, 2004]


async def test_a_collector_that_takes_a_part(tmp_path: Path) -> None:
    answer = b'{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"too old"}}'
    with http_receiver(lambda _: (200, {}, answer)) as collector:
        with pytest.raises(PartlyTaken, match="too old") as partly:
            await send(pipeline(tmp_path, f"otlp: {{url: '{collector.url}'}}"))
        assert partly.value.count == 1


@pytest.mark.parametrize("answer", [b"", b"\x0a\x00", b"null"])
async def test_other_answers_of_a_collector(tmp_path: Path, answer: bytes) -> None:
    with http_receiver(lambda _: (200, {}, answer)) as collector:
        await send(pipeline(tmp_path, f"otlp: {{url: '{collector.url}'}}"))


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("webhook: {url: 'https://x', secretFile: nowhere}", "webhook.secretFile: .*nowhere cannot be read"),
        ("webhook: {url: 'https://x', secretFile: short}", "must hold a secret of 16 characters or more"),
        ("webhook: {url: 'https://x', secretFile: secret, caFile: nowhere}", "caFile: .* cannot be used"),
        ("webhook: {url: 'https://x', secretFile: secret, caFile: short}", "caFile: .* cannot be used"),
        ("otlp: {url: 'https://x', headerFiles: {K: nowhere}}", "otlp.headerFiles.K: .*nowhere cannot be read"),
        ("otlp: {url: 'https://x', headerFiles: {K: lines}}", "one line in ASCII"),
        ("syslog: {address: 'x:1', transport: tls, certificateFile: a, keyFile: b}", "cannot be used"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, spec: str, problem: str) -> None:
    (tmp_path / "short").write_text("x")
    (tmp_path / "lines").write_text("a\nb")
    found = check_files([pipeline(tmp_path, spec)])
    assert found
    assert found[0].line == 4
    assert re.search(problem, found[0].message)
