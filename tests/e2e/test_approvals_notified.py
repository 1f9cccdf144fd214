"""Approvals by a signed webhook and in Slack: a real kubectl waits, a console process tells, an answer comes back.

The webhook's receiver is a real HTTP server. Slack itself cannot run here: a stand-in answers for its API, and the test
clicks as Slack would, signed with the app's secret.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from addons.core.notify import signature
from scripts.devenv import forkserver, plain_http, processes
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.places import REPOSITORY
from scripts.devenv.processes import Child
from tests.e2e.agent import Agent, eventually
from tests.e2e.conftest import HOLD_SECONDS
from tests.e2e.consoles import PROVIDER, json_documents
from tests.e2e.gateways import Gateways
from tests.e2e.people import Person, pending
from tests.e2e.records import approvals
from tests.support.kubernetes import Kubectl
from tests.support.receiver import Receiver, Sent, receiver, slack_api

SECRET, BOT_TOKEN, SIGNING = "pager-secret-0123456789", "xoxb-0123456789-abcdef", "slack-signing-0123456789"
SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notified:
    """A gateway, a console process beside it, and what its channels send to."""

    gateway: GatewayEnv
    url: str
    child: Child
    pager: Receiver
    slack: Receiver

    def told(self, approval: str, event: str = "requested") -> Sent:
        """The webhook's message about an approval, once it has come."""
        found: list[Sent] = eventually(
            f"the message {event}",
            lambda: [
                each for each in self.pager.sent if (each.document["id"], each.document["event"]) == (approval, event)
            ],
            SECONDS,
        )
        assert len(found) == 1
        return found[0]

    def answers(self, sent: Sent, at: float | None = None, **answer: Any) -> httpx.Response:
        """What the console says to an answer to a message."""
        document = sent.document
        body = json.dumps({"id": document["id"], "digest": document["digest"]} | answer).encode()
        stamp = int(at or time.time())
        headers = {
            signature.TIMESTAMP_HEADER: str(stamp),
            signature.SIGNATURE_HEADER: signature.sign(SECRET.encode(), stamp, body),
        }
        return plain_http.post(document["decide"]["url"], content=body, headers=headers)

    def in_slack(self, method: str, text: str) -> dict[str, Any]:
        """What was sent to Slack by this method with this text in it, once it has come."""
        found: list[Sent] = eventually(
            f"{method} in Slack",
            lambda: [each for each in self.slack.sent if each.path.endswith(method) and text in each.body.decode()],
            SECONDS,
        )
        return found[-1].document

    def click(self, message: dict[str, Any], action: str, user: str) -> httpx.Response:
        """What the console says to Slack when a button is clicked."""
        buttons = [each for block in message["blocks"] for each in block.get("elements", ())]
        (button,) = [each for each in buttons if each["action_id"] == action]
        clicked = {"action_id": action, "value": button["value"]}
        body = urlencode(
            {"payload": json.dumps({"type": "block_actions", "user": {"id": user}, "actions": [clicked]})}
        ).encode()
        stamp = int(time.time())
        headers = {
            signature.SLACK_TIMESTAMP_HEADER: str(stamp),
            signature.SLACK_SIGNATURE_HEADER: signature.slack_sign(SIGNING.encode(), stamp, body),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return plain_http.post(f"{self.url}/approvals/slack/chat", content=body, headers=headers)


@pytest.fixture(scope="module")
def notified(gateways: Gateways, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notified]:
    (port,) = processes.free_ports(1)
    gateway = gateways.start("notified", settings={"console_port": port, "hold_seconds": HOLD_SECONDS})
    folder, url = tmp_path_factory.mktemp("notified"), f"http://127.0.0.1:{port}"
    with receiver() as pager, receiver(slack_api) as slack:
        write_rules(gateway, url, pager.url, slack.url)
        child = forkserver.spawn(
            "console",
            [sys.executable, "-m", "addons.cli", "console", "--conf", gateway.conf],
            folder / "console.log",
            {"PYTHONPATH": str(REPOSITORY), "PYTHONSAFEPATH": "1"},
        )
        eventually("the console", lambda: '"ready"' in Path(child.log).read_text(), 30)
        yield Notified(gateway=gateway, url=url, child=child, pager=pager, slack=slack)
        processes.stop([child])


def write_rules(gateway: GatewayEnv, url: str, pager: str, slack: str) -> None:
    folder = gateway.rules / "notify"
    folder.mkdir()
    for name, text in (("pager-secret", SECRET), ("bot-token", BOT_TOKEN), ("signing-secret", SIGNING)):
        (folder / name).write_text(f"{text}\n")
    alice = {"identityProvider": PROVIDER, "subject": "alice@example.com", "groups": ["oncall"]}
    chat = {
        "channel": "C12",
        "botTokenFile": "bot-token",
        "signingSecretFile": "signing-secret",
        "people": {"UALICE": alice, "UAGENT": alice | {"subject": "notified-agent"}},
        "apiUrl": f"{slack}/api",
    }
    webhook = {"url": f"{pager}/hook", "secretFile": "pager-secret", "callback": True}
    dead = webhook | {"url": "http://127.0.0.1:1/"}
    documents = [
        document("Console", "console", {"url": url}),
        document("Notification", "pager", {"webhook": webhook, "for": {"connections": [gateway.connection]}}),
        document("Notification", "chat", {"slack": chat}),
        document("Notification", "a-dead-one", {"webhook": dead}),
    ]
    (folder / "channels.yaml").write_text(json_documents(documents))


def document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "chaperone/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def agent(notified: Notified, as_user: Callable[..., Agent], admin: Kubectl) -> Agent:
    """Somebody's agent."""
    found = as_user(notified.gateway, "notified-agent", "agents", owner="carol@example.com")
    return found.within(admin.namespace)


@pytest.fixture(scope="module")
def pods(admin: Kubectl) -> Iterator[str]:
    names = [f"notified-{number}" for number in range(12)]
    spec = {"containers": [{"name": "main", "image": "registry.test/web:1"}]}
    admin.apply(*({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec} for name in names))
    admin("wait", "--for=condition=Ready", "pod", *names, "--timeout=30s")
    return iter(names)


@pytest.fixture
def pod(pods: Iterator[str]) -> str:
    return next(pods)


def test_a_webhook_is_told_and_its_answer_lets_kubectl_through(
    agent: Agent, notified: Notified, oncall: Person, pod: str
) -> None:
    with agent.stream("exec", pod, "--", "echo", "approved") as running:
        question = pending(notified.gateway, name=pod)
        sent = notified.told(question["id"])
        stamp, signed = sent.headers["x-chaperone-timestamp"], sent.headers["x-chaperone-signature"]
        signature.check((SECRET.encode(),), stamp, signed, sent.body, time.time())
        said = sent.document
        assert said["requester"] == {
            "iss": notified.gateway.issuer,
            "sub": "notified-agent",
            "act": "",
            "owner": "carol@example.com",
            "groups": ["agents"],
        }
        assert (said["rule"], said["connection"]) == ("exec-needs-approval", notified.gateway.connection)
        assert f"/{pod} -- echo approved on " in said["command"]
        answer = notified.answers(sent, decision="approve", token=oncall.token)
        assert (answer.status_code, answer.json()["state"]) == (200, "granted"), answer.text
        code, printed = running.finish()
    assert (code, "approved\n" in printed) == (0, True)
    (after,) = approvals(notified.gateway, id=question["id"])
    assert (after["state"], after["approver"].rpartition("#")[2]) == ("consumed", "oncall@example.com")
    decided = notified.told(question["id"], "decided").document["decision"]
    assert (decided["decision"], decided["approver"]) == ("approve", after["approver"])


def test_a_denial_by_webhook_reaches_the_agent(agent: Agent, notified: Notified, oncall: Person, pod: str) -> None:
    with agent.stream("exec", pod, "--", "date") as running:
        sent = notified.told(pending(notified.gateway, name=pod)["id"])
        answer = notified.answers(sent, decision="deny", note="read the logs instead", token=oncall.token)
        assert answer.status_code == 200, answer.text
        code, printed = running.finish()
    assert (code != 0, "read the logs instead" in printed, "oncall@example.com" in printed) == (True, True, True)


def test_what_proves_nobody_or_the_wrong_person_decides_nothing(
    agent: Agent, notified: Notified, oncall: Person, mint: Callable[..., str], pod: str
) -> None:
    with agent.stream("exec", pod, "--", "echo", "once"):
        question = pending(notified.gateway, name=pod)
        sent = notified.told(question["id"])
        own = notified.answers(sent, decision="approve", token=agent.token)
        assert (own.status_code, "nobody approves their own request" in own.text) == (403, True)
        owner = mint("carol@example.com", groups=["oncall"])
        assert notified.answers(sent, decision="approve", token=owner).status_code == 403
        assert notified.answers(sent, decision="approve", token=SECRET).status_code == 401
        assert notified.answers(sent, decision="approve").status_code == 400
        old = notified.answers(sent, time.time() - 400, decision="approve", token=oncall.token)
        assert (old.status_code, old.json()["error"]) == (401, "bad_signature")
        assert approvals(notified.gateway, id=question["id"])[0]["state"] == "pending"


def test_a_replayed_answer_is_refused(agent: Agent, notified: Notified, oncall: Person, pod: str) -> None:
    with agent.stream("exec", pod, "--", "echo", "once") as running:
        sent = notified.told(pending(notified.gateway, name=pod)["id"])
        at = time.time()
        first = notified.answers(sent, at, decision="approve", token=oncall.token)
        assert first.status_code == 200, first.text
        again = notified.answers(sent, at, decision="approve", token=oncall.token)
        assert (again.status_code, again.json()["error"]) == (409, "replayed")
        assert running.finish()[0] == 0
    assert notified.answers(sent, decision="approve", token=oncall.token).status_code == 409


def test_decided_elsewhere_every_channel_is_told(agent: Agent, notified: Notified, oncall: Person, pod: str) -> None:
    with agent.stream("exec", pod, "--", "echo", "elsewhere") as running:
        question = pending(notified.gateway, name=pod)
        notified.told(question["id"])
        message = notified.in_slack("chat.postMessage", question["id"])
        oncall.answers(notified.gateway, "approve", question["id"])
        assert running.finish()[0] == 0
    assert "Approve" in str(message["blocks"])
    assert notified.told(question["id"], "decided").document["decision"]["decision"] == "approve"
    change = notified.in_slack("chat.update", question["id"])
    assert "Approved by" in str(change["blocks"]) and "actions" not in str(change["blocks"])


def test_a_click_in_slack(agent: Agent, notified: Notified, pod: str) -> None:
    with agent.stream("exec", pod, "--", "echo", "clicked") as running:
        question = pending(notified.gateway, name=pod)
        message = notified.in_slack("chat.postMessage", question["id"])
        own = notified.click(message, "chaperone_approve", "UAGENT")
        assert "nobody approves their own request" in own.text
        assert "nobody approves their own request" in notified.in_slack("chat.postEphemeral", "does not count")["text"]
        assert "not among" in notified.click(message, "chaperone_approve", "USTRANGER").text
        assert approvals(notified.gateway, id=question["id"])[0]["state"] == "pending"
        assert notified.click(message, "chaperone_approve", "UALICE").json() == {}
        code, printed = running.finish()
    assert (code, "clicked\n" in printed) == (0, True)
    (after,) = approvals(notified.gateway, id=question["id"])
    assert after["approver"] == f"{notified.gateway.issuer}#alice@example.com"


def test_a_denial_in_slack(agent: Agent, notified: Notified, pod: str) -> None:
    with agent.stream("exec", pod, "--", "date") as running:
        question = pending(notified.gateway, name=pod)
        notified.click(notified.in_slack("chat.postMessage", question["id"]), "chaperone_deny", "UALICE")
        code, printed = running.finish()
    assert (code != 0, "denied in Slack by alice@example.com" in printed) == (True, True)


def test_it_is_told_within_half_a_second(agent: Agent, notified: Notified, oncall: Person, pod: str) -> None:
    """With a dead channel beside it, whose messages are tried again all the while."""
    delays = []
    for number in range(7):
        with agent.stream("exec", pod, "--", "echo", str(number)) as running:
            question = pending(notified.gateway, name=pod)
            sent = notified.told(question["id"])
            delays.append(sent.at - question["asked_at"])
            oncall.approves(notified.gateway, question["id"])
            assert running.finish()[0] == 0
    print(f"from request to webhook, in seconds: {[round(each, 3) for each in sorted(delays)]}")
    assert statistics.median(delays) <= 0.5, delays
    assert max(delays) <= 2, delays
    log = Path(notified.child.log).read_text()
    assert '"channel": "a-dead-one"' in log and '"notification not sent"' in log


def test_a_restarted_console_repeats_nothing(agent: Agent, notified: Notified, oncall: Person, pod: str) -> None:
    """A second console beside it stands for the one that comes back."""
    with agent.stream("exec", pod, "--", "echo", "again") as running:
        question = pending(notified.gateway, name=pod)
        notified.told(question["id"])
        (port,) = processes.free_ports(1)
        conf = notified.gateway.folder / "second.conf"
        text = notified.gateway.conf.read_text()
        conf.write_text(text.replace(notified.url.rpartition(":")[2], str(port)))
        command: list[str | Path] = [sys.executable, "-m", "addons.cli", "console", "--conf", conf]
        log = notified.gateway.folder / "second.log"
        child = forkserver.spawn("second", command, log, {"PYTHONPATH": str(REPOSITORY), "PYTHONSAFEPATH": "1"})
        eventually("the second console", lambda: '"ready"' in log.read_text(), 30)
        time.sleep(1)
        oncall.approves(notified.gateway, question["id"])
        notified.told(question["id"], "decided")
        time.sleep(1)
        processes.stop([child])
        running.close()
    assert notified.pager.events(question["id"]) == ["requested", "decided"]


def test_no_secret_and_no_token_is_in_what_the_console_says(agent: Agent, notified: Notified, oncall: Person) -> None:
    """Last, when everything has been said."""
    said = Path(notified.child.log).read_text()
    assert '"approval decided"' in said and '"notification sent"' in said
    tokens = [part for token in (agent.token, oncall.token) for part in token.split(".")[1:]]
    assert [each for each in (SECRET, BOT_TOKEN, SIGNING, *tokens) if each in said] == []
