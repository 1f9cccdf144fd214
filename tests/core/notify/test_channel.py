from __future__ import annotations

from dataclasses import dataclass

import pytest

from addons.core.documents import Document, parse_documents
from addons.core.notify.channel import Channel, Person, Slack, Webhook, compile_notifications

WEBHOOK = "webhook: {url: 'https://pager.example/x', secretFile: pager}"
PERSON = "{identityProvider: corp, subject: alice}"
SLACK = f"slack: {{channel: C12, botTokenFile: /t, signingSecretFile: s, people: {{U12: {PERSON}}}}}"
OTHER = "apiVersion: chaperone/v1\nkind: Access\nmetadata: {name: x}\nspec: {}\n"


@dataclass(frozen=True)
class Provider:
    name: str = "corp"
    issuer: str = "https://corp.example"


def documents(*specs: str, names: tuple[str, ...] = ("a", "b")) -> list[Document]:
    text = "\n---\n".join(
        f"apiVersion: chaperone/v1\nkind: Notification\nmetadata: {{name: {name}}}\nspec: {{{spec}}}"
        for name, spec in zip(names, specs, strict=False)
    )
    found, problems = parse_documents(f"{OTHER}---\n{text}", "rules/notify/n.yaml")
    assert not problems
    return found


def compiled(
    *specs: str, names: tuple[str, ...] = ("a", "b"), console: bool = True
) -> tuple[tuple[Channel, ...], list[str]]:
    vouchers = [Provider()]
    channels, problems = compile_notifications(documents(*specs, names=names), ["prod"], vouchers, console=console)  # type: ignore[arg-type]
    return channels, [f"{problem.line}: {problem.message}" for problem in problems]


def test_every_field_and_its_default() -> None:
    channels, problems = compiled(f"{WEBHOOK}, for: {{connections: [prod]}}", SLACK)
    assert problems == []
    first, second = channels
    assert (first.name, first.connections) == ("a", ("prod",))
    assert first.place == Webhook(url="https://pager.example/x", secret_file="rules/notify/pager", callback=False)
    assert list(first.secrets.values()) == [("spec", "webhook", "secretFile")]
    assert second.connections is None
    assert second.place == Slack(
        channel="C12",
        bot_token_file="/t",
        signing_secret_file="rules/notify/s",
        people={"U12": Person(issuer="https://corp.example", subject="alice")},
        api_url="https://slack.com/api",
    )
    assert list(second.secrets) == ["/t", "rules/notify/s"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("", "name webhook or slack"),
        (f"{WEBHOOK}, {SLACK}", "name webhook or slack"),
        ("webhook: {url: 'http://pager.example', secretFile: s}", "must be an https:// URL"),
        ("webhook: {url: 'https://pager.example/?sig=secret', secretFile: s}", "must be an https:// URL"),
        ("webhook: {url: 'https://pager.example'}", "webhook.secretFile: Field required"),
        ("webhook: {url: 'https://pager.example', secretFile: s, secret: x}", "webhook.secret: Extra inputs"),
        (SLACK.replace("U12", "alice"), "not the id of a Slack user"),
        (SLACK.replace("C12", "'#general'"), "slack.channel"),
        (SLACK.replace("corp", "nobody"), "there is no provider nobody"),
        (f"{WEBHOOK}, for: {{connections: [prod, test]}}", "there is no connection test"),
        (f"{WEBHOOK}, for: {{connections: []}}", "for.connections"),
    ],
)
def test_mistakes_have_their_line(spec: str, problem: str) -> None:
    _, problems = compiled(spec)
    assert len(problems) == 1
    assert problem in problems[0] and problems[0].startswith("9: ")


@pytest.mark.parametrize("name", ["'A'", "a/b", "'..'", "'-a'", "a" * 64, "'a b'"])
def test_a_name_is_part_of_an_address(name: str) -> None:
    assert "part of an address" in compiled(WEBHOOK, names=(name,))[1][0]


def test_a_name_twice_and_no_console() -> None:
    channels, problems = compiled(WEBHOOK, SLACK, names=("a", "a"))
    assert ("two are named a" in problems[0], len(channels)) == (True, 1)
    assert "a Console document is missing" in compiled(WEBHOOK, console=False)[1][0]
