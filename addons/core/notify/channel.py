"""Where questions are announced and answered resolve_paths the command line: the `Notification` documents.

Secrets are in files that the documents name, never in them: `edge/notify_secrets.py` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from addons.core.connection import resolve_path
from addons.core.documents import Document, SpecModel, validate
from addons.core.identity_provider import Text, Url
from addons.core.problem import Problem
from addons.core.saml_provider import Voucher

KIND = "Notification"
SLACK_API = "https://slack.com/api"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_SLACK_USER = re.compile(r"[UW][A-Z0-9]{2,30}")
_RELATIVE = "a relative path is taken from the folder of this file"


def _slack_users[T](people: dict[str, T]) -> dict[str, T]:
    if wrong := [each for each in people if _SLACK_USER.fullmatch(each) is None]:
        raise ValueError(f"not the id of a Slack user (such as U024BE7LH): {', '.join(sorted(wrong))}")
    return people


class ForSpec(SpecModel):
    """Which questions it is about."""

    connections: Annotated[list[Text], Field(min_length=1)] = Field(description="those about these clusters")


class WebhookSpec(SpecModel):
    """A service that is told, and may pass on what somebody has decided."""

    url: Url = Field(description="where questions are posted to")
    secret_file: Text = Field(
        description="file with the shared secret of the signatures, 16 characters or more; while it changes, two lines:"
        f" the first signs, each is accepted; {_RELATIVE}"
    )
    callback: bool = Field(default=False, description="whether answers are taken at `/approvals/webhook/NAME`")


class PersonSpec(SpecModel):
    """Who somebody in Slack is."""

    identity_provider: Text = Field(description="name of the provider who otherwise vouches for this person")
    subject: Text = Field(description="their subject there, exactly as approvals name it")
    groups: list[Text] = Field(default=[], description="the groups they are in")
    email: Text | None = Field(default=None, description="their e-mail address, where agents name their owner by it")


class SlackSpec(SpecModel):
    """A channel in Slack, with buttons."""

    channel: Annotated[str, StringConstraints(pattern=r"^[CGD][A-Z0-9]{2,30}$")] = Field(
        description="id of the channel"
    )
    bot_token_file: Text = Field(description=f"file with the bot's token (`xoxb-…`, scope `chat:write`); {_RELATIVE}")
    signing_secret_file: Text = Field(description=f"file with the signing secret of the Slack app; {_RELATIVE}")
    people: Annotated[dict[str, PersonSpec], AfterValidator(_slack_users)] = Field(
        default={}, description="by Slack user id, who may answer there, and who they are; without any, no buttons"
    )
    api_url: Url = Field(default=SLACK_API, description="Slack's API; another one only for tests")


class NotificationSpec(SpecModel):
    """A place where questions are announced, and answered by those who prove who they are."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["webhook"]}, {"required": ["slack"]}]})

    webhook: WebhookSpec | None = None
    slack: SlackSpec | None = None
    for_: ForSpec | None = Field(default=None, alias="for", description="which questions; left out, all")

    @model_validator(mode="after")
    def _one_place(self) -> NotificationSpec:
        if (self.webhook is None) == (self.slack is None):
            raise ValueError("name webhook or slack, one of them")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A `webhook`; paths are as the process opens them."""

    url: str
    secret_file: str
    callback: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who a Slack user is; `issuer` is that of the provider who vouches for them."""

    issuer: str
    subject: str
    groups: tuple[str, ...] = ()
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """A `slack`; paths are as the process opens them."""

    channel: str
    bot_token_file: str
    signing_secret_file: str
    people: Mapping[str, Person]
    api_url: str = SLACK_API


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A `Notification` document. `connections` None: questions about all of them."""

    name: str
    place: Webhook | Slack
    connections: tuple[str, ...] | None = None
    document: Document = field(compare=False, repr=False)

    @property
    def secrets(self) -> Mapping[str, tuple[str, ...]]:
        """Its secret files, each with the key that names it."""
        if isinstance(self.place, Webhook):
            return {self.place.secret_file: ("spec", "webhook", "secretFile")}
        return {
            self.place.bot_token_file: ("spec", "slack", "botTokenFile"),
            self.place.signing_secret_file: ("spec", "slack", "signingSecretFile"),
        }


def compile_notifications(
    documents: Iterable[Document], connections: Iterable[str], vouchers: Sequence[Voucher], *, console: bool
) -> tuple[tuple[Channel, ...], list[Problem]]:
    """Every channel, and every mistake: a name twice, a connection or a provider that nobody knows, no console."""
    channels: dict[str, Channel] = {}
    problems: list[Problem] = []
    for document in documents:
        if document.kind != KIND:
            continue
        spec, mistakes = validate(document, NotificationSpec)
        problems += [*mistakes, *_misnamed(document, channels)]
        if not console:
            problems.append(document.problem(("kind",), "the console announces: a Console document is missing"))
        if spec is not None:
            problems += _unknown(document, spec, set(connections), {each.name for each in vouchers})
            issuers = {each.name: each.issuer for each in vouchers}
            channels.setdefault(document.name, _channel(document, spec, issuers))
    return tuple(channels.values()), problems


def _misnamed(document: Document, channels: Mapping[str, Channel]) -> list[Problem]:
    where = ("metadata", "name")
    if _NAME.fullmatch(document.name) is None:
        return [document.problem(where, "the name is part of an address: a-z, 0-9, '-' and '.', at most 63")]
    return [document.problem(where, f"two are named {document.name}")] if document.name in channels else []


def _unknown(document: Document, spec: NotificationSpec, connections: set[str], providers: set[str]) -> list[Problem]:
    named = spec.for_.connections if spec.for_ else []
    people = spec.slack.people if spec.slack else {}
    return [
        *(
            document.problem(("spec", "for", "connections", index), f"there is no connection {name}")
            for index, name in enumerate(named)
            if name not in connections
        ),
        *(
            document.problem(
                ("spec", "slack", "people", user, "identityProvider"), f"there is no provider {each.identity_provider}"
            )
            for user, each in people.items()
            if each.identity_provider not in providers
        ),
    ]


def _channel(document: Document, spec: NotificationSpec, issuers: Mapping[str, str]) -> Channel:
    connections = tuple(spec.for_.connections) if spec.for_ else None
    place = _webhook(document, spec.webhook) if spec.webhook else _slack(document, spec.slack, issuers)
    return Channel(name=document.name, place=place, connections=connections, document=document)


def _webhook(document: Document, spec: WebhookSpec) -> Webhook:
    return Webhook(url=spec.url, secret_file=resolve_path(document.file, spec.secret_file), callback=spec.callback)


def _slack(document: Document, spec: SlackSpec | None, issuers: Mapping[str, str]) -> Slack:
    assert spec is not None
    return Slack(
        channel=spec.channel,
        bot_token_file=resolve_path(document.file, spec.bot_token_file),
        signing_secret_file=resolve_path(document.file, spec.signing_secret_file),
        people={user: _person(each, issuers) for user, each in spec.people.items()},
        api_url=spec.api_url.rstrip("/"),
    )


def _person(spec: PersonSpec, issuers: Mapping[str, str]) -> Person:
    issuer = issuers.get(spec.identity_provider, "")
    return Person(issuer=issuer, subject=spec.subject, groups=tuple(spec.groups), email=spec.email or "")
