"""What the commands for people need of a configured gateway: its store, its evidence, and who is asking.

The libraries for either are imported when it is asked for: a command that lists sessions needs no database.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from addons.core.problem import InvalidConfiguration
from addons.settings import Settings, load_settings

if TYPE_CHECKING:
    from addons.core.identity import Identity
    from addons.edge.decided import Desk
    from addons.edge.store import Store


@dataclass(frozen=True, slots=True)
class Operator:
    """A gateway as its configuration file describes it; it need not be running."""

    settings: Settings

    @property
    def state(self) -> Path:
        """The folder of approvals and recordings."""
        return Path(self.settings.state)

    @property
    def desk(self) -> Desk:
        """Where this command decides."""
        from addons.edge.decided import Desk

        return Desk(state=self.state, key_file=self.settings.audit_key_file, name="command")

    def open_store(self) -> Store:
        """The approvals. Raises StoreUnavailable."""
        from addons.stores import open_store

        return open_store(self.settings)

    def console_url(self) -> str:
        """Where the console is reached; "" where the rules say nothing of one, or cannot be read as a whole."""
        from addons.core.trust import compile_trust
        from addons.edge.rulefiles import read_rules

        documents, problems = read_rules(self.settings.rules)
        trust, found = compile_trust(documents)
        return "" if problems or found or trust.console is None else trust.console.url

    def verify(self, token: str) -> Identity:
        """Who a token speaks for, by the same rules agents are judged by. Raises RejectedToken, KeysUnavailable."""
        from addons.core.claims import RejectedToken
        from addons.core.session_token import Binding, bound_to
        from addons.core.trust import compile_trust
        from addons.edge.oidc import Verifier
        from addons.edge.rulefiles import read_rules

        documents, problems = read_rules(self.settings.rules)
        trust, found = compile_trust(documents)
        if problems or found:
            raise InvalidConfiguration([*problems, *found])

        async def verified() -> Identity:
            verifier = Verifier(trust.issuers, time.monotonic)
            try:
                return await verifier.verify(token, time.time())
            finally:
                await verifier.close()

        identity = asyncio.run(verified())
        if bound_to(identity) != Binding():
            raise RejectedToken("it is bound to a connection, an intent or a key: sign in yourself")
        return identity


def operator(conf: Path) -> Operator:
    """The operator of the gateway that `conf` configures. Raises InvalidConfiguration."""
    return Operator(load_settings(conf))
