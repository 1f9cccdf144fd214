"""A person decides in a browser: what waits is on the console's pages at once, and an answer there is one."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import httpx
import pytest

from scripts.devenv import plain_http, processes
from tests.e2e.agent import Agent, eventually
from tests.e2e.conftest import HOLD_SECONDS
from tests.e2e.consoles import Console, start_console
from tests.e2e.gateways import Gateways
from tests.e2e.people import pending
from tests.e2e.records import ApiServer, approvals
from tests.support.kubernetes import Kubectl

SECONDS = 2.0
TIMES = 5
ROLES = {"viewer": ["interns"], "approver": ["admins"], "admin": ["admins"]}


@dataclass(frozen=True, slots=True)
class Browser:
    """Somebody's, at the console."""

    console: Console
    http: httpx.Client = field(default_factory=lambda: plain_http.client(timeout=30))

    def signs_in(self, name: str) -> httpx.Response:
        """By SAML, from the console's own page on; what is shown then."""
        page = self.http.get(f"{self.console.url}/", follow_redirects=True).text
        provider, path = (_field(page, name) for name in ("provider", "next"))
        begun = self._post("/sign-in", provider=provider, next=path)
        target, form = self.console.idp.answer(begun.headers["location"], name)
        back = self.http.post(target, data=form)
        assert (back.status_code, back.headers["location"]) == (303, "/"), back.text
        assert "; HttpOnly; Path=/; SameSite=lax" in back.headers["set-cookie"], "and nothing that needs TLS"
        return self.get("/")

    def get(self, path: str) -> httpx.Response:
        """A page."""
        return self.http.get(f"{self.console.url}{path}")

    def send(self, path: str, **fields: str) -> httpx.Response:
        """A form of a page."""
        return self._post(path, csrf=_field(self.get("/locks").text, "csrf"), **fields)

    def finds(self, text: str) -> str:
        """The page of what waits and says this, once it is in the inbox."""
        found: str = eventually(f"{text} in the inbox", lambda: self._page_of(text), HOLD_SECONDS)
        return found

    def _page_of(self, text: str) -> str:
        entries = re.findall(r'<a href="(/approvals/[^"]+)">(.*?)</a>', self.get("/").text)
        return next((path for path, what in entries if text in what), "")

    def _post(self, path: str, **fields: str) -> httpx.Response:
        return self.http.post(f"{self.console.url}{path}", data=fields, headers={"Origin": self.console.url})


def _field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, page
    return found[1]


@pytest.fixture(scope="module")
def console(gateways: Gateways, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    (port,) = processes.free_ports(1)
    settings = {"console_port": port, "hold_seconds": HOLD_SECONDS}
    gateway = gateways.start("console-pages", settings=settings, rules=None)
    started = start_console(gateway, tmp_path_factory.mktemp("console"), roles=ROLES)
    for name, groups in (("alice", ["admins"]), ("bob", ["interns"])):
        started.idp.add_person(name, groups)
    yield started
    processes.stop([started.child, started.idp.child])


@pytest.fixture(scope="module")
def alice(console: Console) -> Iterator[Browser]:
    browser = Browser(console)
    assert "Nothing waits for an answer" in browser.signs_in("alice").text
    yield browser
    browser.http.close()


@pytest.fixture(scope="module")
def agent(console: Console, as_user: Callable[..., Agent], admin: Kubectl) -> Agent:
    return as_user(console.gateway, "agent-of-the-pages", "agents").within(admin.namespace)


@pytest.fixture(scope="module")
def pods(admin: Kubectl) -> list[str]:
    names = [f"page-{number}" for number in range(TIMES + 2)]
    spec = {"containers": [{"name": "main", "image": "registry.test/web:1"}]}
    admin.apply(*({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec} for name in names))
    admin("wait", "--for=condition=Ready", "pod", *names, "--timeout=30s")
    return names


def received(api_server: ApiServer, mark: int, pod: str) -> float:
    """When the API server received the exec."""
    events = eventually("the exec", lambda: api_server.about(mark, f"/pods/{pod}/exec"))
    return min(datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp() for event in events)


def test_a_person_approves_what_waits(
    console: Console, alice: Browser, agent: Agent, pods: list[str], api_server: ApiServer
) -> None:
    shown, forwarded = [], []
    for pod in pods[:TIMES]:
        mark = api_server.mark()
        with agent.stream("exec", pod, "--", "echo", "approved output") as running:
            page = alice.finds(f"/{pod} ")
            seen = time.time()
            (asked,) = approvals(console.gateway, name=pod)
            assert api_server.about(mark, f"/pods/{pod}/exec") == [], "nothing was forwarded before the answer"
            text = alice.get(page).text
            for part in (agent.user, pod, "exec-needs-approval", "echo", "kubectl exec"):
                assert part in text
            clicked = time.time()
            assert alice.send(page, decision="approve", note="go on").status_code == 303
            code, printed = running.finish()
        assert (code, "approved output\n" in printed) == (0, True), printed
        shown.append(seen - asked["asked_at"])
        forwarded.append(received(api_server, mark, pod) - clicked)
        (after,) = approvals(console.gateway, name=pod)
        assert (after["state"], after["note"]) == ("consumed", "go on")
        assert after["approver"] == f"{console.idp.entity_id}#alice@example.com"
    medians = [statistics.median(times) for times in (shown, forwarded)]
    print(f"request to inbox {medians[0]:.3f} s, click to forwarded {medians[1]:.3f} s (medians of {TIMES})")
    assert max(shown) <= SECONDS and max(forwarded) <= SECONDS


def test_a_viewer_sees_it_and_a_denial_reaches_the_agent(
    console: Console, alice: Browser, agent: Agent, pods: list[str]
) -> None:
    pod, bob = pods[TIMES], Browser(console)
    assert "bob@example.com (viewer)" in bob.signs_in("bob").text
    with agent.stream("exec", pod, "--", "date") as running:
        page = bob.finds(f"/{pod} ")
        assert "approvers decide" in bob.get(page).text
        assert bob.send(page, decision="approve").status_code == 403
        assert pending(console.gateway, name=pod)["state"] == "pending"
        assert alice.send(page, decision="deny", note="not on a Friday").status_code == 303
        code, printed = running.finish()
    bob.http.close()
    assert (code != 0, "not on a Friday" in printed) == (True, True), printed


def test_an_admin_stops_a_session_and_lets_it_go_on(
    console: Console, alice: Browser, agent: Agent, pods: list[str]
) -> None:
    assert "pod/" in agent("get", "pods", "-o", "name")
    page = alice.get("/sessions").text
    (session_id, *_) = re.findall(r'action="/sessions/([^"]+)"', page)
    assert alice.send(f"/sessions/{session_id}", note="gone wild").status_code == 303
    eventually("the lock", lambda: "gone wild" in agent.run("get", "pods").stderr)
    (lock,) = re.findall(r'action="/locks/([^"]+)"', alice.get("/locks").text)
    assert alice.send(f"/locks/{lock}").status_code == 303
    eventually("the end of the lock", lambda: agent.run("get", "pods").returncode == 0)


def test_an_agent_with_a_token_is_nobody_here(console: Console, agent: Agent) -> None:
    for cookie in ("", f"chaperone-session={agent.token}"):
        headers = {"Authorization": f"Bearer {agent.token}", "Origin": console.url, "Cookie": cookie}
        with plain_http.client(headers=headers) as http:
            found = http.get(f"{console.url}/")
            assert (found.status_code, found.headers["location"]) == (303, "/sign-in?next=/")
            assert http.post(f"{console.url}/approvals/x", data={"decision": "approve"}).status_code == 403
