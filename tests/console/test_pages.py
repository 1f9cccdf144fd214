"""The pages for people: who gets in, what they see, what they may do, and that nothing else has an effect."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from addons.console import html
from addons.console.app import make_app
from addons.core import access_request as access
from addons.core.access_request import AccessRequest
from addons.core.approval import Ask, Case, State
from addons.core.approval_terms import Needed, Offer, Reuse
from addons.core.browser_session import IDLE_SECONDS, LONGEST_SECONDS
from addons.core.identity import Identity
from addons.core.lock import Lock
from addons.edge.access_request_store import access_request, add_access_request
from addons.edge.lock_store import add_lock, locks
from addons.edge.store import Store, StoreUnavailable
from addons.policy import Policy
from tests.console.conftest import CONSOLE, World, policy_of, write_rules
from tests.support.issuer import Issuer

COOKIE = "__Host-chaperone-session"
ROLES = {"viewer": ["viewers"], "approver": ["approvers"], "admin": ["admins"]}
HOSTILE = "\x1b[2J\u202e<script>alert(1)</script>\"'&\u2028" + "y" * 3000
ASK = Ask(
    requester_iss="https://agents", requester_sub="agent", connection="prod", session="s1", verb="create",
    resource="pods/exec", namespace="default", name="web", argv=("ls",), method="CONNECT",
    target="/api/v1/namespaces/default/pods/web/exec", command="kubectl exec", rule="exec-needs-approval", risk=60,
    reason="a shell", intent="INC-1", diff="--- before\n+++ after\n-1\n+2",
)  # fmt: skip


def with_roles(folder: Path, **spec: Any) -> Path:
    """The console with roles, and what else its document says."""
    file = folder / "1.yaml"
    document = json.loads(file.read_text())
    document["spec"] |= {"roles": ROLES} | spec
    file.write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def policy(idp: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return policy_of(with_roles(write_rules(tmp_path_factory.mktemp("rules"), idp.url, "workforce")))


@dataclass
class Person:
    """Somebody's browser, signed in."""

    world: World
    browser: httpx.AsyncClient

    async def get(self, path: str, status: int = 200) -> str:
        """A page."""
        found = await self.browser.get(path)
        assert found.status_code == status, found.text
        return found.text

    async def csrf(self) -> str:
        """What is in each form of theirs."""
        found = re.search(r'name="csrf" value="([^"]+)"', (await self.browser.get("/locks")).text)
        assert found is not None
        return found[1]

    async def send(self, path: str, **fields: str) -> httpx.Response:
        """A form of one of the pages."""
        fields = {"csrf": await self.csrf(), **fields}
        return await self.browser.post(path, data=fields, headers={"Origin": CONSOLE})


SignedIn = Callable[..., Any]


@pytest.fixture
async def person(world: World) -> AsyncIterator[SignedIn]:
    """Signs somebody in by a session of their own; how people come to one is below."""
    browsers: list[httpx.AsyncClient] = []

    async def signed_in(*groups: str, **changes: Any) -> Person:
        values = {"iss": "urn:idp", "sub": "ann", "aud": ("a",), "exp": world.clock() + 1e6, "groups": groups}
        session = world.parts.people.sessions.begin(Identity(**{**values, **changes}), "workforce")
        transport = httpx.ASGITransport(make_app(world.parts), raise_app_exceptions=False)
        browser = httpx.AsyncClient(transport=transport, base_url=CONSOLE, cookies={COOKIE: session})
        browsers.append(browser)
        return Person(world, browser)

    yield signed_in
    for browser in browsers:
        await browser.aclose()


async def asked(world: World, digest: str = "d", **changes: Any) -> Case:
    """A question that waits."""
    case: Case = await world.parts.store.call(Store.claim, digest, replace(ASK, **changes), world.clock())
    return case


async def wished(world: World, **changes: Any) -> AccessRequest:
    """A request for access that waits."""
    values = {
        "id": "r2345678", "iss": "https://agents", "sub": "agent", "connection": "prod", "role": "system:x",
        "rule": "on-request", "intent": "INC-1", "seconds": 3600, "longest_seconds": 7200, "approvers": ("approvers",),
        "asked_at": world.clock(), "expires_at": world.clock() + 600,
    }  # fmt: skip
    request = AccessRequest(**{**values, **changes})
    await world.parts.store.call(add_access_request, request)
    return request


