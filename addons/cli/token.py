"""`chaperone token`: a credential plugin. Each kubectl waits for it: what is seldom needed is imported when it is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from addons.cli.credential import read_token
from addons.core.kubeconfig import exec_credential
from addons.core.sign_in import Client
from addons.edge.token_cache import TokenCache, current_token


def token(
    *,
    token_file: Path | None = None,
    issuer: str = "",
    client_id: str = "",
    console: str = "",
    connection: str = "",
    intent: str = "",
    for_: Annotated[str, Parameter(name="--for")] = "",
    actor_token_file: Path | None = None,
) -> None:
    """Print an OIDC token as kubectl asks a credential plugin for it (ExecCredential).

    It comes from CHAPERONE_TOKEN, from a file, or, with an issuer, from what `chaperone login` keeps. With a console it
    is exchanged for a short-lived session token, good for one connection and one intent:

    ```
    chaperone token --console https://chaperone.example.com --connection prod --intent "INC-42 disk full" --for 15m
    ```

    Parameters
    ----------
    token_file
        File with the token.
    issuer
        The OpenID provider that was signed in at.
    client_id
        The client id there.
    console
        URL of the console, which exchanges the token.
    connection
        The only connection that the session token is good for.
    intent
        What it is for.
    for_
        How long it is good: 900s, 30m, 2h; as long as the console allows, if not given.
    actor_token_file
        File with the agent's own token, where the other one is that of the person it acts for.
    """
    if issuer:
        client = Client(issuer=issuer, client_id=client_id)
        said = current_token(client, TokenCache(client))
    else:
        said = read_token(token_file)
    if console:
        from addons.cli.request import duration
        from addons.edge.token_exchange import session_token

        actor = read_token(actor_token_file) if actor_token_file else ""
        seconds = duration(for_) if for_ else 0
        said = session_token(console, said, connection=connection, intent=intent, seconds=seconds, actor_token=actor)
    elif connection or intent or for_ or actor_token_file:
        raise ValueError("only a console (--console) issues tokens that are bound to something")
    print(json.dumps(exec_credential(said, time.time())))
