"""What is sent, over real HTTP: signed, bounded, and nothing of it in errors. Slack's API is a stand-in for Slack."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from addons.core.documents import Document
from addons.core.notify import signature
from addons.core.notify.channel import Channel, Slack, Webhook
from addons.edge import post
from addons.edge.notify_secrets import UnusableSecret, check_secrets, read_secrets
from addons.edge.notify_senders import Senders
from addons.edge.post import NotSent
from tests.support.receiver import Receiver, receiver, slack_api

NOW = 1_800_000_000.5
SECRET, TOKEN = "k" * 32, "xoxb-0123456789-abcdef"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
async def senders() -> AsyncIterator[Senders]:
    found = Senders()
    yield found
    await found.close()


@pytest.fixture
def place(hook: Receiver, tmp_path: Path) -> Webhook:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    return Webhook(url=f"{hook.url}/hook", secret_file=str(tmp_path / "secret"), callback=True)


@pytest.fixture
def slack(hook: Receiver, tmp_path: Path) -> Slack:
    hook.answer = slack_api
    (tmp_path / "token").write_text(TOKEN)
    return Slack(
        channel="C1",
        bot_token_file=str(tmp_path / "token"),
        signing_secret_file="unused",
        people={},
        api_url=f"{hook.url}/api",
    )


async def test_a_webhook_is_signed(hook: Receiver, senders: Senders, place: Webhook) -> None:
    await senders.webhook(place, {"a": "ü\n"}, NOW)
    (sent,) = hook.sent
    assert (sent.path, sent.document) == ("/hook", {"a": "ü\n"})
    stamp, signed = sent.headers["x-chaperone-timestamp"], sent.headers["x-chaperone-signature"]
    signature.check((SECRET.encode(),), stamp, signed, sent.body, NOW)


async def test_slack_is_asked_with_the_bots_token(hook: Receiver, senders: Senders, slack: Slack) -> None:
    answer = await senders.slack(slack, "chat.postMessage", {"channel": "C1", "text": "t"})
    assert (answer["ok"], hook.sent[0].path, hook.sent[0].headers["authorization"]) == (
        True,
        "/api/chat.postMessage",
        f"Bearer {TOKEN}",
    )


@pytest.mark.parametrize(
    ("answer", "why", "wait"),
    [
        ((500, {}, b"secret words"), "status 500", 0),
        ((302, {"Location": "/elsewhere"}, b""), "status 302", 0),
        ((429, {"Retry-After": "7"}, b""), "status 429", 7),
        ((429, {"Retry-After": "999999"}, b""), "status 429", 120),
        ((429, {"Retry-After": "soon"}, b""), "status 429", 0),
        ((200, {}, b"x" * 300_000), "more than", 0),
    ],
)
async def test_what_did_not_arrive(
    answer: Any, why: str, wait: float, hook: Receiver, senders: Senders, place: Webhook
) -> None:
    hook.answer = lambda _: answer
    with pytest.raises(NotSent, match=why) as error:
        await senders.webhook(place, {"a": 1}, NOW)
    assert error.value.wait == wait
    assert len(hook.sent) == 1
    for hidden in (SECRET, "secret words", hook.url):
        assert hidden not in str(error.value)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b'{"ok":false,"error":"channel_not_found"}', "Slack says channel_not_found"),
        (b'{"ok":false,"error":"<b>"}', "Slack says no"),
        (b'{"ok":false}', "Slack says no"),
        (b"[]", "Slack says no"),
        (b"<html>", "did not answer with JSON"),
        (b"\xff", "did not answer with JSON"),
    ],
)
async def test_what_slack_refuses(answer: bytes, why: str, hook: Receiver, senders: Senders, slack: Slack) -> None:
    hook.answer = lambda _: (200, {}, answer)
    with pytest.raises(NotSent, match=why):
        await senders.slack(slack, "chat.postMessage", {})


async def test_nobody_there_nobody_who_answers_and_no_secret(
    hook: Receiver, senders: Senders, place: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = Webhook(url="http://127.0.0.1:1/", secret_file=place.secret_file, callback=False)
    with pytest.raises(NotSent, match="could not be reached: ConnectError"):
        await senders.webhook(nobody, {}, NOW)
    monkeypatch.setattr(post, "SEND_SECONDS", 0.0)
    with pytest.raises(NotSent, match="no answer within"):
        await senders.webhook(place, {}, NOW)
    with pytest.raises(NotSent, match="cannot be read"):
        await senders.webhook(replace(place, secret_file="/nowhere"), {}, NOW)


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"k" * 32 + b"\nshort", "ü".encode() * 20])
def test_what_is_no_secret(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(UnusableSecret, match="16 characters"):
        read_secrets(str(tmp_path / "secret"))
    assert read_secrets_of(tmp_path, b"k" * 16 + b"\r\n" + b"o" * 20 + b"\n") == (b"k" * 16, b"o" * 20)


def read_secrets_of(folder: Path, content: bytes) -> tuple[bytes, ...]:
    (folder / "secret").write_bytes(content)
    return read_secrets(str(folder / "secret"))


def test_a_missing_secret_is_a_mistake_at_its_line(tmp_path: Path) -> None:
    key = ("spec", "webhook", "secretFile")
    document = Document("Notification", "n", {}, "notify.yaml", 1, {key: 7})
    place = Webhook(url="https://x", secret_file=str(tmp_path / "none"), callback=False)
    (problem,) = check_secrets([Channel(name="n", place=place, document=document)])
    assert (problem.file, problem.line) == ("notify.yaml", 7)
    assert problem.message.startswith("webhook.secretFile: ") and "cannot be read" in problem.message
    assert json.dumps(problem.message)