async def state_of(world: World, case: Case) -> Case:
    found: Case = await world.parts.store.call(Store.get, case.approval.id)
    return found


async def test_without_a_session_everybody_is_sent_to_sign_in(world: World) -> None:
    for path in ("/", "/approvals/x", "/grants", "/grants/x", "/sessions", "/locks", "/rules", "/identities"):
        found = await world.client.get(path, headers={"Authorization": f"Bearer {world.token(groups=['admins'])}"})
        assert (found.status_code, found.headers["Location"]) == (303, f"/sign-in?next={path}")
    found = await world.client.get("/search", params={"verb": "*", "text": "a b&c=d"})
    assert found.headers["Location"] == "/sign-in?next=/search%3Fverb%3D%252A%26text%3Da%2Bb%2526c%253Dd"
    for path in ("/approvals/x", "/grants/x", "/sessions/x", "/locks/x", "/sign-out"):
        headers = {"Authorization": f"Bearer {world.token(groups=['admins'])}", "Origin": CONSOLE}
        assert (await world.client.post(path, headers=headers)).status_code == 403
    assert (await world.client.get("/", cookies={COOKIE: world.token()})).status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?still",
        "/?watch",
        "/approvals/{}",
        "/grants",
        "/grants/r2345678",
        "/sessions",
        "/locks",
        "/identities",
        "/rules",
        "/connections",
    ],
)
async def test_every_page(world: World, person: SignedIn, path: str) -> None:
    case, _ = await asked(world, intent=HOSTILE, diff=HOSTILE), await wished(world, intent=HOSTILE, role=HOSTILE)
    found = await (await person("admins")).browser.get(path.format(case.approval.id))
    assert found.status_code == 200
    assert {name: found.headers[name] for name in html.HEADERS} == dict(html.HEADERS)
    policy = found.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "form-action 'self'" in policy
    assert "unsafe" not in policy and "script" not in policy
    text = found.text
    assert text.startswith('<!doctype html><html lang="en">') and text.count("<h1>") == 1
    assert '<main id="main">' in text and '<nav aria-label="Pages">' in text
    assert not any(each in text for each in ("<script", "\x1b", "\u202e", "\u2028", " onclick", "javascript:"))
    assert text.count("<label>") == text.count('<input name="note"')


async def test_who_has_no_role(world: World, person: SignedIn) -> None:
    nobody = await person("others")
    for path in ("/", "/approvals/x", "/grants", "/sessions", "/locks"):
        text = await nobody.get(path, 403)
        assert "give none of your groups a role" in text and "urn:idp#ann" in text and "Sign out" in text


async def test_roles_are_those_of_the_rules_in_force(world: World, person: SignedIn, tmp_path: Path) -> None:
    ann = await person("admins")
    await ann.get("/")
    await world.parts.replace(policy_of(with_roles(write_rules(tmp_path, world.idp.url, "workforce"), roles={})))
    await ann.get("/", 403)
    (tmp_path / "5.yaml").unlink()
    await world.parts.replace(policy_of(tmp_path))
    assert (await ann.browser.get("/")).status_code == 303, "the provider is believed no more"


async def test_the_inbox(world: World, person: SignedIn) -> None:
    viewer = await person("viewers")
    text = await viewer.get("/")
    assert "Nothing waits for an answer." in text and '<meta http-equiv="refresh" content="5;url=/?watch">' in text
    assert "http-equiv" not in await viewer.get("/?still")
    case = await asked(world)
    world.clock.now += 5
    request = await wished(world)
    text = await viewer.get("/")
    assert "Inbox (2)" in text
    assert 0 < text.index(f"/grants/{request.id}") < text.index(f"/approvals/{case.approval.id}")
    assert "create pods/exec default/web -- ls on prod" in text and "INC-1" in text


async def test_what_one_run_asks_stands_together(world: World, person: SignedIn) -> None:
    for number, run in enumerate(("r1", "", "r1")):
        await asked(world, f"d{number}", run=run, claimed="kubectl <b>delete</b>", name=f"n{number}")
        world.clock.now += 1
    text = await (await person("viewers")).get("/")
    headline = text.index("2 questions of one run of kubectl &lt;b&gt;delete&lt;/b&gt;, as it says")
    assert headline < text.index("/n2 ") < text.index("/n0 ") < text.index("/n1 ")


