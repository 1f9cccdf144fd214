"""The REST API: who is heard, what they may do, that it has the effect of the pages, and how it refuses."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from addons.console.api.faults import MAX_BODY
from addons.core.approval import State
from addons.core.approval_terms import Needed, Offer, Reuse
from addons.core.lock import Lock
from addons.core.throttle import Throttle
from addons.edge.lock_store import add_lock, locks
from addons.edge.store import StoreUnavailable
from addons.policy import Policy
from scripts import openapi
from tests.console.conftest import CONSOLE, World
from tests.console.test_pages import COOKIE, HOSTILE, Person, SignedIn, asked, person, policy, state_of, wished

__all__ = ["person", "policy"]  # fixtures
READS = ["approvals", "grants", "sessions", "locks", "rules", "connections", "identities"]
CHANGES = [
    ("approver", "approvals/x/approve", {}), ("approver", "approvals/x/deny", {"reason": "r"}),
    ("approver", "grants/x/approve", {}), ("approver", "grants/x/deny", {"reason": "r"}),
    ("approver", "grants/x/revoke", {"reason": "r"}), ("admin", "sessions/x/kill", {"reason": "r"}),
    ("admin", "locks", {"reason": "r", "subject": "s"}), ("admin", "locks/x/lift", None),
]  # fmt: skip
LEVELS = ["nobody", "viewer", "approver", "admin"]


def bearer(world: World, group: str = "admins", **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.token(**{'sub': 'ann', 'groups': [group], **claims})}"}


async def call(world: World, path: str, body: Any = None, method: str = "POST", **headers: str) -> httpx.Response:
    return await world.client.request(method, f"/api/v1/{path}", json=body, headers=headers)


def refused(answer: httpx.Response, status: int, why: str = "") -> None:
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["status"] == status and why in answer.json()["detail"], answer.text


@pytest.mark.parametrize("level", LEVELS)
async def test_what_each_role_may_do(world: World, level: str) -> None:
    headers = bearer(world, f"{level}s")
    for path in READS:
        found = await call(world, path, method="GET", **headers)
        assert (found.status_code, level) == (403 if level == "nobody" else 200, level)
    for needed, path, body in CHANGES:
        found = await call(world, path, body, **headers)
        allowed = LEVELS.index(level) >= LEVELS.index(needed)
        assert (found.status_code in (404, 200)) == allowed and (found.status_code == 403) != allowed, (
            path,
            found.text,
        )


@pytest.mark.parametrize(
    ("claims", "status", "why"),
    [
        pytest.param({"act": {"sub": "robot"}}, 403, "an agent", id="B-03 an agent for a person"),
        pytest.param({"groups": ["g"]}, 403, "with the role", id="B-81 an agent"),
        pytest.param({"aud": "another"}, 401, "refused", id="meant for somebody else"),
        pytest.param({"exp": 1}, 401, "refused", id="expired"),
        pytest.param({"cnf": {"jkt": "x"}}, 403, "bound", id="bound to a key"),
    ],
)
async def test_tokens_that_are_not_heard(world: World, claims: dict[str, Any], status: int, why: str) -> None:
    for method, path in (("GET", "approvals"), ("POST", "approvals/x/approve")):
        refused(await call(world, path, {}, method, **bearer(world, **claims)), status, why)


async def test_a_token_that_is_bound_is_not_heard(world: World) -> None:
    token = await world.exchanged(world.token(groups=["admins"]), audience="prod")
    refused(await call(world, "approvals", method="GET", Authorization=f"Bearer {token}"), 403, "bound")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "bearer \xe9"])
async def test_headers_that_say_nothing(world: World, header: str) -> None:
    found = await world.client.get("/api/v1/approvals", headers=[(b"Authorization", header.encode("latin-1"))])
    refused(found, 401)
    assert found.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_cookie_counts_from_the_pages_with_their_secret(world: World, person: SignedIn) -> None:
    ann: Person = await person("admins")
    assert (await ann.browser.get("/api/v1/approvals")).status_code == 200
    case, good = await asked(world), {"Origin": CONSOLE, "X-CSRF-Token": await ann.csrf()}
    path = f"/api/v1/approvals/{case.approval.id}/approve"
    for wrong in ({"Origin": "https://evil.example"}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": ""}, {"Origin": "null"}):
        refused(await ann.browser.post(path, json={}, headers=good | wrong), 403)
    for missing in good:
        sent = {name: value for name, value in good.items() if name != missing}
        refused(await ann.browser.post(path, json={}, headers=sent), 403)
    assert (await state_of(world, case)).approval.state == State.PENDING
    assert (await ann.browser.post(path, json={}, headers=good)).json()["state"] == "granted"


async def test_with_a_token_the_cookie_says_nothing(world: World, person: SignedIn) -> None:
    ann: Person = await person("admins")
    refused(await ann.browser.get("/api/v1/approvals", headers=bearer(world, "nobodys")), 403)
    refused(await world.client.get("/api/v1/approvals", headers={"Cookie": f"{COOKIE}={world.token()}"}), 401)


async def test_approvals(world: World) -> None:
    first, second = await asked(world, "a", intent=HOSTILE), await asked(world, "b")
    found = (await call(world, "approvals?state=pending&limit=1", method="GET", **bearer(world))).json()
    assert (len(found["items"]), found["more"]) == (1, True)
    shown = (await call(world, f"approvals/{first.approval.id}", method="GET", **bearer(world))).json()
    assert (shown["intent"], shown["rule"], shown["risk"]) == (HOSTILE, "exec-needs-approval", 60)
    path = f"approvals/{first.approval.id}"
    done = await call(world, f"{path}/approve", {"note": "go on\x1b[2J"}, **bearer(world))
    assert (done.json()["state"], done.json()["note"]) == ("granted", "go on\\x1b[2J")
    assert done.json()["approver"] == f"{world.idp.url}#ann"
    refused(await call(world, f"{path}/approve", {}, **bearer(world)), 409)
    done = await call(world, f"{path}/deny", {"reason": "after all not"}, **bearer(world))
    assert done.json()["state"] == "denied"
    refused(await call(world, f"approvals/{second.approval.id}/deny", {"reason": " "}, **bearer(world)), 422)
    own = await asked(world, "c", requester_iss=world.idp.url, requester_sub="ann")
    refused(await call(world, f"approvals/{own.approval.id}/approve", {}, **bearer(world)), 403, "not for you")


async def test_an_approval_stands_as_far_as_its_rules_allow(world: World) -> None:
    session = {"reuse": "session", "seconds": 900}
    once = await asked(world, "a")
    refused(await call(world, f"approvals/{once.approval.id}/approve", session, **bearer(world)), 403, "not for you")
    for wrong in ({"reuse": "always"}, {"seconds": -1}, {"seconds": "9"}, {"reuse": "minutes", "seconds": 1e9}):
        refused(await call(world, f"approvals/{once.approval.id}/approve", wrong, **bearer(world)), 422)
    assert (await state_of(world, once)).approval.state is State.PENDING
    case = await asked(world, "b", offer=Offer(reuse=Reuse.SESSION, max_seconds=900), shape="s")
    path = f"approvals/{case.approval.id}"
    assert "for this session" in (await call(world, f"{path}/approve", session, **bearer(world))).json()["stands"]
    refused(await call(world, f"{path}/revoke", {}, **bearer(world)), 422)
    done = await call(world, f"{path}/revoke", {"reason": "over"}, **bearer(world))
    assert done.json()["state"] == "revoked" and done.json()["note"].endswith("#ann: over")
    refused(await call(world, f"approvals/{once.approval.id}/revoke", {"reason": "x"}, **bearer(world)), 409)


async def test_one_of_two(world: World) -> None:
    case = await asked(world, needed=(Needed(rule="r", count=2),))
    found = (await call(world, f"approvals/{case.approval.id}/approve", {}, **bearer(world))).json()
    assert (found["state"], found["agreed"].partition(",")[0]) == ("pending", "1 of 2")


async def test_grants(world: World) -> None:
    await wished(world)
    done = await call(world, "grants/r2345678/approve", {}, **bearer(world, "approvers"))
    assert (done.json()["state"], done.json()["approved_by"]) == ("granted", [f"{world.idp.url}#ann"])
    assert [each["id"] for each in (await call(world, "grants", method="GET", **bearer(world))).json()["items"]]
    done = await call(world, "grants/r2345678/revoke", {"reason": "enough"}, **bearer(world, "approvers"))
    assert done.json()["state"] == "revoked"
    refused(await call(world, "grants/r2345678/deny", {"reason": "x"}, **bearer(world, "approvers")), 409)


async def test_sessions_and_locks(world: World, tmp_path: Any) -> None:
    folder = tmp_path / "sessions" / "s-1"
    folder.mkdir(parents=True)
    (folder / "session.json").write_text(json.dumps({"connection": "prod", "identity": {"sub": "bot"}}))
    world.parts.state = tmp_path
    (shown,) = (await call(world, "sessions", method="GET", **bearer(world))).json()["items"]
    assert (shown["id"], shown["identity"]) == ("s-1", "bot")
    (who,) = (await call(world, "identities", method="GET", **bearer(world))).json()["items"]
    assert (who["subject"], who["sessions"], who["locked"]) == ("bot", 1, False)
    refused(await call(world, "sessions/s/kill", {"reason": "x"}, **bearer(world)), 404)
    done = await call(world, "sessions/s-1/kill", {"reason": "gone wild"}, **bearer(world))
    (lock,) = await world.parts.store.call(locks)
    assert (lock.session, lock.reason, done.json()["id"]) == ("s-1", "gone wild", lock.id)
    assert (await call(world, f"locks/{lock.id}/lift", **bearer(world))).status_code == 204
    assert (await call(world, "locks", method="GET", **bearer(world))).json()["items"] == []
    for nothing in ({}, {"subject": ""}, {"subject": " "}):
        refused(await call(world, "locks", {"reason": "x", **nothing}, **bearer(world)), 409, "Say what")
    refused(await call(world, "locks", {"reason": "x", "subject": "a\x00"}, **bearer(world)), 422)


async def test_whoever_is_locked_does_nothing(world: World) -> None:
    lock = Lock(id="l", subject="ann", reason="r", made_by="m", made_at=0.0)
    await world.parts.store.call(add_lock, lock)
    refused(await call(world, "approvals", method="GET", **bearer(world)), 403, "locked")


async def test_so_often_and_so_much(world: World) -> None:
    world.parts.people.asked, world.parts.people.sent = Throttle(2, 60), Throttle(1, 60)
    answers = [await call(world, "rules", method="GET", **bearer(world)) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429] and answers[2].headers["Retry-After"] == "60"
    world.clock.now += 60
    refused(await call(world, "approvals/x/approve", {"note": "x" * MAX_BODY}, **bearer(world)), 413)
    refused(await call(world, "approvals/x/approve", {}, **bearer(world)), 404)
    refused(await call(world, "approvals/x/approve", {}, **bearer(world)), 429)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_errors_are_problems(world: World, method: str) -> None:
    refused(await call(world, "approvals", {}, method, **bearer(world)), 405)
    refused(await call(world, "nothing", {}, "GET", **bearer(world)), 404)
    refused(await call(world, "approvals/UPPER", {}, "GET", **bearer(world)), 422)
    refused(await call(world, "approvals/x/approve", {"more": 1}, **bearer(world)), 422)


async def test_a_store_that_cannot_be_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise StoreUnavailable("the disk is gone")

    monkeypatch.setattr(world.parts.store, "call", broken)
    refused(await call(world, "approvals", method="GET", **bearer(world)), 503, "nothing was done")


async def test_the_description_is_for_people_and_in_the_documentation(world: World, policy: Policy) -> None:
    refused(await world.client.get("/api/openapi.json"), 401)
    found = (await world.client.get("/api/openapi.json", headers=bearer(world, "viewers"))).json()
    written = json.loads(openapi.PAGE.read_text())
    assert found | {"servers": []} == written | {"servers": []}
    assert openapi.PAGE.read_text() == openapi.text(), "write it anew: python -m scripts.openapi"
