"""`chaperone login` and `logout`: a person's own token, kept for kubectl and the commands for people."""

from __future__ import annotations

import sys
import webbrowser
from datetime import datetime

from addons.core.sign_in import Client, Tokens
from addons.edge.sign_in import Provider
from addons.edge.token_cache import TokenCache

_SCOPE = Client(issuer="", client_id="").scope


def login(*, issuer: str, client_id: str, scope: str = _SCOPE, device: bool = False, browser: bool = True) -> None:
    """Sign in, with a browser on this machine or, with --device, with a code typed on any other.

    ```
    chaperone login --issuer https://login.example.com --client-id chaperone
    ```

    The token is kept in your cache folder, for you alone, and renewed as long as the provider allows. `chaperone token`
    and kubeconfigs made with the same --issuer and --client-id use it.

    Parameters
    ----------
    issuer
        The provider, exactly as its tokens name it (`iss`).
    client_id
        A public client registered there, with `http://127.0.0.1` as redirect address; the audience of your tokens.
    scope
        What is asked for. Groups have to be in the ID token.
    device
        Use the device flow.
    browser
        Open a browser; else the address is only shown.
    """
    client = Client(issuer=issuer, client_id=client_id, scope=scope)
    with Provider(client) as provider:
        tokens = provider.by_device(_show_code) if device else provider.by_browser(_open if browser else _show)
    TokenCache(client).save(tokens)
    print(_signed_in(tokens))


def logout(*, issuer: str, client_id: str) -> int:
    """Forget the token of a sign-in, and have the provider revoke it, if it does that.

    Where it does not (few revoke ID tokens; the console does) it stays good until it expires: to stop somebody, use
    `chaperone lock`.

    Parameters
    ----------
    issuer
        The provider.
    client_id
        The client id there.
    """
    client = Client(issuer=issuer, client_id=client_id)
    cache = TokenCache(client)
    tokens = cache.load()
    if not cache.forget() or tokens is None:
        print("you were not signed in")
        return 0
    with Provider(client) as provider:
        revoked = provider.revoked(tokens)
    print("signed out" if revoked else "signed out here; the token stays good until it expires")
    return 0


def _open(url: str) -> None:
    print(f"a browser opens {url}", file=sys.stderr)
    webbrowser.open(url)


def _show(url: str) -> None:
    print(f"open this in a browser on this machine: {url}", file=sys.stderr, flush=True)


def _show_code(url: str, code: str) -> None:
    print(f"open {url} anywhere, and type {code}", file=sys.stderr, flush=True)


def _signed_in(tokens: Tokens) -> str:
    until = datetime.fromtimestamp(tokens.expires_at).astimezone().strftime("%H:%M:%S %Z")
    return f"signed in until {until}{', and renewed after that' if tokens.refresh_token else ''}"
