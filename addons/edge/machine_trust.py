"""Whom the gateway believes that has named no CA of its own: those that the machine trusts."""

import ssl
from functools import cache


@cache
def machine_trust() -> ssl.SSLContext:
    """The machine's trust store. Reading it takes long enough to be done once, before the event loop has work."""
    return ssl.create_default_context()
