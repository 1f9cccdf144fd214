"""exec, attach, cp and port-forward over every protocol that clients speak, with real exit codes and ends of input.

The node is `scripts/devenv/kubelet`, on Kubernetes' own streaming library: what our SPDY means, the real one decides.
"""

from __future__ import annotations

import hashlib
import os
import pty
import secrets
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from scripts.devenv import plain_http
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.streaming_kubelet import StreamingKubelet
from tests.e2e.agent import Agent, eventually
from tests.e2e.leaks import core, found
from tests.e2e.people import Person, pending
from tests.e2e.records import approvals
from tests.e2e.sessions import CLIENTS, agreeing, endings, recorded, run, speaking, web_server
from tests.support.kubernetes import Kubectl

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def pod(admin: Kubectl, kubelet: StreamingKubelet) -> str:
    """A pod on the node that runs commands."""
    return admin.run_pod(f"live-{secrets.token_hex(3)}", nodeName=kubelet.node)


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, agent: Agent, old_kubectl: Path) -> Agent:
    """The agent, with each client."""
    return speaking(agent, request.param, old_kubectl)


def test_b32_output_errors_and_exit_code(client: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    word = secrets.token_hex(6)
    with agreeing(gateway, oncall, pod):
        ran = run(client, "exec", pod, "--", "sh", "-c", f"echo out-{word}; echo err-{word} >&2; exit 7")
    assert (ran.code, ran.stdout) == (7, f"out-{word}\n".encode())
    assert ran.stderr.startswith(f"err-{word}\n".encode())
    header, *events = recorded(gateway, f"out-{word}\\r")
    assert header["tags"] == ["no-tty"]
    output = "".join(text for _, code, text in events if code == "o")
    assert sorted(output.splitlines()) == [f"err-{word}", f"out-{word}"]
    assert events[-1][1:] == ["x", "7"]
    assert eventually("the audit event", lambda: endings(gateway, pod, exit_code="7"))


def test_b32_the_end_of_input(client: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    typed = f"{secrets.token_hex(6)}\nlast line without an end".encode()
    with agreeing(gateway, oncall, pod):
        ran = run(client, "exec", "-i", pod, "--", "cat", stdin=typed)
    assert (ran.code, ran.stdout) == (0, typed)
    _, *events = recorded(gateway, typed[:12].decode())
    assert "".join(text for _, code, text in events if code == "i") == typed.decode()


def test_much_output_arrives_whole(client: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    """If it is read within five seconds: pings are sent then, and Kubernetes itself may lose the end of it."""
    size, script = 20 * MEGABYTE, "yes 'a line that is no secret' | head -c 20971520"
    with agreeing(gateway, oncall, pod):
        ran = run(client, "exec", pod, "--", "sh", "-c", script)
    assert (ran.code, len(ran.stdout)) == (0, size), ran.stderr
    line = b"a line that is no secret\n"
    expected = (line * (size // len(line) + 1))[:size]
    assert hashlib.sha256(ran.stdout).digest() == hashlib.sha256(expected).digest()
    assert eventually("the audit event", lambda: endings(gateway, pod, stdout_bytes=str(size)))


def test_much_input_arrives_whole(client: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    data = os.urandom(6 * MEGABYTE)
    with agreeing(gateway, oncall, pod):
        ran = run(client, "exec", "-i", pod, "--", "sha256sum", stdin=data)
    assert ran.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_masked_output_is_shorter_than_what_came(
    client: Agent, gateway: GatewayEnv, oncall: Person, pod: str, kubelet: StreamingKubelet, plant: Callable[[], str]
) -> None:
    """Frames change their length, both ways, many times over."""
    value, mark = core(plant()).decode(), secrets.token_hex(6)
    lines = [f"DB_PASSWORD={value * (number % 3 + 1)}\nline {number} {mark}\n" for number in range(3000)]
    (kubelet.folder / f"{mark}.env").write_text("".join(lines))
    with agreeing(gateway, oncall, pod):
        ran = run(client, "exec", pod, "--", "cat", f"{mark}.env")
    assert ran.code == 0
    assert not found([value.encode()], ran.stdout)
    assert ran.stdout.count(b"DB_PASSWORD=masked:v1:") == 3000
    assert ran.stdout.endswith(f"\nline 2999 {mark}\n".encode())
    recording = recorded(gateway, f"line 2999 {mark}")
    assert not found([value.encode()], str(recording).encode())


def test_b32_a_terminal(client: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    here, there = pty.openpty()
    word = secrets.token_hex(4)
    try:
        with client.stream("exec", "-it", pod, "--", "sh", stdin=there) as running, agreeing(gateway, oncall, pod):
            os.write(here, f"echo typed-{word}-$((40+2)); stty size\n".encode())
            running.until(f"typed-{word}-42", 20)
            os.write(here, b"exit 3\n")
            assert running.finish()[0] == 3
    finally:
        os.close(here)
        os.close(there)
    header, *events = recorded(gateway, f"typed-{word}-42")
    assert header["tags"] == ["tty"]
    assert f"echo typed-{word}-$((40+2)); stty size" in "".join(text for _, code, text in events if code == "i")
    assert events[-1][1:] == ["x", "3"]


def test_b32_attach(client: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    word = secrets.token_hex(6)
    with agreeing(gateway, oncall, pod):
        ran = run(client, "attach", "-i", pod, stdin=f"{word}\n".encode())
    assert b"attached\n" in ran.stdout
    assert f"heard {word}\n".encode() in ran.stdout
    header, *events = recorded(gateway, f"heard {word}")
    assert header["title"].startswith("attach ")
    assert f"{word}\n" in "".join(text for _, code, text in events if code == "i")


def test_b32_run(agent: Agent, gateway: GatewayEnv, oncall: Person, admin: Kubectl) -> None:
    """Making the pod needs nobody, being attached to it does."""
    name = f"run-{secrets.token_hex(3)}"
    with agent.stream("run", name, "-i", "--image=registry.test/web:1") as running:
        question = pending(gateway, 20, name=name)
        assert (question["rule"], question["resource"]) == ("attach-needs-approval", "pods/attach")
        assert admin.get("pod", name)["status"]["phase"] == "Running"
        assert casts_titled(gateway, name) == []
        oncall.approves(gateway, question["id"])
        eventually("the recording", lambda: casts_titled(gateway, name))
        running.close()


def first_line(file: Path) -> str:
    with file.open() as opened:
        return opened.readline()


def casts_titled(gateway: GatewayEnv, pod: str) -> list[str]:
    """The titles of the recordings that name this pod."""
    heads = [first_line(file) for file in gateway.state_dir.glob("sessions/*/*.cast")]
    return [head for head in heads if pod in head]


def test_b32_debug(agent: Agent, gateway: GatewayEnv, oncall: Person, admin: Kubectl) -> None:
    """A container beside the others needs a person; what exec asks for, it asks for."""
    name, pod = f"debugger-{secrets.token_hex(3)}", admin.run_pod(f"debugged-{secrets.token_hex(3)}")
    command = ["debug", pod, "--image=registry.test/tools:1", f"--container={name}", "--attach=false"]
    assert "no-added-capabilities" in agent.refused(*command), "its default profile may trace every process"
    with agreeing(gateway, oncall, pod):
        agent(*command, "--profile=restricted")
    added = admin.get("pod", pod)["spec"]["ephemeralContainers"]
    assert name in [container["name"] for container in added]
    asked = approvals(gateway, name=pod, resource="pods/ephemeralcontainers")
    assert [row["rule"] for row in asked] == ["debug-containers-need-approval"]


@pytest.mark.parametrize("size", [0, 300_001])
def test_b32_files_are_copied_both_ways(
    client: Agent, gateway: GatewayEnv, oncall: Person, pod: str, tmp_path: Path, size: int
) -> None:
    content, there = os.urandom(size), tmp_path / "in-the-pod"
    there.mkdir()
    (tmp_path / "source.bin").write_bytes(content)
    with agreeing(gateway, oncall, pod):
        into = run(client, "cp", str(tmp_path / "source.bin"), f"{pod}:{there}/copied.bin")
        assert (into.code, into.stderr) == (0, b"")
        assert (there / "copied.bin").read_bytes() == content
        back = run(client, "cp", f"{pod}:{there}/copied.bin", str(tmp_path / "back.bin"))
    assert back.code == 0, back.stderr
    assert (tmp_path / "back.bin").read_bytes() == content


def test_b36_a_port_is_forwarded(client: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    with (
        web_server("hello from the pod\n") as port,
        agreeing(gateway, oncall, pod),
        client.stream("port-forward", f"pod/{pod}", f":{port}", "--address=127.0.0.1") as running,
    ):
        local = int(running.until("Forwarding from", 20).split(":")[1].split(" ")[0])
        for _ in range(3):
            answer = plain_http.get(f"http://127.0.0.1:{local}/file", timeout=5)
            assert answer.text == "hello from the pod\n"
    (ended,) = eventually("the audit event", lambda: endings(gateway, pod, "portforward", ports=str(port)))
    assert ended["connections"] == "3"
    (log,) = gateway.state_dir.glob(f"sessions/*/{ended['forward']}")
    eventually("all of its log", lambda: len(log.read_text().splitlines()) >= 10)


def test_a_denied_line_ends_the_session(client: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    with agreeing(gateway, oncall, pod):
        ran = run(client, "exec", "-i", pod, "--", "sh", stdin=b"echo before\necho forbidden-word > /tmp/never\n")
    assert ran.code != 0
    assert b"that word is forbidden" in ran.stderr
    assert eventually("the audit event", lambda: endings(gateway, pod, ended_by="e2e-typed-deny"))
    assert not Path("/tmp/never").exists()


def test_a_line_waits_for_a_human(client: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    word = secrets.token_hex(5)
    with agreeing(gateway, oncall, pod):
        ran = run(client, "exec", "-i", pod, "--", "sh", stdin=f"echo ask-first-{word}\n".encode())
    assert (ran.code, ran.stdout) == (0, f"ask-first-{word}\n".encode())
    recording = recorded(gateway, f"ask-first-{word}")
    assert any(code == "m" and "consumed" in text for _, code, text in recording[1:])


def test_a_file_that_is_not_to_be_copied(
    client: Agent, gateway: GatewayEnv, oncall: Person, pod: str, tmp_path: Path
) -> None:
    (tmp_path / "x.forbidden").write_text("no")
    with agreeing(gateway, oncall, pod):
        ran = run(client, "cp", str(tmp_path / "x.forbidden"), f"{pod}:{tmp_path}/there.forbidden")
    assert ran.code != 0
    assert not (tmp_path / "there.forbidden").exists()


def test_copies_are_on_record_with_names_and_digests(
    agent: Agent, gateway: GatewayEnv, oncall: Person, pod: str, tmp_path: Path
) -> None:
    content = os.urandom(1234)
    (tmp_path / "recorded.bin").write_bytes(content)
    with agreeing(gateway, oncall, pod):
        assert run(agent, "cp", str(tmp_path / "recorded.bin"), f"{pod}:{tmp_path}/there.bin").code == 0
    expected = f"there.bin (1234 bytes, sha256 {hashlib.sha256(content).hexdigest()})"
    assert eventually(
        "the record", lambda: [each for each in endings(gateway, pod) if expected in each.get("files", "")]
    )


def test_a_port_that_is_not_to_be_reached(client: Agent, gateway: GatewayEnv, oncall: Person, pod: str) -> None:
    with (
        agreeing(gateway, oncall, pod),
        client.stream("port-forward", f"pod/{pod}", ":9", "--address=127.0.0.1") as running,
    ):
        local = int(running.until("Forwarding from", 20).split(":")[1].split(" ")[0])
        with pytest.raises(httpx.TransportError):
            plain_http.get(f"http://127.0.0.1:{local}/", timeout=5)
        assert eventually("the end", lambda: endings(gateway, pod, "portforward", ended_by="e2e-no-port-9"))
