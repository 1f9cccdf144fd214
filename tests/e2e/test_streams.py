"""Sessions inside pods: approved, masked like everything else, and recorded so that they can be played back."""

from __future__ import annotations

import os
import pty
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.devenv import plain_http
from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, eventually
from tests.e2e.leaks import core, found
from tests.e2e.people import Person, chaperone, pending
from tests.e2e.records import ApiServer, approvals, gateway_events
from tests.e2e.sessions import recorded
from tests.support.kubernetes import Kubectl

TAR_RECORD = 10240
"""kwok never passes the end of standard input on, so tar in a pod only handles whole records."""


@pytest.fixture
def pod(admin: Kubectl, request: pytest.FixtureRequest) -> str:
    """A pod of this test alone."""
    return admin.run_pod(request.node.name.replace("_", "-")[5:50].rstrip("-["))


def test_an_exec_is_recorded_and_can_be_played(agent: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    with agent.stream("exec", pod, "--", "sh", "-c", "echo recorded-out; echo recorded-err >&2") as running:
        oncall.approves(gateway, pending(gateway, name=pod)["id"])
        assert running.finish()[0] == 0
    header, *events = recorded(gateway, "recorded-out")
    assert header["version"] == 3
    assert header["command"].startswith("sh -c echo recorded-out")
    assert all(len(event) == 3 and event[0] >= 0 for event in events)
    output = "".join(text for _, code, text in events if code == "o")
    assert "recorded-out\r\n" in output
    assert "recorded-err\r\n" in output
    assert events[-1][1:] == ["x", "0"]
    session = next(
        event["annotations"]["chaperone.dev/session"]
        for event in gateway_events(gateway)
        if event.get("objectRef", {}).get("name") == pod
    )
    played = chaperone(gateway, "sessions", "play", session, "--speed=0")
    assert "recorded-out" in played.stdout, played.stderr


def test_what_a_terminal_was_told_is_recorded_too(agent: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    """`exec -it` as a person types it; the shell's answer comes through the terminal."""
    here, there = pty.openpty()
    try:
        with agent.stream("exec", "-it", pod, "--", "sh", stdin=there) as running:
            oncall.approves(gateway, pending(gateway, name=pod)["id"])
            os.write(here, b"echo typed-$((40+2))\n")
            running.until("typed-42", 10)
    finally:
        os.close(here)
        os.close(there)
    header, *events = recorded(gateway, "typed-42")
    assert "tty" in header["tags"]
    assert "echo typed-" in "".join(text for _, code, text in events if code == "i")


def test_output_is_masked_for_the_agent_and_in_the_recording(
    agent: Agent, gateway: GatewayEnv, oncall: Person, pod: str, cluster: Cluster, plant: Callable[[], str]
) -> None:
    value = plant()
    (Path(cluster.state_dir) / "pod-files" / f"{pod}.env").write_text(f"MODE=fast\nDB_PASSWORD={value}\n")
    with agent.stream("exec", pod, "--", "cat", f"{pod}.env") as running:
        oncall.approves(gateway, pending(gateway, name=pod)["id"])
        code, printed = running.finish()
    assert code == 0
    assert "MODE=fast\n" in printed
    assert "DB_PASSWORD=masked:v1:" in printed
    assert not found([core(value)], printed.encode())
    recording = recorded(gateway, "MODE=fast")
    assert "DB_PASSWORD=masked:v1:" in str(recording)
    assert not found([core(value)], str(recording).encode())


def test_logs_are_masked_as_they_come(agent: Agent, admin: Kubectl, cluster: Cluster, plant: Callable[[], str]) -> None:
    name, value = admin.run_pod("logs-are-masked"), plant()
    with agent.stream("logs", "-f", name) as logs:
        with Path(cluster.pod_log).open("a") as log:
            log.write(f"2026-01-01T00:00:02Z stdout F login with password={value} failed\n")
        line = logs.until("login with password=")
    assert "masked:v1:" in line
    assert not found([core(value)], line.encode())


def approve_all(gateway: GatewayEnv, person: Person, pod: str, until: Callable[[], object]) -> None:
    """kubectl cp looks at the destination first: a command of its own, and a question of its own."""

    def answer() -> object:
        for row in approvals(gateway, name=pod, state="pending"):
            person.approves(gateway, row["id"])
        return until()

    eventually("the copy", answer, 30)


def test_a_file_is_copied_out_of_a_pod(
    agent: Agent, gateway: GatewayEnv, oncall: Person, pod: str, cluster: Cluster, tmp_path: Path
) -> None:
    content = os.urandom(300_000)
    (Path(cluster.state_dir) / "pod-files" / f"{pod}.bin").write_bytes(content)
    with agent.stream("cp", f"{pod}:{pod}.bin", str(tmp_path / "copy.bin")) as running:
        approve_all(gateway, oncall, pod, lambda: running.process.poll() is not None)
        assert running.finish()[0] == 0
    assert (tmp_path / "copy.bin").read_bytes() == content


def test_a_file_is_copied_into_a_pod(
    agent: Agent, gateway: GatewayEnv, oncall: Person, pod: str, tmp_path: Path
) -> None:
    content = os.urandom(3 * TAR_RECORD - 3 * 512)  # with tar's header and end, three records
    (tmp_path / "source.bin").write_bytes(content)
    target = tmp_path / "in-the-pod.bin"
    with agent.stream("cp", str(tmp_path / "source.bin"), f"{pod}:{target}"):
        approve_all(gateway, oncall, pod, lambda: target.exists() and target.stat().st_size == len(content))
    assert target.read_bytes() == content


def test_cp_without_an_approval_copies_nothing(hasty: Agent, pod: str, tmp_path: Path) -> None:
    (tmp_path / "source.txt").write_text("no")
    for arguments in [
        [f"{pod}:index.html", str(tmp_path / "out")],
        [str(tmp_path / "source.txt"), f"{pod}:{tmp_path}/in"],
    ]:
        assert "chaperone approvals approve" in hasty.refused("cp", *arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.txt"]


def test_port_forward_waits_for_an_approval_and_then_works(
    hasty: Agent, impatient: GatewayEnv, oncall: Person, pod: str, api_server: ApiServer
) -> None:
    mark = api_server.mark()
    command = ["port-forward", f"pod/{pod}", ":80", "--address=127.0.0.1"]
    said = hasty.refused(*command)
    assert "rule: port-forward-needs-approval" in said
    assert "chaperone approvals approve" in said
    assert api_server.about(mark, f"/pods/{pod}/portforward") == []
    oncall.approves(impatient, pending(impatient, name=pod)["id"])
    with hasty.stream(*command) as running:
        port = int(running.until("Forwarding from").split(":")[1].split(" ")[0])
        assert plain_http.get(f"http://127.0.0.1:{port}/", timeout=5).text == "hello from the pod\n"


def test_attach_waits_for_an_approval(hasty: Agent, pod: str, api_server: ApiServer) -> None:
    mark = api_server.mark()
    assert "rule: attach-needs-approval" in hasty.refused("attach", pod)
    assert api_server.about(mark, f"/pods/{pod}/attach") == []


def test_an_exec_over_spdy_is_recorded_like_any_other(
    agent: Agent, gateway: GatewayEnv, oncall: Person, pod: str
) -> None:
    old = agent.setting(KUBECTL_REMOTE_COMMAND_WEBSOCKETS="false")
    with old.stream("exec", pod, "--", "sh", "-c", "echo spdy-out; echo spdy-err >&2") as running:
        oncall.approves(gateway, pending(gateway, name=pod)["id"])
        assert running.finish()[0] == 0
    _, *events = recorded(gateway, "spdy-out")
    output = "".join(text for _, code, text in events if code == "o")
    assert "spdy-out\r\n" in output
    assert "spdy-err\r\n" in output
    assert events[-1][1:] == ["x", "0"]


def test_an_exec_ends_when_its_caller_leaves(agent: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    with agent.stream("exec", pod, "--", "sh", "-c", "echo begun; sleep 60") as running:
        oncall.approves(gateway, pending(gateway, name=pod)["id"])
        running.until("begun")

    def ended() -> list[dict[str, Any]]:
        return [
            event
            for event in gateway_events(gateway)
            if event.get("objectRef", {}).get("name") == pod
            and event["stage"] == "ResponseComplete"
            and "chaperone.dev/cast" in event["annotations"]
        ]

    assert eventually("the end of the record", ended)
    recorded(gateway, pod)