async def test_a_long_inbox_says_so(world: World, person: SignedIn) -> None:
    for number in range(202):
        await asked(world, f"d{number}", requester_sub=f"agent-{number // 100}", name=f"n{number}", diff="+x" * 9)
        world.clock.now += 1
    text = await (await person("viewers")).get("/")
    assert "Inbox (more than 200)" in text and "These are the newest 200; there are more." in text
    assert "/n201 " in text and "/n2 " in text and "/n1 " not in text


async def test_all_of_a_question_is_shown(world: World, person: SignedIn) -> None:
    diff = "\n".join(f"+line {number}" for number in range(2500))
    case = await asked(world, intent=HOSTILE, diff=diff, requester_act="bot", requester_owner="team-x")
    text = await (await person("approvers")).get(f"/approvals/{case.approval.id.upper()}")
    for part in ("https://agents#agent", "bot", "team-x", "exec-needs-approval", "60", "a shell", "kubectl exec",
                 "CONNECT /api/v1/namespaces/default/pods/web/exec", "What changes (2500 lines)", "+line 2499",
                 "\\x1b[2J\\u202e&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;\\u2028" + "y" * 3000,
                 "once and unchanged"):  # fmt: skip
        assert part in text, part


async def test_an_approval_is_recorded_as_the_command_line_does(world: World, person: SignedIn) -> None:
    case, other = await asked(world), await asked(world, "e")
    ann = await person("approvers")
    found = await ann.send(f"/approvals/{case.approval.id}", decision="approve", note="go")
    assert (found.status_code, found.headers["Location"]) == (303, f"/approvals/{case.approval.id}")
    by_command = Identity(iss="urn:idp", sub="ann", aud=("a",), exp=1e12)
    await world.parts.store.call(Store.decide, other.approval.id, State.GRANTED, by_command, "go", world.clock())
    here, there = [(await state_of(world, each)).approval for each in (case, other)]
    assert replace(here, id="", digest="") == replace(there, id="", digest="")
    assert (here.state, here.approver, here.note) == (State.GRANTED, "urn:idp#ann", "go")
    assert "granted" in await ann.get(f"/approvals/{case.approval.id}")


async def test_a_denial_says_why_and_revokes(world: World, person: SignedIn) -> None:
    case, ann = await asked(world), await person("admins")
    page = f"/approvals/{case.approval.id}"
    assert (await ann.send(page, decision="deny", note=" ")).status_code == 400
    assert (await ann.send(page, decision="deny", note="x" * 1001)).status_code == 400
    assert (await ann.send(page, decision="approve")).status_code == 303
    assert (await ann.send(page, decision="deny", note="not\x1bnow")).status_code == 303
    after = (await state_of(world, case)).approval
    assert (after.state, after.note) == (State.DENIED, "not\\x1bnow")
    text = await ann.get(page)
    assert "Deny" not in text and "Approve" not in text


async def test_approved_for_a_session_and_revoked(world: World, person: SignedIn) -> None:
    offer = Offer(reuse=Reuse.MINUTES, max_seconds=900)
    case, ann = await asked(world, offer=offer, shape="s", container=HOSTILE), await person("approvers")
    page = f"/approvals/{case.approval.id}"
    shown = await ann.get(page)
    assert "Approve for this session, 15 minutes" in shown and "Approve for this caller, 15 minutes" in shown
    assert "without asking again: create pods/exec default/web in container \\x1b[2J" in shown
    for wrong in ({"reuse": "always"}, {"reuse": "session", "seconds": "x"}):
        assert (await ann.send(page, decision="approve", **wrong)).status_code == 400
    assert (await ann.send(page, decision="approve", reuse="session", seconds="901")).status_code == 403
    assert (await ann.send(page, decision="revoke", note="x")).status_code == 409
    assert (await ann.send(page, decision="approve", reuse="session", seconds="900")).status_code == 303
    assert (await state_of(world, case)).approval.state is State.STANDING
    assert "Revoke" in await ann.get(page)
    assert "Revoke" not in await (await person("viewers")).get(page)
    inbox = await ann.get("/")
    listed = inbox[inbox.index("Approvals that stand") :]
    assert "Inbox (0)" in inbox and page in listed and "for this session, used 0 times" in listed
    assert (await ann.send(page, decision="revoke")).status_code == 400
    assert (await ann.send(page, decision="revoke", note="over")).status_code == 303
    assert (await state_of(world, case)).approval.state is State.REVOKED
    assert "Approvals that stand" not in await ann.get("/")


