"""Answers from elsewhere: what decides, and everything that must not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from addons.core.approval import Case, State
from addons.core.approval_terms import Needed
from addons.core.lock import Lock
from addons.edge.lock_store import add_lock
from addons.edge.revocation_store import add_revocation
from tests.console.consoles import BOT_TOKEN, SECRET, SIGNING, URL, Bench, bench
from tests.support.issuer import RSA_2, Issuer, issuer
from tests.support.receiver import Receiver, receiver, slack_api


@pytest.fixture
def idp() -> Any:
    with issuer() as found:
        yield found


@pytest.fixture
def slack() -> Any:
    with receiver(slack_api) as found:
        yield found


@pytest.fixture
async def console(tmp_path: Path, idp: Issuer, slack: Receiver) -> AsyncIterator[Bench]:
    urls = dict.fromkeys(("pager", "silent", "other", "chat"), slack.url)
    async with bench(tmp_path, idp, urls) as found:
        yield found


def state(console: Bench, case: Case) -> State:
    return console.store.get(case.approval.id).approval.state


async def test_a_person_approves(console: Bench) -> None:
    case = console.ask()
    answer = await console.post(console.answer(case, note="looks\x1b fine"))
    who = f"{console.idp.url}#oncall@example.com"
    said = {"id": case.approval.id, "state": "granted", "approver": who, "agreed": ""}
    assert (answer.status_code, answer.json()) == (200, said)
    after = console.store.get(case.approval.id).approval
    assert (after.state, after.approver, after.note) == (State.GRANTED, who, r"looks\x1b fine")


async def test_a_person_denies_and_says_why(console: Bench) -> None:
    case = console.ask()
    answer = await console.post(console.answer(case, decision="deny", note="read the logs"))
    assert (answer.status_code, answer.json()["state"]) == (200, "denied")
    assert console.store.get(case.approval.id).approval.note == "read the logs"


async def test_a_session_token_of_a_person_counts(console: Bench) -> None:
    case = console.ask()
    token = session_token(console)
    answer = await console.post(console.answer(case, token=token))
    assert answer.status_code == 200, answer.text
    assert answer.json()["approver"] == f"{console.idp.url}#dave"


def session_token(console: Bench, **claims: Any) -> str:
    now = int(time.time())
    origin = {"iss": console.idp.url, "sub": "dave"}
    said = {"iss": URL, "aud": "chaperone", "sub": "dave", "iat": now, "exp": now + 60, "jti": "j", "sid": "sid-1"}
    return console.parts.signer.sign(said | {"origin": origin} | claims)


REFUSED: list[Any] = [
    pytest.param({"secret": "another-secret-0123456789"}, {}, 401, "bad_signature", id="another secret"),
    pytest.param({"secret": SIGNING}, {}, 401, "bad_signature", id="the secret of another channel"),
    pytest.param({"away": -301}, {}, 401, "bad_signature", id="old"),
    pytest.param({"away": 360}, {}, 401, "bad_signature", id="from the future"),
    pytest.param({"headers": {"X-Chaperone-Signature": ""}}, {}, 401, "bad_signature", id="no signature"),
    pytest.param({"headers": {"X-Chaperone-Timestamp": ""}}, {}, 401, "bad_signature", id="no timestamp"),
    pytest.param({"channel": "unknown"}, {}, 404, "unknown_channel", id="unknown channel"),
    pytest.param({"channel": "silent"}, {}, 404, "unknown_channel", id="takes no answers"),
    pytest.param({"channel": "chat"}, {}, 404, "unknown_channel", id="not a webhook"),
    pytest.param({"channel": "other"}, {}, 404, "unknown_approval", id="was not told of it"),
    pytest.param({}, {"id": "zzzzzzzz"}, 404, "unknown_approval", id="unknown approval"),
    pytest.param({}, {"digest": "0" * 64}, 409, "conflict", id="another digest"),
    pytest.param({}, {"digest": "digest-1"}, 409, "conflict", id="the stored digest"),
    pytest.param({}, {"token": None}, 400, "invalid_request", id="the shared secret alone"),
    pytest.param({}, {"token": SECRET}, 401, "invalid_token", id="the secret as token"),
    pytest.param({}, {"decision": "deny"}, 400, "invalid_request", id="a denial without a note"),
    pytest.param({}, {"approver": "oncall"}, 400, "invalid_request", id="who decides is not said but proven"),
]


@pytest.mark.parametrize(("how", "changes", "status", "error"), REFUSED)
async def test_what_decides_nothing(
    how: dict[str, Any], changes: dict[str, Any], status: int, error: str, console: Bench
) -> None:
    case = console.ask()
    if "away" in how:
        how = {"at": console.now() + how["away"]}
    answer = await console.post(console.answer(case, **changes), **how)
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert answer.json()["message"]
    assert state(console, case) is State.PENDING


@pytest.mark.parametrize(
    ("who", "status", "why"),
    [
        pytest.param({"sub": "agent-7"}, 403, "their own request", id="the requester"),
        pytest.param({"sub": "bot"}, 403, "their own request", id="who acts for it"),
        pytest.param({"sub": "x", "email": "Carol@example.com"}, 403, "owner of an agent", id="the owner"),
        pytest.param({"sub": "x", "groups": ["carol@example.com"]}, 403, "owner of an agent", id="the owning team"),
        pytest.param({"sub": "x", "act": {"sub": "y"}}, 403, "on someone's behalf", id="on behalf"),
        pytest.param({"sub": "x", "exp": 1}, 401, "expired", id="expired"),
        pytest.param({"sub": "x", "aud": "another"}, 401, "aud", id="for somebody else"),
        pytest.param({"sub": "x", "iss": "https://evil.example"}, 401, "issuer", id="unknown issuer"),
        pytest.param({"sub": "x", "key": RSA_2}, 401, "signature", id="another key"),
    ],
)
async def test_who_decides_nothing(who: dict[str, Any], status: int, why: str, console: Bench) -> None:
    case = console.ask()
    answer = await console.post(console.answer(case, token=console.token(**who)))
    assert (answer.status_code, why in answer.text) == (status, True), answer.text
    assert state(console, case) is State.PENDING


@pytest.mark.parametrize("claims", [{"connection": "prod"}, {"intent": "INC-7"}, {"cnf": {"jkt": "k"}}])
async def test_a_token_that_is_bound_to_anything_decides_nothing(claims: dict[str, Any], console: Bench) -> None:
    case = console.ask()
    answer = await console.post(console.answer(case, token=session_token(console, **claims)))
    assert (answer.status_code, "sign in yourself" in answer.text) == (403, True)
    assert state(console, case) is State.PENDING


async def test_a_token_for_one_place_is_not_passed_on(console: Bench) -> None:
    case = console.ask()
    trust = console.parts.policy.trust
    providers = tuple(replace(each, single_use=True) for each in trust.providers)
    console.parts.policy = replace(console.parts.policy, trust=replace(trust, providers=providers))
    answer = await console.post(console.answer(case))
    assert (answer.status_code, "for one place only" in answer.text) == (403, True)
    assert state(console, case) is State.PENDING


async def test_who_is_locked_out_or_signed_out_decides_nothing(console: Bench) -> None:
    case, now = console.ask(), time.time()
    add_lock(console.store, Lock(id="l1", subject="oncall@example.com", reason="r", made_by="m", made_at=now))
    add_lock(console.store, Lock(id="l2", connection="prod", reason="r", made_by="m", made_at=now))
    add_revocation(console.store, "sid-1", "dave", now, now + 60)
    for token in (console.token(), session_token(console)):
        answer = await console.post(console.answer(case, token=token))
        assert (answer.status_code, "locked out, or signed out" in answer.text) == (403, True)
    assert state(console, case) is State.PENDING
    assert (await console.post(console.answer(case, token=console.token("erin")))).status_code == 200


async def test_each_signature_counts_once(console: Bench) -> None:
    case, other, at = console.ask(), console.ask(), console.now()
    refused = console.answer(case, token="no.token.here")
    assert (await console.post(refused, at=at)).status_code == 401
    assert (await console.post(refused, at=at)).json()["error"] == "replayed"
    good = console.answer(case)
    assert (await console.post(good, at=at)).status_code == 200
    for channel in ("pager", "other"):
        again = await console.post(good, at=at, channel=channel)
        assert (again.status_code, again.json()["error"]) == (409, "replayed")
    assert (await console.post(good, at=at + 1)).json()["error"] == "conflict"
    assert state(console, other) is State.PENDING


async def test_what_is_over(console: Bench) -> None:
    case, late = console.ask(), console.ask()
    assert (await console.post(console.answer(case, decision="deny", note="n"))).status_code == 200
    again = await console.post(console.answer(case))
    assert (again.status_code, again.json()["error"]) == (409, "conflict")
    console.moved = 901
    expired = await console.post(console.answer(late, token=console.idp.sign(console.now(), sub="x")))
    assert (expired.status_code, expired.json()["error"]) == (410, "expired")


async def test_what_cannot_be_judged_is_refused(console: Bench) -> None:
    case = console.ask()
    assert (await console.post(b"x" * 70_000)).status_code == 413
    console.idp.answers.clear()
    answer = await console.post(console.answer(case))
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    (console.folder / "secret").unlink()
    answer = await console.post(console.answer(case))
    assert (answer.status_code, "nothing can be verified" in answer.text) == (503, True)
    assert state(console, case) is State.PENDING


@pytest.mark.parametrize("table", ["used_signatures", "locks", "approvals"])
async def test_without_the_store_nothing_is_decided(table: str, console: Bench) -> None:
    case = console.ask()
    with console.store.writing() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO gone"))
    for answer in (await console.post(console.answer(case)), await console.click(case)):
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    with console.store.writing() as connection:
        connection.execute(sa.text(f"ALTER TABLE gone RENAME TO {table}"))
    assert state(console, case) is State.PENDING


async def test_while_a_secret_changes_both_count(console: Bench) -> None:
    (console.folder / "secret").write_text(f"new-secret-0123456789\n{SECRET}\n")
    for secret in (SECRET, "new-secret-0123456789"):
        assert (await console.post(console.answer(console.ask()), secret=secret)).status_code == 200


async def test_a_click_approves(console: Bench, slack: Receiver) -> None:
    case = console.ask()
    answer = await console.click(case)
    assert (answer.status_code, answer.json()) == (200, {})
    after = console.store.get(case.approval.id).approval
    assert (after.state, after.approver, after.note) == (State.GRANTED, f"{console.idp.url}#alice", "")
    assert slack.sent == []


async def test_where_others_have_to_agree_whoever_answers_is_told(console: Bench, slack: Receiver) -> None:
    case = console.ask(needed=(Needed(rule="exec-needs-approval", count=3),))
    said = (await console.click(case)).json()["text"]
    assert said.startswith("Yours counts; others have to agree, too: 1 of 3, by ")
    assert [each.path for each in slack.sent] == ["/api/chat.postEphemeral"]
    answer = (await console.post(console.answer(case))).json()
    assert (answer["state"], answer["agreed"][:6]) == ("pending", "2 of 3")
    assert state(console, case) is State.PENDING


async def test_a_click_denies(console: Bench) -> None:
    case = console.ask()
    await console.click(case, action="chaperone_deny")
    after = console.store.get(case.approval.id).approval
    assert (after.state, after.note) == (State.DENIED, "denied in Slack by alice")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"user": "USTRANGER"}, "your Slack user is not among"),
        ({"user": "UAGENT"}, "nobody approves their own request"),
        ({"user": "UCAROL"}, "the owner of an agent does not approve"),
        ({"digest": "0" * 64}, "decide on what you were shown"),
        ({"id": "zzzzzzzz"}, "no such approval"),
    ],
)
async def test_whose_click_does_not_count_is_told_alone(
    how: dict[str, Any], why: str, console: Bench, slack: Receiver
) -> None:
    case = console.ask()
    answer = await console.click(case, **how)
    assert (answer.status_code, why in answer.json()["text"]) == (200, True)
    assert state(console, case) is State.PENDING
    (sent,) = slack.sent
    assert sent.path == "/api/chat.postEphemeral"
    assert (sent.document["user"], sent.document["channel"]) == (how.get("user", "UALICE"), "C12")
    assert why in sent.document["text"]


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"secret": SECRET}, 401),
        ({"secret": BOT_TOKEN}, 401),
        ({"away": -301}, 401),
        ({"away": 360}, 401),
        ({"channel": "pager"}, 404),
        ({"channel": "unknown"}, 404),
        ({"payload": {"type": "view_submission"}}, 400),
    ],
)
async def test_what_slack_did_not_say(how: dict[str, Any], status: int, console: Bench, slack: Receiver) -> None:
    case = console.ask()
    if "away" in how:
        how = {"at": console.now() + how["away"]}
    assert (await console.click(case, **how)).status_code == status
    assert state(console, case) is State.PENDING
    assert slack.sent == []


async def test_a_click_counts_once(console: Bench) -> None:
    case, at = console.ask(), console.now()
    assert (await console.click(case, at=at)).status_code == 200
    again = await console.click(case, at=at)
    assert (again.status_code, again.json()["error"]) == (409, "replayed")
    second = await console.click(case, at=at + 1)
    assert "granted already" in second.json()["text"]


async def test_slack_that_does_not_listen_changes_nothing(console: Bench, slack: Receiver) -> None:
    slack.answer = lambda _: (500, {}, b"")
    case = console.ask()
    assert (await console.click(case, user="USTRANGER")).status_code == 200
    assert state(console, case) is State.PENDING


async def test_no_secret_and_no_token_is_logged_or_answered(console: Bench) -> None:
    case, token = console.ask(), console.token()
    expired = console.token(exp=1)
    hidden = [SECRET, SIGNING, BOT_TOKEN, *token.split("."), *expired.split(".")]
    with structlog.testing.capture_logs() as logged:
        answers = [
            await console.post(console.answer(case, token=expired)),
            await console.post(console.answer(case, **{token: 1})),
            await console.post(console.answer(case, digest=token)),
            await console.post(console.answer(case, token=token), secret=token),
            await console.post(console.answer(case, token=token)),
            await console.click(case, user="USTRANGER"),
            await console.click(case, secret=token),
        ]
    said = str(logged) + "".join(answer.text for answer in answers)
    assert "approval decided" in said and "answer refused" in said
    assert [each for each in hidden if each in said and each != token.split(".")[0]] == []
