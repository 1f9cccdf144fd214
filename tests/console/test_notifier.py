"""Channels are told: soon, once, whatever becomes of other channels, and of how it ended. Slack's API is a stand-in."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from addons.console import notifier as module
from addons.console.notifier import Notifier
from addons.core.approval import State
from addons.core.approval_terms import Needed
from addons.core.identity import Identity
from addons.core.notify import event, signature
from addons.core.notify.outbox import LEASE_SECONDS, MAX_TRIES
from addons.edge.notify_store import take
from tests.console.consoles import BOT_TOKEN, SECRET, SIGNING, Bench, bench
from tests.support.issuer import Issuer, issuer
from tests.support.receiver import Answer, Receiver, Sent, ok, receiver, slack_api

NOBODY = "http://127.0.0.1:1"
BOB = Identity(iss="https://idp", sub="bob", aud=("gw",), exp=2e9)


@pytest.fixture
def idp() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


@pytest.fixture
def pager() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def slack() -> Iterator[Receiver]:
    with receiver(slack_api) as found:
        yield found


@contextlib.asynccontextmanager
async def notifying(console: Bench) -> AsyncIterator[None]:
    notifier = Notifier(console.parts)
    running = asyncio.ensure_future(notifier.run())
    try:
        yield
    finally:
        running.cancel()
        await notifier.close()


async def until(true: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def test_told_soon_and_once_and_of_the_end(tmp_path: Path, idp: Issuer, pager: Receiver) -> None:
    async with bench(tmp_path, idp, {"pager": pager.url}) as console, notifying(console):
        delays = []
        for number in range(8):
            case = console.ask()
            await until(lambda count=number + 1: len(pager.sent) >= count)  # type: ignore[misc]
            delays.append(pager.sent[-1].at - case.approval.asked_at)
        assert statistics.median(delays) <= 0.5 and max(delays) <= 2, delays
        console.store.decide(case.approval.id, State.DENIED, BOB, "no", console.now())
        await until(lambda: len(pager.sent) == 9)
        await asyncio.sleep(3 * module.POLL_SECONDS)
        assert len(pager.sent) == 9
        first, last = pager.sent[-2].document, pager.sent[-1].document
        assert (first["event"], first["digest"]) == (
            "requested",
            signature.opaque(b"fingerprint", case.approval.digest),
        )
        assert first["decide"]["url"] == "http://console.test/approvals/webhook/pager"
        assert (last["event"], last["decision"]["decision"], last["decision"]["note"]) == ("decided", "deny", "no")
        stamp, signed = (pager.sent[-1].headers[f"x-chaperone-{name}"] for name in ("timestamp", "signature"))
        signature.check((SECRET.encode(),), stamp, signed, pager.sent[-1].body, time.time())


async def test_what_nobody_answers_is_told_as_expired(tmp_path: Path, idp: Issuer, pager: Receiver) -> None:
    async with bench(tmp_path, idp, {"silent": pager.url}) as console, notifying(console):
        case = console.ask()
        await until(lambda: pager.sent)
        assert pager.sent[0].document["decide"]["url"] == ""
        console.moved = 901
        await until(lambda: len(pager.sent) == 2)
        assert pager.events(case.approval.id) == ["requested", "expired"]


async def test_a_message_in_slack_is_changed_when_it_is_decided(tmp_path: Path, idp: Issuer, slack: Receiver) -> None:
    async with bench(tmp_path, idp, {"chat": slack.url}) as console, notifying(console):
        case = console.ask(reason="<!channel> & *bold*")
        await until(lambda: slack.sent)
        assert slack.sent[0].path == "/api/chat.postMessage"
        assert "&lt;!channel&gt; &amp; *bold*" in slack.sent[0].body.decode()
        assert (await console.click(case)).status_code == 200
        await until(lambda: len(slack.sent) == 2)
        change = slack.sent[1].document
        assert slack.sent[1].path == "/api/chat.update"
        assert (change["ts"], change["channel"]) == (f"{slack.sent[0].at:.6f}", "C12")
        assert "Approved by" in str(change["blocks"]) and "chaperone_approve" not in str(change["blocks"])


async def test_a_message_in_slack_says_who_has_agreed_so_far(tmp_path: Path, idp: Issuer, slack: Receiver) -> None:
    async with bench(tmp_path, idp, {"chat": slack.url}) as console, notifying(console):
        case = console.ask(needed=(Needed(rule="exec", count=2),))
        await until(lambda: slack.sent)
        console.store.decide(case.approval.id, State.GRANTED, BOB, "", console.now())
        await until(lambda: len(slack.sent) == 2)
        first, change = slack.sent
        assert (change.path, change.document["ts"]) == ("/api/chat.update", f"{first.at:.6f}")
        assert BOB.username in str(change.document["blocks"]) and BOB.username not in str(first.document["blocks"])
        assert "chaperone_approve" in str(change.document["blocks"]), "it is still open"


async def test_dead_channels_delay_no_other(tmp_path: Path, idp: Issuer, pager: Receiver) -> None:
    def slowly(sent: Sent) -> Answer:
        time.sleep(3)
        return ok(sent)

    with receiver(slowly) as slow, receiver(lambda _: (500, {}, b"")) as broken:
        urls = {"a-slow": slow.url, "b-nobody": NOBODY, "c-broken": broken.url, "pager": pager.url}
        async with bench(tmp_path, idp, urls) as console, notifying(console):
            began = time.time()
            for _ in range(20):
                console.ask()
            await until(lambda: len(pager.sent) == 20, 8)
            assert max(sent.at for sent in pager.sent) - began < 6
            await until(lambda: len(broken.sent) >= 21)


async def test_trouble_is_logged_tried_again_and_given_up(
    tmp_path: Path, idp: Issuer, pager: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "retry_at", lambda now, *_: now)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    pager.answer = lambda _: (500, {}, SECRET.encode())
    with structlog.testing.capture_logs() as logged:
        async with bench(tmp_path, idp, {"pager": pager.url}) as console, notifying(console):
            case = console.ask()
            await until(lambda: any(each["event"] == "notification given up" for each in logged))
            assert len(pager.sent) == MAX_TRIES
            assert console.store.get(case.approval.id).approval.state is State.PENDING
            pager.answer = ok
            console.store.decide(case.approval.id, State.GRANTED, BOB, "", console.now())
            await until(lambda: len(pager.sent) > MAX_TRIES)
    assert pager.events(case.approval.id)[-1] == "decided"
    assert {each["log_level"] for each in logged if each["event"] == "notification not sent"} == {"warning"}
    assert [each for each in (SECRET, SIGNING, BOT_TOKEN, pager.url) if each in str(logged)] == []


async def test_who_wants_to_be_left_alone_is(tmp_path: Path, idp: Issuer, slack: Receiver) -> None:
    answers = iter([(429, {"Retry-After": "1"}, b"")])
    slack.answer = lambda sent: next(answers, None) or slack_api(sent)
    async with bench(tmp_path, idp, {"chat": slack.url}) as console, notifying(console):
        for _ in range(3):
            console.ask()
        await until(lambda: len(slack.sent) == 4)
    assert slack.sent[1].at - slack.sent[0].at >= 1
    assert len({sent.document["text"] for sent in slack.sent}) == 1


async def test_several_consoles_tell_once(tmp_path: Path, idp: Issuer, pager: Receiver) -> None:
    urls = {"pager": pager.url}
    one, two = bench(tmp_path, idp, urls), bench(tmp_path, idp, urls)
    async with one as console, two as other, notifying(console), notifying(other), notifying(other):
        cases = [console.ask() for _ in range(30)]
        await until(lambda: len(pager.sent) >= 30)
        for case in cases:
            console.store.decide(case.approval.id, State.GRANTED, BOB, "", console.now())
        await until(lambda: len(pager.sent) >= 60)
        await asyncio.sleep(3 * module.POLL_SECONDS)
    told = [(sent.document["id"], sent.document["event"]) for sent in pager.sent]
    assert len(told) == len(set(told)) == 60


async def test_a_restart_neither_repeats_nor_loses_one(tmp_path: Path, idp: Issuer, pager: Receiver) -> None:
    urls = {"pager": pager.url}
    async with bench(tmp_path, idp, urls) as console:
        async with notifying(console):
            told = console.ask()
            await until(lambda: pager.sent)
        between = console.ask()
        died = Notifier(console.parts)  # takes, and never sends
        await console.parts.store.call(take, console.parts.policy.channels[0], 1, console.now() - 60)
        await died.close()
        async with notifying(console):
            await asyncio.sleep(0.1)
            console.moved = LEASE_SECONDS
            await until(lambda: len(pager.sent) >= 2)
            await asyncio.sleep(3 * module.POLL_SECONDS)
    assert [sent.document["id"] for sent in pager.sent] == [told.approval.id, between.approval.id]


async def test_without_the_store_it_waits_and_says_so_once(tmp_path: Path, idp: Issuer, pager: Receiver) -> None:
    with structlog.testing.capture_logs() as logged:
        async with bench(tmp_path, idp, {"pager": pager.url}) as console, notifying(console):
            with console.store.writing() as connection:
                connection.execute(sa.text("ALTER TABLE notifications RENAME TO gone"))
            await until(lambda: logged)
            await asyncio.sleep(3 * module.POLL_SECONDS)
            assert [each["event"] for each in logged] == ["notifications wait: the store cannot be used"]
            with console.store.writing() as connection:
                connection.execute(sa.text("ALTER TABLE gone RENAME TO notifications"))
            console.ask()
            await until(lambda: pager.sent)


async def test_what_nobody_has_foreseen_ends_nothing(
    tmp_path: Path, idp: Issuer, pager: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = event.document, []

    def broken(*arguments: Any) -> Any:
        seen.append(arguments)
        if len(seen) == 1:
            raise RuntimeError(SECRET)
        return real(*arguments)

    monkeypatch.setattr(event, "document", broken)
    with structlog.testing.capture_logs() as logged:
        async with bench(tmp_path, idp, {"pager": pager.url}) as console, notifying(console):
            console.ask()
            await until(lambda: seen)
            console.ask()
            await until(lambda: pager.sent)
    assert {"event": "notifications failed", "error": "RuntimeError", "log_level": "error"} in logged
    assert SECRET not in str(logged)


async def test_what_is_under_way_at_the_end_is_finished(tmp_path: Path, idp: Issuer) -> None:
    def slowly(sent: Sent) -> Answer:
        time.sleep(0.5)
        return ok(sent)

    with receiver(slowly) as slow:
        async with bench(tmp_path, idp, {"pager": slow.url}) as console:
            async with notifying(console):
                console.ask()
                await until(lambda: slow.sent)
            async with notifying(console):
                console.moved = LEASE_SECONDS + 1
                await asyncio.sleep(3 * module.POLL_SECONDS)
        assert len(slow.sent) == 1