async def test_without_a_rule_that_allows_it_nothing_more_is_offered(world: World, person: SignedIn) -> None:
    case, ann = await asked(world), await person("approvers")
    page = f"/approvals/{case.approval.id}"
    assert "Approve for" not in await ann.get(page)
    assert (await ann.send(page, decision="approve", reuse="session", seconds="60")).status_code == 403
    assert (await state_of(world, case)).approval.state is State.PENDING


async def test_two_people_and_what_was_decided_before(world: World, person: SignedIn) -> None:
    before = await asked(world, "e", requester_sub=HOSTILE)
    ann, bob = await person("approvers"), await person("approvers", "oncall", sub="bob")
    assert (await ann.send(f"/approvals/{before.approval.id}", decision="deny", note="not yet")).status_code == 303
    case = await asked(world, needed=(Needed(rule="r", groups=("oncall", "approvers"), count=2),))
    page = f"/approvals/{case.approval.id}"
    assert "denied by urn:idp#ann: not yet [default/web -- ls for \\x1b[2J\\u202e&lt;script&gt;" in await ann.get(page)
    assert (await ann.send(page, decision="approve")).status_code == 303
    assert (await state_of(world, case)).approval.state is State.PENDING
    assert "1 of 2 of oncall or approvers, by urn:idp#ann" in await bob.get(page)
    assert "1 of 2 of oncall or approvers" in await bob.get("/")
    assert (await ann.send(page, decision="approve")).status_code == 403
    assert (await bob.send(page, decision="approve")).status_code == 303
    assert (await state_of(world, case)).approval.approver == "urn:idp#ann, urn:idp#bob"


@pytest.mark.parametrize(
    ("groups", "who", "status"),
    [
        pytest.param(("viewers",), {}, 403, id="a viewer"),
        pytest.param(("others",), {}, 403, id="no role"),
        pytest.param(("approvers",), {"iss": "urn:idp", "sub": "agent"}, 403, id="who asks"),
        pytest.param(("approvers",), {"sub": "bot"}, 403, id="who acts"),
        pytest.param(("approvers", "team-x"), {}, 403, id="whose agent it is"),
        pytest.param(("admins",), {"sub": "bob"}, 303, id="somebody else"),
    ],
)
async def test_who_decides(
    world: World, person: SignedIn, groups: tuple[str, ...], who: dict[str, str], status: int
) -> None:
    mine = {"requester_iss": "urn:idp", "requester_act": "bot", "requester_owner": "team-x"}
    case = await asked(world, **mine)
    request = await wished(world, iss="urn:idp", act="bot", owner="team-x", approvers=("approvers", "admins"))
    someone = await person(*groups, **who)
    for page in (f"/approvals/{case.approval.id}", f"/grants/{request.id}"):
        shown = (await someone.browser.get(page)).text
        assert (">Approve</button>" in shown) is (status == 303)
        form = {"decision": "approve"}
        if "others" in groups:
            csrf = re.search(r'name="csrf" value="([^"]+)"', shown)
            assert csrf is not None
            form["csrf"] = csrf[1]
            found = await someone.browser.post(page, data=form, headers={"Origin": CONSOLE})
        else:
            found = await someone.send(page, **form)
        assert found.status_code == status, found.text
    assert ((await state_of(world, case)).approval.state is State.GRANTED) is (status == 303)


async def test_the_rules_own_approvers_decide_on_access(world: World, person: SignedIn) -> None:
    request = await wished(world, approvers=("leads",))
    found = await (await person("approvers")).send(f"/grants/{request.id}", decision="approve")
    assert (found.status_code, "only members of these groups decide: leads" in found.text) == (403, True)


async def test_access_is_approved_and_revoked(world: World, person: SignedIn) -> None:
    request = await wished(world)
    ann, bob = await person("approvers"), await person("viewers", sub="bob")
    page = f"/grants/{request.id}"
    assert request.id in await bob.get("/grants")
    assert (await ann.send(page, decision="approve", note="ok")).status_code == 303
    after = await world.parts.store.call(access_request, request.id)
    assert after == access.approve(request, Identity(iss="urn:idp", sub="ann", aud=(), exp=0, groups=("approvers",)),
                                   "ok", world.clock())  # fmt: skip
    assert "approved by urn:idp#ann: ok" in await bob.get(page)
    assert (await bob.send(page, decision="revoke", note="no")).status_code == 403
    assert (await ann.send(page, decision="revoke")).status_code == 400
    assert (await ann.send(page, decision="revoke", note="done")).status_code == 303
    assert (await world.parts.store.call(access_request, request.id)).state is access.State.REVOKED
    assert (await ann.send(page, decision="approve")).status_code == 409


