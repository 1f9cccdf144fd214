"""How a session inside a pod is framed on its connection, sans-I/O: WebSocket, SPDY, and SPDY inside WebSocket.

`choice` says which protocol it is, a `Wire` turns bytes into `message`s and back. All that judges, masks and records
sees only messages.
"""

from addons.core.wires.choice import SPDY_PROTOCOL, WEBSOCKET_PROTOCOL, offer, refuse_upgrade, wire_of
from addons.core.wires.message import Control, Item, Lane, Message, Ready, Wire

__all__ = [
    "SPDY_PROTOCOL",
    "WEBSOCKET_PROTOCOL",
    "Control",
    "Item",
    "Lane",
    "Message",
    "Ready",
    "Wire",
    "offer",
    "refuse_upgrade",
    "wire_of",
]
