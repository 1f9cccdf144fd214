"""What the files of all gateways hold after everything the other end-to-end tests did: readable, private, no secrets.

Runs last (see conftest.py).
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from mitmproxy import http
from mitmproxy.io import FlowReader

from addons.cli.ruleset import NO_SECRET_KEY
from addons.core.guardrails import GuardrailSet
from addons.core.guardrails.replay import replay
from addons.edge.archive import decisions
from addons.edge.rulefiles import read_files, version_of
from addons.policy import load_judgement
from scripts.devenv import forkserver
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.places import REPOSITORY
from tests.e2e.agent import Transcript
from tests.e2e.leaks import EKS_TOKEN, core, found, search
from tests.e2e.records import answered_by_the_cluster, by_id, gateway_events


def flow_files(written: list[GatewayEnv]) -> list[Path]:
    return [file for gateway in written for file in sorted(gateway.state_dir.glob("sessions/*/flows-*.mitm"))]


def read_flows(path: Path) -> Iterator[http.HTTPFlow]:
    with path.open("rb") as file:
        for flow in FlowReader(file).stream():
            assert isinstance(flow, http.HTTPFlow)
            yield flow


@pytest.fixture(scope="module")
def flows(written: list[GatewayEnv]) -> list[tuple[Path, http.HTTPFlow]]:
    """Every flow, with the file that it is in."""
    return [(path, flow) for path in flow_files(written) for flow in read_flows(path)]


def test_stock_mitmdump_reads_the_flow_files(
    written: list[GatewayEnv], flows: list[tuple[Path, http.HTTPFlow]], tmp_path: Path
) -> None:
    together = tmp_path / "all.mitm"
    together.write_bytes(b"".join(file.read_bytes() for file in flow_files(written)))
    script = tmp_path / "count.py"
    script.write_text(
        "from mitmproxy import ctx\n"
        "class Count:\n"
        "    seen = 0\n"
        "    def request(self, flow): self.seen += 1\n"
        "    def done(self): print('flows:', self.seen)\n"
        "addons = [Count()]\n"
    )
    done = forkserver.run(
        [sys.executable, "-m", "scripts.devenv.mitmdump", "-n", "-q", "-r", together, "-s", script],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr
    assert f"flows: {len(flows)}\n" in done.stdout, done.stdout + done.stderr
    assert "corrupt" not in done.stdout + done.stderr


def test_flows_tell_what_was_said_and_by_whom(
    recordable: list[GatewayEnv], flows: list[tuple[Path, http.HTTPFlow]]
) -> None:
    files = set(flow_files(recordable))
    found = [flow for path, flow in flows if path in files]
    recorded = {flow.metadata["chaperone"]["audit_id"] for flow in found}
    requests = by_id([event for gateway in recordable for event in gateway_events(gateway)])
    assert {key for key, events in requests.items() if answered_by_the_cluster(events)} - recorded == set()
    kinds = {flow.request.headers.get("content-type", "") for flow in found}
    assert "application/vnd.kubernetes.protobuf" in kinds, "kubectl's protobuf bodies were tested"


def test_recordings_of_terminals_can_be_read(recordable: list[GatewayEnv]) -> None:
    files = [file for gateway in recordable for file in gateway.state_dir.glob("sessions/*/*.cast")]
    assert files
    for file in files:
        header, *events = [json.loads(line) for line in file.read_text().split("\n") if line]
        assert (header["version"], set(header["term"])) == (3, {"cols", "rows"})
        for interval, code, text in events:
            assert isinstance(interval, int | float)
            assert interval >= 0
            assert code in ("o", "i", "r", "m", "x")
            assert isinstance(text, str)
        assert events[-1][1] in ("x", "m"), "how it ended"


def guardrails_of(folders: list[str], known: dict[str, GuardrailSet]) -> GuardrailSet:
    """Those of the folders; compiled once for all gateways that have the same, whatever else they have."""
    files, problems = read_files(folders)
    assert problems == []
    version = version_of([file for file in files if not file.name.startswith(("connections/", "identity/", "access/"))])
    if version not in known:
        known[version], _ = load_judgement(folders, NO_SECRET_KEY)
    return known[version]


def test_every_judged_request_replays_to_its_decision(recordable: list[GatewayEnv]) -> None:
    """Under the rules it was judged by, from its masked record alone; where a masked value counts, it says so."""
    total, known = 0, dict[str, GuardrailSet]()
    for gateway in recordable:
        guardrails = guardrails_of(yaml.safe_load(gateway.conf.read_text())["rules"], known)
        records = {record.id: record for folder in gateway.state_dir.glob("sessions/*") for record in decisions(folder)}
        events = gateway_events(gateway)
        judged = {event["auditID"] for event in events if "chaperone.dev/risk" in event["annotations"]}
        assert records.keys() == judged
        for record in records.values():
            if record.judged.rules == guardrails.digest:  # others were judged before their rules were changed
                again = replay(record, guardrails)
                assert set(again.missing) <= set(record.left_out), "only what is too large to be kept is unknown"
                assert again.missing or again.masked or not again.changed, record
                total += 1
    assert total > 5


def test_evidence_is_for_its_owner_alone(written: list[GatewayEnv]) -> None:
    for gateway in written:
        files = [path for path in gateway.state_dir.rglob("*") if path.is_file()]
        for path in [*files, *gateway.state_dir.glob("sessions/*")]:
            assert path.stat().st_mode & 0o077 == 0, path


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda text: text,
    "JSON": lambda text: json.dumps(text.decode()).encode(),
    "URL": lambda text: quote(text).encode(),
    "base64": base64.b64encode,
    "base64 after one byte": lambda text: base64.b64encode(b"-" + text + b"-"),
    "base64 after two bytes": lambda text: base64.b64encode(b"--" + text + b"--"),
    "base64 for URLs": base64.urlsafe_b64encode,
    "hexadecimal": lambda text: text.hex().encode(),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_search_for_secrets_finds_them(name: str, plant: Callable[[], str]) -> None:
    value = plant()
    secrets = [core(value), EKS_TOKEN]
    assert found(secrets, b"{" + ENCODINGS[name](value.encode()) + b"}") == [core(value)]
    assert found(secrets, b"{" + ENCODINGS[name](EKS_TOKEN + b"aHR0cHM6Ly9zdHM")) == [EKS_TOKEN]
    assert search(*secrets)(b"\xff{" + ENCODINGS[name](value.encode()) + b"}")
    assert not search(*secrets)(b"\xff{}")


Leaks = dict[str, list[str]]


@pytest.fixture(scope="module")
def leaks(
    written: list[GatewayEnv],
    flows: list[tuple[Path, http.HTTPFlow]],
    transcript: Transcript,
    planted: list[str],
) -> Leaks:
    """By what was found, where in all that any gateway wrote; all of it is read once."""
    signatures = [token.rpartition(".")[2].encode() for token in transcript.tokens if token.count(".") == 2]
    assert planted
    assert len(signatures) >= 1
    searches = {
        "a planted secret": search(*map(core, planted)),
        "a token of an agent": search(*filter(None, signatures)),
        "a token of a role": search(EKS_TOKEN, b"X-Amz-Signature", any_case=True),
    }
    found: Leaks = {name: [] for name in searches}
    for where, content in evidence(written, flows):
        for name, leaked in searches.items():
            if leaked(content):
                found[name].append(where)
    return found


def evidence(written: list[GatewayEnv], flows: list[tuple[Path, http.HTTPFlow]]) -> Iterator[tuple[str, bytes]]:
    """All that any gateway wrote, its own log included; flow records also decoded, as a viewer shows them."""
    for gateway in written:
        for path in [gateway.log, *gateway.state_dir.rglob("*")]:
            if path.is_file():
                yield str(path), path.read_bytes()
    for _, flow in flows:
        messages = flow.websocket.messages if flow.websocket else []
        parts: list[Any] = [flow.request.get_content(strict=False), *(message.content for message in messages)]
        if flow.response is not None:
            parts.append(flow.response.get_content(strict=False))
        yield flow.request.path, b"\0".join(part for part in parts if part)


def test_b83_no_planted_secret_is_in_any_file(leaks: Leaks) -> None:
    assert leaks["a planted secret"] == []


def test_b83_no_token_of_an_agent_is_in_any_file(leaks: Leaks) -> None:
    assert leaks["a token of an agent"] == []


def test_no_token_of_a_role_is_in_any_file(leaks: Leaks) -> None:
    assert leaks["a token of a role"] == []


def test_no_agent_was_shown_a_secret(transcript: Transcript, planted: list[str]) -> None:
    shown = search(*map(core, planted), EKS_TOKEN)
    assert [text for text in transcript.printed if shown(text.encode())] == []
