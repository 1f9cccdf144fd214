"""People and agents at once, for real: a browser at the console, kubectl at the gateway, a cluster behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from scripts.devenv import processes
from scripts.devenv.cluster import Cluster
from tests.e2e.agent import Agent, eventually
from tests.e2e.conftest import HOLD_SECONDS
from tests.e2e.consoles import PROVIDER, Console, start_console
from tests.e2e.gateways import Gateways
from tests.e2e.records import approvals
from tests.support import browser as browsers
from tests.support.kubernetes import Kubectl

ROLES = {"viewer": ["interns"], "approver": ["oncall"], "admin": ["admins"]}
STOPPED_SECONDS = 15.0


@pytest.fixture(scope="module")
def console(gateways: Gateways, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    (port,) = processes.free_ports(1)
    settings = {"console_port": port, "hold_seconds": HOLD_SECONDS}
    gateway = gateways.start("console-browser", settings=settings, rules=None)
    sign_in = [{"identityProvider": PROVIDER, "clientId": "chaperone"}]
    started = start_console(gateway, tmp_path_factory.mktemp("browser"), roles=ROLES, signIn=sign_in)
    yield started
    processes.stop([started.child, started.idp.child])


@pytest.fixture(scope="module")
def running() -> Iterator[Browser]:
    with browsers.browser() as found:
        yield found


@pytest.fixture(scope="module")
def signed_in(console: Console, cluster: Cluster, running: Browser, mint: Callable[..., str]) -> Callable[..., Page]:
    """Somebody's page, who has signed in at the cluster's own OpenID provider."""

    def page(name: str, group: str) -> Page:
        mint(name, groups=[group])  # known to the provider from now on
        found = browsers.new_page(running)
        found.goto(f"{console.url}/")
        found.get_by_role("button", name=f"Sign in at {PROVIDER}").click()
        found.locator("input[name=sub]").fill(name)
        found.get_by_role("button", name="Authorize", exact=True).click()
        found.wait_for_url(f"{console.url}/")
        return found

    return page


@pytest.fixture(scope="module")
def oncall_page(signed_in: Callable[..., Page]) -> Page:
    return signed_in("olga@example.com", "oncall")


@pytest.fixture(scope="module")
def agent(console: Console, as_user: Callable[..., Agent], admin: Kubectl) -> Agent:
    return as_user(console.gateway, "agent-of-the-browser", "agents").within(admin.namespace)


@pytest.fixture(scope="module")
def pods(admin: Kubectl) -> list[str]:
    names = ["seen-approved", "seen-denied", "seen-stopped"]
    spec = {"containers": [{"name": "main", "image": "registry.test/web:1"}]}
    admin.apply(*({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec} for name in names))
    admin("wait", "--for=condition=Ready", "pod", *names, "--timeout=30s")
    return names


def finds(console: Console, page: Page, pod: str) -> None:
    """The page of the question about a pod, from the inbox on."""
    eventually("the question", lambda: approvals(console.gateway, state="pending", name=pod))
    page.goto(f"{console.url}/?still")
    page.get_by_role("link", name=pod).click()
    assert pod in page.locator("main").inner_text()


def answers(page: Page, button: str, note: str) -> None:
    form = page.locator("form", has=page.get_by_role("button", name=button, exact=True))
    form.locator("input[name=note]").fill(note)
    form.get_by_role("button", name=button, exact=True).click()
    page.wait_for_load_state()


def test_an_exec_waits_until_somebody_approves_it(
    console: Console, oncall_page: Page, agent: Agent, pods: list[str]
) -> None:
    with agent.stream("exec", pods[0], "--", "echo", "approved output") as waiting:
        finds(console, oncall_page, pods[0])
        for part in (agent.user, "exec-needs-approval", "echo", "kubectl exec"):
            assert part in oncall_page.locator("main").inner_text()
        assert waiting.process.poll() is None, "it waits"
        answers(oncall_page, "Approve", "go on")
        code, printed = waiting.finish()
    assert (code, "approved output\n" in printed) == (0, True), printed
    oncall_page.reload()
    assert "consumed" in oncall_page.locator("main").inner_text()


def test_what_it_printed_is_found_and_played_again(console: Console, oncall_page: Page, pods: list[str]) -> None:
    def searches() -> bool:
        oncall_page.goto(f"{console.url}/search?text=approved+output")
        return oncall_page.get_by_role("link", name="Replay").count() > 0

    eventually("it is indexed", searches, STOPPED_SECONDS)
    oncall_page.get_by_role("link", name="Replay").first.click()
    browsers.until(oncall_page, "(document.querySelector('#player')?.innerText ?? '').includes('approved output')")
    browsers.until(oncall_page, "document.querySelector('tr.now') !== null")
    assert f"/{pods[0]} -- echo approved output" in oncall_page.locator("main").inner_text()


def test_a_denial_is_told_with_its_note(console: Console, oncall_page: Page, agent: Agent, pods: list[str]) -> None:
    with agent.stream("exec", pods[1], "--", "date") as waiting:
        finds(console, oncall_page, pods[1])
        answers(oncall_page, "Deny", "not on a Friday <b>evening</b>")
        code, printed = waiting.finish()
    assert (code != 0, "not on a Friday <b>evening</b>" in printed) == (True, True), printed
    assert "not on a Friday <b>evening</b>" in oncall_page.locator("main").inner_text(), "as it was written"


def test_a_session_is_stopped_while_it_runs(
    console: Console, oncall_page: Page, signed_in: Callable[..., Page], agent: Agent, pods: list[str]
) -> None:
    with agent.stream("exec", pods[2], "--", "sh", "-c", "echo started; sleep 300") as waiting:
        finds(console, oncall_page, pods[2])
        answers(oncall_page, "Approve", "")
        waiting.until("started", 30)
        page = signed_in("ada@example.com", "admins")
        page.goto(f"{console.url}/sessions")
        item = page.locator("li", has_text=agent.user).first
        item.locator("input[name=note]").fill("gone wild")
        item.get_by_role("button").click()
        page.wait_for_url(f"{console.url}/locks")
        assert "gone wild" in page.locator("main").inner_text()
        code, _ = waiting.finish(STOPPED_SECONDS)
    assert code != 0
    assert "gone wild" in agent.run("get", "pods").stderr
