"""`chaperone watch` beside a real gateway: what waits and what runs is there before it is over, once and masked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, eventually
from tests.e2e.leaks import core, found
from tests.e2e.people import Person, pending
from tests.support.kubernetes import Kubectl
from tests.support.viewer import Viewer, viewer

Flow = dict[str, Any]


@pytest.fixture(scope="module")
def web(gateway: GatewayEnv) -> Iterator[Viewer]:
    """mitmweb, running before anything is asked."""
    with viewer(gateway.conf) as running:
        eventually("mitmweb", lambda: running.flows() is not None)
        yield running


def about(web: Viewer, text: str) -> list[Flow]:
    """The flows whose path holds `text`."""
    return [flow for flow in web.flows() if text in flow["request"]["path"]]


def one(web: Viewer, text: str, mark: str, words: str = "") -> Flow:
    """The only flow about `text`, once it is marked like this."""

    def marked() -> list[Flow]:
        return [flow for flow in about(web, text) if flow["marked"] == mark and words in flow["comment"]]

    [flow] = eventually(f"a flow about {text} marked {mark!r}", marked)
    assert len(about(web, text)) == 1, "it is one flow, whatever becomes of it"
    return dict(flow)


def live_files(gateway: GatewayEnv) -> bytes:
    """All that is kept of what goes on."""
    files = (gateway.state_dir / "live").glob("*.mitm")
    return b"".join(file.read_bytes() for file in files if file.exists())


def test_an_exec_is_seen_waiting_running_and_over(
    agent: Agent,
    admin: Kubectl,
    gateway: GatewayEnv,
    oncall: Person,
    web: Viewer,
    cluster: Cluster,
    plant: Callable[[], str],
) -> None:
    pod, value = admin.run_pod("watched-exec"), plant()
    (Path(cluster.state_dir) / "pod-files" / f"{pod}.env").write_text(f"MODE=seen-while-it-runs\nDB_PASSWORD={value}\n")
    target, script = f"/pods/{pod}/exec", f"cat {pod}.env; while [ ! -e {pod}.end ]; do sleep 0.1; done; echo ended"
    with agent.stream("exec", pod, "--", "sh", "-c", script) as running:
        question = pending(gateway, name=pod)
        waits = one(web, target, "⏳", question["id"])
        for words in (agent.user, question["rule"], f"chaperone approvals approve {question['id']}"):
            assert words in waits["comment"]
        assert "response" not in waits

        oncall.approves(gateway, question["id"])
        running.until("seen-while-it-runs", 10)
        # The viewer looks five times a second: what it shows first may be from before the reply.
        eventually("the reply's head", lambda: "response" in one(web, target, "▶", "still running"))
        runs = one(web, target, "▶", "still running")
        assert (runs["id"], runs["response"]["status_code"]) == (waits["id"], 101)
        eventually("its output", lambda: b"seen-while-it-runs" in web.content(runs, "messages"))
        assert not found([core(value)], web.content(runs, "messages"))
        going_on = live_files(gateway)
        assert b"seen-while-it-runs" in going_on
        assert not found([core(value), *secrets_of(agent)], going_on)

        (Path(cluster.state_dir) / "pod-files" / f"{pod}.end").touch()
        assert running.finish()[0] == 0
    over = one(web, target, "", f"require_approval by {question['rule']}")
    assert over["id"] == waits["id"]
    assert b"ended" in web.content(over, "messages")
    eventually("nothing going on", lambda: target.encode() not in live_files(gateway))


def test_a_watch_and_a_log_are_seen_while_they_run(
    agent: Agent, admin: Kubectl, gateway: GatewayEnv, web: Viewer, cluster: Cluster, plant: Callable[[], str]
) -> None:
    pod, value = admin.run_pod("watched-log"), plant()
    with agent.stream("get", "pod", pod, "-w", "-o", "name") as watch, agent.stream("logs", "-f", pod) as log:
        watch.until(pod)
        with Path(cluster.pod_log).open("a") as lines:
            lines.write(f"2026-01-01T00:00:02Z stdout F watched with password={value} failed\n")
        log.until("watched with")
        runs = {text: one(web, text, "▶") for text in (f"metadata.name%3D{pod}&resourceVersion", f"/pods/{pod}/log")}
        for flow, words in zip(runs.values(), (pod.encode(), b"watched with password=masked:v1:"), strict=True):
            eventually("what was said", lambda flow=flow, words=words: words in web.content(flow, "response"))
        going_on = live_files(gateway)
        assert b"watched with" in going_on
        assert not found([core(value), *secrets_of(agent)], going_on)
    for text, flow in runs.items():
        assert one(web, text, "")["id"] == flow["id"]


def test_a_refusal_after_the_wait_replaces_it(
    agent: Agent, admin: Kubectl, gateway: GatewayEnv, oncall: Person, web: Viewer
) -> None:
    pod = admin.run_pod("watched-denial")
    with agent.stream("exec", pod, "--", "date") as running:
        question = pending(gateway, name=pod)
        waits = one(web, f"/pods/{pod}/exec", "⏳")
        oncall.answers(gateway, "deny", question["id"], "--note", "not now")
        assert running.finish()[0] != 0

    def refused() -> list[Flow]:
        return [
            flow for flow in about(web, f"/pods/{pod}/exec") if flow["marked"] == "⛔" and "not now" in flow["comment"]
        ]

    assert waits["id"] in [flow["id"] for flow in eventually("the refusal", refused)]


def secrets_of(agent: Agent) -> list[bytes]:
    """What of an agent's own must be in no file."""
    return [agent.token.rpartition(".")[2].encode(), b"k8s-aws-v1."]
