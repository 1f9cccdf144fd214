"""What the console works with: the policy's part that is about identity, its own key, the store, what is under way."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from addons.console.pending import Pending
from addons.console.people import Page, People
from addons.console.sealed import Sealed
from addons.core.console import Console
from addons.core.identity import Identity
from addons.core.problem import InvalidConfiguration, Problem
from addons.edge.decided import Desk
from addons.edge.fingerprint_key import fingerprint_key
from addons.edge.notify_secrets import check_secrets
from addons.edge.notify_senders import Senders
from addons.edge.oidc import Verifier
from addons.edge.possession import Possession
from addons.edge.session_tokens import KEY_FILE, Signer
from addons.edge.store_thread import StoreThread
from addons.policy import Policy, load_policy
from addons.settings import Settings
from addons.stores import open_store

SIGN_IN_SECONDS = 600
CODE_SECONDS = 60
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Of codes that people type: no vowels, so no words. Source: RFC 8628, section 6.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """Where a browser goes with its code after signing in, and what the code is redeemed with."""

    redirect_uri: str
    state: str
    nonce: str
    challenge: str


@dataclass(slots=True, kw_only=True)
class Device:
    """A device that waits for its user to sign in somewhere else."""

    user_code: str = ""
    asked_at: float = float("-inf")
    identity: Identity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """A sign-in under way at a SAML provider, for a browser, a device (its `device_code`) or the console's pages."""

    provider: str
    back: Return | str | Page


@dataclass(slots=True, kw_only=True)
class Parts:
    """Everything the endpoints use. `policy` is replaced by a reload."""

    policy: Policy
    verifier: Verifier
    """For the other providers' tokens; the console's own, its signer verifies."""
    signer: Signer
    store: StoreThread
    key: bytes
    """Of this gateway alone; nobody else can tell what it was used on."""
    now: Callable[[], float] = time.time
    state: Path = Path("state")
    """The folder of recordings."""
    audit_key_file: Path | None = None
    """That of the audit log's key, if it is not beside it."""
    senders: Senders = field(init=False, default_factory=Senders)
    people: People = field(init=False)
    possession: Possession = field(init=False)
    sign_ins: Sealed[SignIn] = field(init=False)
    codes: Pending[tuple[Return, Identity]] = field(init=False)
    devices: Pending[Device] = field(init=False)
    user_codes: Pending[str] = field(init=False)

    def __post_init__(self) -> None:
        self.possession = Possession(self.now)
        self.sign_ins = Sealed(SignIn, SIGN_IN_SECONDS, self.now)
        self.codes = Pending(CODE_SECONDS, self.now)
        self.devices = Pending(SIGN_IN_SECONDS, self.now)
        self.user_codes = Pending(SIGN_IN_SECONDS, self.now, _user_code)
        self.people = People(self.now, SIGN_IN_SECONDS)

    @property
    def console(self) -> Console:
        """What the rules say of the console. Raises LookupError when they say nothing any more."""
        if self.policy.trust.console is None:
            raise LookupError("the rules say nothing of a console any more")
        return self.policy.trust.console

    @property
    def desk(self) -> Desk:
        """Where people decide."""
        return Desk(state=self.state, key_file=self.audit_key_file, name="console")

    async def replace(self, policy: Policy) -> list[str]:
        """Go by another policy from now on; the providers whose keys could not be fetched."""
        issuers, unreachable = await self.verifier.prepare_for(policy.trust.providers)
        self.verifier.use(issuers)
        self.policy = policy
        return unreachable

    async def close(self) -> None:
        """Close what was opened."""
        await self.senders.close()
        await self.verifier.close()
        self.store.close()

    def url(self, path: str) -> str:
        """The address of one of the console's endpoints, as it is reached from outside."""
        return f"{self.console.url.rstrip('/')}{path}"


def load(settings: Settings) -> Policy:
    """The policy, which must have a console. Raises InvalidConfiguration."""
    policy = load_policy(settings.rules, fingerprint_key(Path(settings.state)), datetime.now(UTC))
    if policy.trust.console is None:
        why = "no Console document in any rules folder: see rules/identity/console.yaml.example"
        raise InvalidConfiguration([Problem(settings.rules[0], 0, why)])
    if problems := check_secrets(policy.channels):
        raise InvalidConfiguration(problems)
    return policy


def make_parts(settings: Settings, policy: Policy) -> Parts:
    """One of everything, opened. Needs a running loop. Raises InvalidConfiguration."""
    state = Path(settings.state)
    try:
        signer = Signer(state)
    except (OSError, ValueError) as error:
        raise InvalidConfiguration([Problem(str(state / KEY_FILE), 0, f"cannot be used: {error}")]) from error
    return Parts(
        policy=policy,
        verifier=Verifier(policy.trust.providers, time.monotonic),
        signer=signer,
        key=fingerprint_key(state),
        store=StoreThread(open_store(settings)),
        state=state,
        audit_key_file=settings.audit_key_file,
    )


def _user_code() -> str:
    letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
