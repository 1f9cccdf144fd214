"""What was written down about everything the other end-to-end tests did: complete, in order, readable, without secrets.

Runs last (see conftest.py), with something of its own to look at, so that it also runs alone. Its oracle is the API
server's audit log: whatever a role session did there, a gateway has an event of the same id.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mitmproxy import http
from mitmproxy.io import FlowReader

from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.processes import start_time
from tests.e2e.agent import Agent, Transcript, eventually
from tests.e2e.conftest import Gateways
from tests.e2e.leaks import EKS_TOKEN, core, forms, found
from tests.e2e.people import Person, pending
from tests.e2e.records import GATEWAY_AGENT, ApiServer, Event, audit_files, gateway_events, read_events
from tests.support.kubernetes import Kubectl

STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
# k8s.io/apiserver/pkg/apis/audit/v1/types.go
REQUIRED = {"kind": str, "apiVersion": str, "level": str, "auditID": str, "stage": str, "requestURI": str, "verb": str}
FIELDS = {*REQUIRED, "user", "sourceIPs", "userAgent", "objectRef", "responseStatus", "annotations"} | {
    "requestReceivedTimestamp",
    "stageTimestamp",
}
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture(scope="module", autouse=True)
def written(
    gateways: Gateways,
    gateway: GatewayEnv,
    agent: Agent,
    admin: Kubectl,
    oncall: Person,
    plant: Callable[[], str],
) -> list[GatewayEnv]:
    """All gateways, once they have written what there was to write: they have been stopped."""
    pod = admin.run_pod("evidence")
    agent("get", "pods")
    agent("create", "secret", "generic", "evidence", f"--from-literal=password={plant()}")
    agent("get", "secret", "evidence", "-o", "yaml")
    agent.refused("create", "clusterrolebinding", "evidence", "--clusterrole=cluster-admin", "--user=bob")
    agent.refused("get", "pods", "--token=nonsense")
    with agent.stream("exec", pod, "--", "echo", "evidence") as running:
        oncall.approves(gateway, pending(gateway, name=pod)["id"])
        assert running.finish()[0] == 0
    for each in gateways.started:
        if start_time(each.child.pid) == each.child.started:
            os.kill(each.child.pid, signal.SIGTERM)
    for each in gateways.started:
        eventually("the end of a gateway", lambda each=each: start_time(each.child.pid) != each.child.started, 10)
    return gateways.started


def by_id(events: list[Event]) -> dict[str, list[Event]]:
    """The events of each request, in order."""
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[event["auditID"]].append(event)
    return found


def refused(events: list[Event]) -> bool:
    """True if the gateway itself answered."""
    return events[-1]["annotations"].get("chaperone.dev/decision") in ("refuse", "deny")


def answered_by_the_cluster(events: list[Event]) -> bool:
    return "code" in events[-1].get("responseStatus", {}) and not refused(events)


@pytest.fixture(scope="module")
def requests(written: list[GatewayEnv]) -> dict[str, list[Event]]:
    """Every request to any gateway."""
    return by_id([event for gateway in written for event in gateway_events(gateway)])


@pytest.fixture(scope="module")
def recordable(written: list[GatewayEnv]) -> list[GatewayEnv]:
    """The gateways that could write whenever they wanted to."""
    return [gateway for gateway in written if gateway.folder.name != "full-disk"]


@pytest.fixture(scope="module")
def upstream(api_server: ApiServer) -> dict[str, list[Event]]:
    """Every request of a role session to the API server."""
    return by_id(api_server.since())


def test_every_line_is_an_audit_event(written: list[GatewayEnv]) -> None:
    count = 0
    for gateway in written:
        for file in audit_files(gateway):
            assert file.read_bytes().endswith(b"\n")
            for event in read_events(file):
                count += 1
                assert {name for name, kind in REQUIRED.items() if not isinstance(event.get(name), kind)} == set()
                assert set(event) <= FIELDS
                assert (event["kind"], event["apiVersion"]) == ("Event", "audit.k8s.io/v1")
                assert event["stage"] in STAGES
                assert event["user"]["username"]
                assert all(isinstance(value, str) for value in event["annotations"].values())
                for name in ("requestReceivedTimestamp", "stageTimestamp"):
                    assert MICRO_TIME.fullmatch(event[name])
                assert event["requestReceivedTimestamp"] <= event["stageTimestamp"]
    assert count


def test_the_stages_of_each_request_are_in_order(requests: dict[str, list[Event]]) -> None:
    for events in requests.values():
        stages = [event["stage"] for event in events]
        assert stages == sorted(set(stages), key=STAGES.index), events
        if answered_by_the_cluster(events):
            assert stages[0] == "RequestReceived", events


def test_the_end_of_each_request_is_told(recordable: list[GatewayEnv]) -> None:
    for gateway in recordable:
        for events in by_id(gateway_events(gateway)).values():
            assert events[-1]["stage"] in ("ResponseComplete", "Panic"), (gateway.folder.name, events)


def test_refused_requests_are_there_with_their_reason(requests: dict[str, list[Event]]) -> None:
    reasons = {events[-1]["annotations"]["chaperone.dev/rule"] for events in requests.values() if refused(events)}
    assert {"authentication", "no-cluster-admin-bindings"} <= reasons


def test_what_was_refused_never_arrived(requests: dict[str, list[Event]], upstream: dict[str, list[Event]]) -> None:
    assert {key for key, events in requests.items() if refused(events)} & set(upstream) == set()


def test_what_was_forwarded_is_in_the_audit_log_of_the_cluster(
    requests: dict[str, list[Event]], upstream: dict[str, list[Event]]
) -> None:
    joined = {key for key, events in requests.items() if answered_by_the_cluster(events)}
    assert joined
    assert joined - set(upstream) == set()
    for key in joined:
        ours, theirs = requests[key][-1], upstream[key][-1]
        assert (ours["requestURI"], ours["verb"]) == (theirs["requestURI"], theirs["verb"])
        assert ours["responseStatus"]["code"] == theirs["responseStatus"]["code"]
        role = ours["annotations"]["chaperone.dev/role"].rpartition("/")[2]
        assert f":assumed-role/{role}/" in theirs["user"]["username"]


def test_it_was_on_record_before_the_cluster_saw_it(
    requests: dict[str, list[Event]], upstream: dict[str, list[Event]]
) -> None:
    for key in set(requests) & set(upstream):
        assert requests[key][0]["stage"] == "RequestReceived"
        assert requests[key][0]["stageTimestamp"] <= upstream[key][0]["requestReceivedTimestamp"]


def test_whatever_a_role_session_did_was_asked_for_by_an_agent_or_changed_nothing(
    requests: dict[str, list[Event]], upstream: dict[str, list[Event]]
) -> None:
    """The gateway asks questions of its own: dry runs, and reads that say who they are."""
    own = [events[-1] for key, events in upstream.items() if key not in requests]
    assert own
    for event in own:
        dry_run = "dryRun=All" in event["requestURI"]
        reads = event["verb"] == "get" and event["userAgent"] == GATEWAY_AGENT
        assert dry_run or reads, event


def test_users_and_decisions_are_in_the_events(requests: dict[str, list[Event]], gateway: GatewayEnv) -> None:
    for events in requests.values():
        notes = events[-1]["annotations"]
        if answered_by_the_cluster(events):
            assert events[-1]["user"]["username"].startswith(("http://", "https://"))
            assert notes["chaperone.dev/decision"] in ("allow", "warn", "require_approval")
            assert notes["chaperone.dev/grant"]


def flow_files(written: list[GatewayEnv]) -> list[Path]:
    return [file for gateway in written for file in sorted(gateway.state_dir.glob("sessions/*/flows-*.mitm"))]


def flows(written: list[GatewayEnv]) -> Iterator[http.HTTPFlow]:
    for path in flow_files(written):
        with path.open("rb") as file:
            for flow in FlowReader(file).stream():
                assert isinstance(flow, http.HTTPFlow)
                yield flow


def test_stock_mitmdump_reads_the_flow_files(written: list[GatewayEnv], tmp_path: Path) -> None:
    together = tmp_path / "all.mitm"
    together.write_bytes(b"".join(file.read_bytes() for file in flow_files(written)))
    count = sum(1 for _ in flows(written))
    script = tmp_path / "count.py"
    script.write_text(
        "from mitmproxy import ctx\n"
        "class Count:\n"
        "    seen = 0\n"
        "    def request(self, flow): self.seen += 1\n"
        "    def done(self): print('flows:', self.seen)\n"
        "addons = [Count()]\n"
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("mitmdump"), "-n", "-q", "-r", together, "-s", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert f"flows: {count}\n" in done.stdout, done.stdout + done.stderr
    assert "corrupt" not in done.stdout + done.stderr


def test_flows_tell_what_was_said_and_by_whom(recordable: list[GatewayEnv]) -> None:
    recorded = {flow.metadata["chaperone"]["audit_id"] for flow in flows(recordable)}
    requests = by_id([event for gateway in recordable for event in gateway_events(gateway)])
    assert {key for key, events in requests.items() if answered_by_the_cluster(events)} - recorded == set()
    kinds = {flow.request.headers.get("content-type", "") for flow in flows(recordable)}
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


def evidence(written: list[GatewayEnv]) -> Iterator[tuple[str, bytes]]:
    """All that any gateway wrote, its own log included; flow records also decoded, as a viewer shows them."""
    for gateway in written:
        for path in [gateway.log, *gateway.state_dir.rglob("*")]:
            if path.is_file():
                yield str(path), path.read_bytes()
    for flow in flows(written):
        messages = flow.websocket.messages if flow.websocket else []
        parts: list[Any] = [flow.request.get_content(strict=False), *(message.content for message in messages)]
        if flow.response is not None:
            parts.append(flow.response.get_content(strict=False))
        yield flow.request.path, b"\0".join(part for part in parts if part)


def test_no_planted_secret_is_in_any_file(written: list[GatewayEnv], planted: list[str]) -> None:
    secrets = [core(value) for value in planted]
    assert secrets
    assert [where for where, content in evidence(written) if found(secrets, content)] == []


def test_no_token_of_an_agent_is_in_any_file(written: list[GatewayEnv], transcript: Transcript) -> None:
    signatures = [token.rpartition(".")[2].encode() for token in transcript.tokens if token.count(".") == 2]
    assert len(signatures) >= 1
    secrets = [signature for signature in signatures if signature]
    assert [where for where, content in evidence(written) if found(secrets, content)] == []


def test_no_token_of_a_role_is_in_any_file(written: list[GatewayEnv]) -> None:
    token = re.compile(b"|".join(re.escape(form) for form in forms(EKS_TOKEN)) + rb"|X-Amz-Signature", re.IGNORECASE)
    assert [where for where, content in evidence(written) if token.search(content)] == []


def test_no_agent_was_shown_a_secret(transcript: Transcript, planted: list[str]) -> None:
    secrets = [*map(core, planted), EKS_TOKEN]
    assert [text for text in transcript.printed if found(secrets, text.encode())] == []
