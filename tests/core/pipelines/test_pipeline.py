"""What a `Pipeline` document may say, and what each mistake is answered with."""

from __future__ import annotations

import pytest

from addons.core.documents import Document, parse_documents
from addons.core.pipelines.pipeline import File, Otlp, Pipeline, Stdout, Syslog, Webhook, compile_pipelines

OTHER = "apiVersion: chaperone/v1\nkind: Access\nmetadata: {name: x}\nspec: {}\n"
HOOK = "webhook: {url: 'https://siem.example/x', secretFile: s, caFile: ca.pem}"
OTLP = "otlp: {url: 'https://otel.example:4318/'}"


def documents(*specs: str, names: tuple[str, ...] = ("a", "b", "c", "d", "e")) -> list[Document]:
    text = "\n---\n".join(
        f"apiVersion: chaperone/v1\nkind: Pipeline\nmetadata: {{name: {name}}}\nspec: {{{spec}}}"
        for name, spec in zip(names, specs, strict=False)
    )
    found, problems = parse_documents(f"{OTHER}---\n{text}", "rules/pipelines/p.yaml")
    assert not problems
    return found


def compiled(*specs: str, names: tuple[str, ...] = ("a", "b", "c", "d", "e")) -> tuple[tuple[Pipeline, ...], list[str]]:
    pipelines, problems = compile_pipelines(documents(*specs, names=names), ["prod"])
    return pipelines, [f"{problem.line}: {problem.message}" for problem in problems]


def test_every_target() -> None:
    pipelines, problems = compiled(
        "stdout: {}",
        "file: {path: out.jsonl}, format: ecs, history: false",
        "syslog: {address: '[::1]:6514', transport: tls, caFile: ca.pem, certificateFile: /c, keyFile: k}",
        f"{HOOK}, send: alerts, select: {{connections: [prod, 'dev-*'], severities: [high]}}",
        "otlp: {url: 'https://otel.example:4318/', headerFiles: {Authorization: h}, callers: parent}, send: traces",
    )
    assert problems == []
    assert [each.target for each in pipelines] == [
        Stdout(),
        File(path="rules/pipelines/out.jsonl"),
        Syslog(
            host="::1", port=6514, transport="tls", facility=13, ca_file="rules/pipelines/ca.pem",
            certificate_file="/c", key_file="rules/pipelines/k",
        ),
        Webhook(url="https://siem.example/x", secret_file="rules/pipelines/s", ca_file="rules/pipelines/ca.pem"),
        Otlp(
            url="https://otel.example:4318", header_files={"Authorization": "rules/pipelines/h"}, trusted=True
        ),
    ]  # fmt: skip
    assert [each.send for each in pipelines] == ["events", "events", "events", "alerts", "traces"]
    assert [each.format for each in pipelines] == ["audit", "ecs", "audit", "audit", "audit"]
    assert [each.history for each in pipelines] == [True, False, True, True, True]


def test_the_files_that_a_pipeline_needs() -> None:
    pipelines, _ = compiled(
        "stdout: {}",
        HOOK,
        "otlp: {url: 'http://127.0.0.1:4318', headerFiles: {api-key: /h}}",
        "syslog: {address: 'siem:1', transport: tls, certificateFile: /c, keyFile: /k}",
    )
    assert [list(each.secrets) for each in pipelines] == [
        [],
        [("rules/pipelines/s", ("spec", "webhook", "secretFile"))],
        [("/h", ("spec", "otlp", "headerFiles", "api-key"))],
        [],
    ]
    assert [list(each.certificates) for each in pipelines] == [
        [],
        [("rules/pipelines/ca.pem", ("spec", "webhook", "caFile"))],
        [],
        [("/c", ("spec", "syslog", "certificateFile")), ("/k", ("spec", "syslog", "keyFile"))],
    ]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("send: events", "name one of stdout, file, syslog, webhook, otlp"),
        ("stdout: {}, file: {path: x}", "name one of stdout, file, syslog, webhook, otlp"),
        ("stdout: {colour: red}", "stdout.colour: Extra inputs are not permitted"),
        ("stdout: {}, format: csv", "format: Input should be 'audit', 'ocsf' or 'ecs'"),
        ("stdout: {}, send: traces", "traces are sent by otlp"),
        (f"{OTLP}, send: traces, format: ecs", "traces are sent by otlp, and have no format"),
        ("stdout: {}, select: {severities: [high]}", "severities are of alerts"),
        ("stdout: {}, select: {connections: [dev]}", "there is no connection dev"),
        ("syslog: {address: 'siem', transport: udp}", "syslog.address: String should match"),
        ("syslog: {address: 'siem:70000', transport: udp}", "a port is at most 65535"),
        ("syslog: {address: 'siem:514'}", "syslog.transport: Field required"),
        ("syslog: {address: 'siem:514', transport: tcp, caFile: x}", "go with transport: tls"),
        ("syslog: {address: 'siem:514', transport: tls, keyFile: x}", "certificateFile and keyFile belong together"),
        ("webhook: {url: 'http://siem.example/', secretFile: s}", "must be an https:// URL"),
        ("otlp: {url: 'https://o', headerFiles: {Host: h}}", "not a header to set: Host"),
        ("otlp: {url: 'https://o', headerFiles: {'a b': h}}", "not a header to set: a b"),
    ],
)
def test_mistakes(spec: str, problem: str) -> None:
    _, problems = compiled(spec)
    assert len(problems) == 1
    assert problems[0].startswith("9: ")
    assert problem in problems[0]


def test_names() -> None:
    assert compiled("stdout: {}", "stdout: {}", names=("a", "a"))[1] == ["13: two are named a"]
    assert "the name is that of files" in compiled("stdout: {}", names=("A_b",))[1][0]
