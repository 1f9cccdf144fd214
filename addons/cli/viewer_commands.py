"""`chaperone.approve` and `chaperone.deny` in the viewer: the console's interface, with the operator's own sign-in.

Nothing else of the viewer reaches anything, and these reach no traffic: the console judges who decides what, as it does
for everybody. The id of an approval is in the comment of the flow that waits.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
from mitmproxy.command import CommandManager
from mitmproxy.exceptions import CommandError

from addons.core.printable import printable
from addons.edge.machine_trust import person_trust

_SECONDS = 10
_ID = re.compile(r"[0-9a-zA-Z]{1,16}")


class Decisions:
    """`token` gives the operator's, still good; raises OSError or ValueError. `console` is its address."""

    def __init__(self, console: str, token: Callable[[], str], transport: httpx.BaseTransport | None = None) -> None:
        self._console, self._token, self._transport = console.rstrip("/"), token, transport

    def register(self, commands: CommandManager) -> None:
        """From now on they can be typed."""
        commands.add("chaperone.approve", self.approve)
        commands.add("chaperone.deny", self.deny)

    def approve(self, approval: str, *note: str) -> str:
        """Let the request of this approval through, once."""
        return self._send(approval, "approve", {"note": " ".join(note)})

    def deny(self, approval: str, *note: str) -> str:
        """Refuse the request of this approval; the agent is told the note."""
        if not any(word.strip() for word in note):
            raise CommandError("say why: chaperone.deny ID NOTE (the agent is told)")
        return self._send(approval, "deny", {"reason": " ".join(note)})

    def _send(self, approval: str, decision: str, said: dict[str, str]) -> str:
        if _ID.fullmatch(approval) is None:
            raise CommandError("the id of an approval is in the comment of the flow that waits")
        try:
            answer = self._post(f"{approval}/{decision}", said)
            told = answer.json()
        except (OSError, ValueError) as error:
            raise CommandError(f"nothing was decided: {error}") from error
        except httpx.HTTPError as error:
            raise CommandError(f"the console at {self._console} does not answer: {error}") from error
        if not isinstance(told, dict) or answer.status_code != httpx.codes.OK:
            why = told.get("detail") if isinstance(told, dict) else ""
            raise CommandError(f"nothing was decided ({answer.status_code}): {printable(str(why))}")
        more = f" ({told['agreed']})" if told.get("agreed") else ""
        return printable(f"approval {told.get('id')} is {told.get('state')}{more}")

    def _post(self, path: str, content: dict[str, str]) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {self._token()}"}
        url, trust = f"{self._console}/api/v1/approvals/{path}", person_trust()
        with httpx.Client(verify=trust, timeout=_SECONDS, transport=self._transport, follow_redirects=False) as client:
            return client.post(url, json=content, headers=bearer)
