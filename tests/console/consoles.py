"""A console without a process of its own: its application, its notifier, a real store, and a real provider's tokens."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import httpx

from addons.console.app import make_app
from addons.console.parts import Parts
from addons.core.approval import Ask, Case
from addons.core.console import Console
from addons.core.documents import Document
from addons.core.notify import signature
from addons.core.notify.channel import Channel, Person, Slack, Webhook
from addons.core.trust import Trust
from addons.edge.oidc import Verifier
from addons.edge.schema import approvals_url
from addons.edge.session_tokens import Signer
from addons.edge.store import Store
from addons.edge.store_thread import StoreThread
from addons.policy import Policy
from tests.support.issuer import Issuer, provider

SECRET, BOT_TOKEN, SIGNING = "pager-secret-0123456789", "xoxb-0123456789-abcdef", "slack-signing-0123456789"
URL = "http://console.test"
KEY = b"fingerprint"


@dataclass
class Bench:
    """`now` is the console's clock: real time, moved by `moved` seconds."""

    parts: Parts
    http: httpx.AsyncClient
    idp: Issuer
    folder: Path
    store: Store
    moved: float = 0.0
    counted: int = field(default=0)

    def now(self) -> float:
        """The console's time."""
        return time.time() + self.moved

    def ask(self, **changes: Any) -> Case:
        """A new question, of an agent of carol's."""
        self.counted += 1
        values: dict[str, Any] = {
            "requester_iss": self.idp.url, "requester_sub": "agent-7", "requester_act": "bot", "connection": "prod",
            "requester_owner": "carol@example.com", "session": "s1", "verb": "connect", "resource": "pods/exec",
            "namespace": "shop", "name": "web-1", "argv": ("id",), "method": "CONNECT", "target": "/x",
            "rule": "exec-needs-approval", "risk": 60, "reason": "runs code", "intent": "INC-7",
        }  # fmt: skip
        return self.store.claim(f"digest-{self.counted}", Ask(**values | changes), self.now())

    def token(self, sub: str = "oncall@example.com", **claims: Any) -> str:
        """A token of somebody."""
        return self.idp.sign(time.time(), sub=sub, **claims)

    def answer(self, case: Case, **changes: Any) -> dict[str, Any]:
        """What a receiver posts to approve."""
        digest = signature.opaque(KEY, case.approval.digest)
        good = {"id": case.approval.id, "digest": digest, "decision": "approve", "token": self.token()}
        return {name: value for name, value in (good | changes).items() if value is not None}

    async def post(self, answer: Any, channel: str = "pager", secret: str = SECRET, **how: Any) -> httpx.Response:
        """An answer by webhook; `how`: `at`, another time; `headers`."""
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        stamp = int(how.get("at", self.now()))
        headers = {
            signature.TIMESTAMP_HEADER: str(stamp),
            signature.SIGNATURE_HEADER: signature.sign(secret.encode(), stamp, body),
            **how.get("headers", {}),
        }
        return await self.http.post(f"/approvals/webhook/{channel}", content=body, headers=headers)

    async def click(
        self, case: Case, user: str = "UALICE", action: str = "chaperone_approve", **how: Any
    ) -> httpx.Response:
        """A click in Slack; `how`: `secret`, `at`, `digest`, `channel`, `payload`."""
        digest = how.get("digest", signature.opaque(KEY, case.approval.digest))
        value = json.dumps({"id": how.get("id", case.approval.id), "digest": digest})
        payload = {"type": "block_actions", "user": {"id": user}, "actions": [{"action_id": action, "value": value}]}
        body = urlencode({"payload": json.dumps(how.get("payload", payload))}).encode()
        stamp = int(how.get("at", self.now()))
        signed = signature.slack_sign(how.get("secret", SIGNING).encode(), stamp, body)
        headers = {signature.SLACK_TIMESTAMP_HEADER: str(stamp), signature.SLACK_SIGNATURE_HEADER: signed}
        return await self.http.post(f"/approvals/slack/{how.get('channel', 'chat')}", content=body, headers=headers)


def channels(folder: Path, idp: Issuer, urls: Mapping[str, str]) -> tuple[Channel, ...]:
    """A webhook for each address, by name, and Slack where the name is `chat`; their secrets are written."""
    for name, text in (("secret", SECRET), ("bot", BOT_TOKEN), ("signing", SIGNING)):
        (folder / name).write_text(text)
    people = {
        "UALICE": Person(issuer=idp.url, subject="alice", groups=("oncall",), email="alice@example.com"),
        "UAGENT": Person(issuer=idp.url, subject="agent-7"),
        "UCAROL": Person(issuer=idp.url, subject="c-1", email="carol@example.com"),
    }
    files = {"bot_token_file": str(folder / "bot"), "signing_secret_file": str(folder / "signing")}
    return tuple(
        Channel(
            name=name,
            place=Slack(channel="C12", **files, people=people, api_url=f"{url}/api")
            if name == "chat"
            else Webhook(url=f"{url}/hook", secret_file=str(folder / "secret"), callback=name != "silent"),
            connections=("test",) if name == "other" else None,
            document=Document("Notification", name, {}, "n.yaml", 1, {}),
        )
        for name, url in urls.items()
    )


@asynccontextmanager
async def bench(folder: Path, idp: Issuer, urls: Mapping[str, str]) -> AsyncIterator[Bench]:
    """Run one."""
    found: Bench
    console = Console(name="console", url=URL, audience="chaperone", longest_seconds=600)
    nothing = cast(Any, None)
    policy = Policy(
        version="1",
        connections={},
        trust=Trust(providers=(provider(idp.url, owner="owner"),), console=console),
        access=nothing,
        guardrails=nothing,
        masker=nothing,
        channels=channels(folder, idp, urls),
    )
    parts = Parts(
        policy=policy,
        verifier=Verifier(policy.trust.providers, time.monotonic),
        signer=Signer(folder),
        store=StoreThread(Store(approvals_url(folder))),
        key=KEY,
        now=lambda: found.now(),
        state=folder,
    )
    transport = httpx.ASGITransport(app=make_app(parts), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as http:
        found = Bench(parts=parts, http=http, idp=idp, folder=folder, store=Store(approvals_url(folder)))
        yield found
    await parts.close()
    found.store.close()
