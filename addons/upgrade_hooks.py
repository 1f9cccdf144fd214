"""The events of an upgraded connection, for addons: `upgrade_start`, `upgrade_message`, `upgrade_end`.

They are to a session over WebSocket or SPDY what `request` and `response` are to HTTP, whatever its protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.commands import StartHook

from addons.core.wires import Message


@dataclass
class UpgradeStartHook(StartHook):
    """A session begins: the server has switched protocols."""

    flow: HTTPFlow


@dataclass(frozen=True, slots=True)
class Passing:
    """A message of a flow's session, about to be passed on."""

    flow: HTTPFlow
    message: Message


@dataclass
class UpgradeMessageHook(StartHook):
    """A message is about to be passed on. It may be changed, withheld, or end the session with a refusal."""

    data: Passing


@dataclass
class UpgradeEndHook(StartHook):
    """A session is over, whoever ended it."""

    flow: HTTPFlow