async def test_access_is_denied(world: World, person: SignedIn) -> None:
    request = await wished(world)
    assert (await (await person("approvers")).send(f"/grants/{request.id}", decision="deny", note="no")).is_redirect
    assert (await world.parts.store.call(access_request, request.id)).state is access.State.DENIED


@pytest.mark.parametrize("path", ["/approvals/{}", "/grants/r2345678"])
async def test_what_is_late_or_unclear_changes_nothing(world: World, person: SignedIn, path: str) -> None:
    case, _ = await asked(world), await wished(world)
    ann, page = await person("approvers"), path.format(case.approval.id)
    for decision in ("", "grant", "consume"):
        assert (await ann.send(page, decision=decision)).status_code == 400
    world.clock.now += 900
    late = await ann.send(page, decision="approve")
    assert (late.status_code, "Too late" in late.text) == (409, True)
    assert (await state_of(world, case)).approval.state is State.PENDING


@pytest.mark.parametrize("kind", ["approvals", "grants", "sessions", "locks"])
async def test_there_is_nothing_of_this_id(world: World, person: SignedIn, kind: str) -> None:
    ann = await person("admins")
    if kind in ("approvals", "grants"):
        assert "nothing of this id" in await ann.get(f"/{kind}/nothing", 404)
    fields = {"decision": "approve", "note": "x"}
    assert (await ann.send(f"/{kind}/nothing", **fields)).status_code == 404


@pytest.mark.parametrize(
    ("csrf", "origin"),
    [
        pytest.param(None, CONSOLE, id="no token"),
        pytest.param("", CONSOLE, id="an empty token"),
        pytest.param("x" * 43, CONSOLE, id="another token"),
        pytest.param("other", CONSOLE, id="another session's token"),
        pytest.param("mine", "https://evil.example", id="a foreign page"),
        pytest.param("mine", "null", id="a page without an origin"),
        pytest.param("mine", None, id="no origin"),
    ],
)
async def test_a_form_counts_from_its_own_page_only(
    world: World, person: SignedIn, csrf: str | None, origin: str | None
) -> None:
    case, ann, bob = await asked(world), await person("admins"), await person("admins", sub="bob")
    known = {"mine": await ann.csrf(), "other": await bob.csrf()}
    fields = {"decision": "approve"} | ({} if csrf is None else {"csrf": known.get(csrf, csrf)})
    headers = {"Origin": origin} if origin else {}
    for path in (f"/approvals/{case.approval.id}", "/sign-out", "/locks/x", "/grants/x", "/sessions/x"):
        assert (await ann.browser.post(path, data=fields, headers=headers)).status_code == 403
    assert (await state_of(world, case)).approval.state is State.PENDING
    await ann.get("/")


async def test_reading_changes_nothing(world: World, person: SignedIn) -> None:
    case, ann = await asked(world), await person("admins")
    query = f"?decision=approve&csrf={await ann.csrf()}"
    await ann.get(f"/approvals/{case.approval.id}{query}")
    assert (await state_of(world, case)).approval.state is State.PENDING
    assert (await ann.browser.get(f"/sign-out{query}")).status_code == 405


async def test_so_many_forms_in_a_minute(world: World, person: SignedIn) -> None:
    ann = await person("admins")
    found = [(await ann.send("/approvals/x", decision="approve")).status_code for _ in range(32)]
    assert found == [404] * 30 + [429] * 2
    world.clock.now += 60
    assert (await ann.send("/approvals/x", decision="approve")).status_code == 404


