"""`chaperone console`: session tokens and SAML sign-in, in a process of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from addons.console import serve
from addons.settings import load_settings


def console(*, conf: Path = Path("mitm.conf"), check: bool = False) -> int:
    """Start the console: it exchanges tokens for session tokens, and signs people in by SAML.

    It uses the gateway's configuration, rules and state folder, and a `Console` document in the rules says where it is
    reached. It is never in the way of a request: without it, what has been issued stays good until it expires.

    Parameters
    ----------
    conf
        The gateway's configuration file.
    check
        Only check the configuration and the rules; exit status 1 if there is a mistake.
    """
    settings = load_settings(conf)
    policy, found = serve.prepare(settings)
    if check:
        print(f"{conf}: no problems; {policy.trust.console}")
        return 0
    return asyncio.run(serve.run(settings, policy, found, conf))