async def test_without_the_store_nothing_is_shown(
    world: World, person: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await person("admins")
    csrf = await ann.csrf()

    async def away(*_: object) -> None:
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(world.parts.store, "call", away)
    for path in ("/", "/approvals/x", "/grants", "/grants/x", "/sessions", "/locks", "/rules", "/identities"):
        assert "the store is away" in await ann.get(path, 503)
    form = {"csrf": csrf, "decision": "approve"}
    for path in ("/approvals/x", "/grants/x", "/locks/x"):
        assert (await ann.browser.post(path, data=form, headers={"Origin": CONSOLE})).status_code == 503


async def test_locks(world: World, person: SignedIn) -> None:
    lock = Lock(id="l2345678", subject="agent", reason=HOSTILE, made_by="user root", made_at=world.clock())
    await world.parts.store.call(add_lock, lock)
    admin, approver = await person("admins"), await person("approvers", sub="bob")
    assert "Lift l2345678" in await admin.get("/locks") and "Lift" not in await approver.get("/locks")
    assert (await approver.send("/locks/l2345678")).status_code == 403
    assert (await admin.send("/locks/l2345678")).status_code == 303
    assert await world.parts.store.call(locks) == []
    assert (await admin.send("/locks/l2345678")).status_code == 404


async def test_sessions_are_listed_and_locked(world: World, person: SignedIn, tmp_path: Path) -> None:
    world.parts.state = tmp_path
    admin, approver = await person("admins"), await person("approvers", sub="bob")
    assert "There is none yet" in await admin.get("/sessions")
    for name in ("s1", "s2"):
        folder = tmp_path / "sessions" / name
        folder.mkdir(parents=True)
        about = {"identity": {"sub": "agent"}, "connection": "prod", "intent": HOSTILE}
        (folder / "session.json").write_text(json.dumps(about))
    assert "Lock session s1, because" in await admin.get("/sessions")
    assert ">Lock</button>" not in await approver.get("/sessions")
    assert (await approver.send("/sessions/s1", note="x")).status_code == 403
    assert (await admin.send("/sessions/s1")).status_code == 400
    assert (await admin.send("/sessions/s", note="x")).status_code == 404
    assert (await admin.send("/sessions/s1", note="gone wild")).status_code == 303
    (lock,) = await world.parts.store.call(locks)
    assert (lock.session, lock.subject, lock.connection, lock.reason) == ("s1", "", "", "gone wild")
    assert lock.made_by == "urn:idp#ann"


async def test_who_is_locked_decides_nothing(world: World, person: SignedIn) -> None:
    ann = await person("admins")
    csrf = await ann.csrf()
    await world.parts.store.call(add_lock, Lock(id="l", subject="ann", reason="r", made_by="b", made_at=1))
    assert "locked you" in await ann.get("/", 403)
    found = await ann.browser.post("/locks/l", data={"csrf": csrf}, headers={"Origin": CONSOLE})
    assert found.status_code == 403
    await (await person("viewers", sub="bob")).get("/")


async def test_a_session_ends(world: World, person: SignedIn) -> None:
    ann = await person("viewers")
    for _ in range(LONGEST_SECONDS // (IDLE_SECONDS - 1)):
        world.clock.now += IDLE_SECONDS - 1
        await ann.get("/")
    world.clock.now += IDLE_SECONDS - 1
    assert (await ann.browser.get("/")).status_code == 303, "its age"
    bob = await person("viewers", exp=world.clock() + 60)
    world.clock.now += 60
    assert (await bob.browser.get("/")).status_code == 303, "the identity"


async def test_a_page_that_loads_itself_keeps_nobody_signed_in(world: World, person: SignedIn) -> None:
    ann = await person("viewers")
    for _ in range(IDLE_SECONDS // 60 - 1):
        world.clock.now += 60
        await ann.get("/?watch")
    world.clock.now += 60
    assert (await ann.browser.get("/?watch")).status_code == 303


async def test_signing_out(world: World, person: SignedIn) -> None:
    ann = await person("viewers")
    session = ann.browser.cookies[COOKIE]
    found = await ann.send("/sign-out")
    assert (found.status_code, "Signed out" in found.text) == (200, True)
    assert f'{COOKIE}=""; ' in found.headers["Set-Cookie"] and "Secure" in found.headers["Set-Cookie"]
    assert (await world.client.get("/", cookies={COOKIE: session})).status_code == 303


async def test_sessions_are_bounded(world: World, person: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [await person("viewers") for _ in range(9)]
    assert [(await each.browser.get("/")).status_code for each in people] == [303, *[200] * 8]
    monkeypatch.setattr("addons.console.people.MOST_SESSIONS", 8)
    bob = await person("viewers", sub="bob")
    assert [(await each.browser.get("/")).status_code for each in (*people[1:3], bob)] == [303, 200, 200]
