"""What agents do on their side to be given access: `chaperone request`, and `release` when they need it no more.

They go to the gateway itself, on the way that their kubeconfig names: the gateway's store is out of their reach.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx
from cyclopts import Parameter

from addons.cli.credential import TOKEN_VARIABLE, read_token
from addons.cli.ruleset import Output
from addons.core.access_request import PATH
from addons.core.kubeconfig import Way, way
from addons.core.printable import printable, printable_lines
from addons.edge.kubeconfigs import read_kubeconfig

_UNITS = {"s": 1, "m": 60, "h": 3600}
_SECONDS = 30.0


def request(
    *,
    connection: str,
    role: str,
    intent: str,
    for_: Annotated[str, Parameter(name="--for")] = "30m",
    kubeconfig: Path | None = None,
    token_file: Path | None = None,
    output: Output = "text",
) -> int:
    """Ask for access. It counts from when it is granted: at once where the rule says so, else people decide.

    ```
    chaperone request --connection prod --role arn:aws:iam::123456789012:role/edit --intent "INC-42 disk full" --for 30m
    ```

    Parameters
    ----------
    connection
        The context of the kubeconfig.
    role
        The role, as the gateway names it when it refuses.
    intent
        What it is for; people see it, and it stays on record.
    for_
        How long: 900s, 30m, 2h.
    kubeconfig
        From `chaperone kubeconfig`; else the file in KUBECONFIG.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN or the kubeconfig's own.
    output
        "text" for people, "json" for programs.
    """
    wish = {"role": role, "intent": intent, "seconds": duration(for_)}
    return _told(_send("POST", PATH, connection, kubeconfig, token_file, wish), output)


def release(
    request: str,
    *,
    connection: str,
    kubeconfig: Path | None = None,
    token_file: Path | None = None,
    output: Output = "text",
) -> int:
    """Give access back, or take back what nobody has decided yet.

    Parameters
    ----------
    request
        Its id.
    connection
        The context of the kubeconfig.
    kubeconfig
        From `chaperone kubeconfig`; else the file in KUBECONFIG.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN or the kubeconfig's own.
    output
        "text" for people, "json" for programs.
    """
    return _told(_send("DELETE", f"{PATH}/{request}", connection, kubeconfig, token_file), output)


def duration(text: str) -> int:
    """Seconds of "900s", "30m" or "2h". Raises ValueError."""
    if (parts := re.fullmatch("([0-9]{1,6})([smh])", text)) is None:
        raise ValueError(f"{text!r} is no duration: write 900s, 30m or 2h")
    return int(parts[1]) * _UNITS[parts[2]]


def _send(
    method: str, path: str, context: str, kubeconfig: Path | None, token_file: Path | None, body: Any = None
) -> httpx.Response:
    file = kubeconfig or Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    chosen = way(read_kubeconfig(file), str(file.absolute().parent), context)
    trust = ssl.create_default_context(cadata=chosen.ca.decode("ascii"))
    bearer = {"Authorization": f"Bearer {_token(chosen, token_file)}"}
    try:
        with httpx.Client(proxy=_proxy(chosen, trust), verify=trust, trust_env=False, timeout=_SECONDS) as client:
            return client.request(method, f"{chosen.server}{path}", json=body, headers=bearer)
    except httpx.HTTPError as error:
        raise ConnectionError(f"the gateway at {chosen.gateway or chosen.server} does not answer: {error}") from error


def _proxy(chosen: Way, trust: ssl.SSLContext) -> httpx.Proxy | None:
    """None where the server is the gateway itself."""
    if not chosen.gateway:
        return None
    return httpx.Proxy(chosen.gateway, ssl_context=trust if chosen.gateway.startswith("https:") else None)


def _token(chosen: Way, token_file: Path | None) -> str:
    """The caller's, from where it was named; else from where kubectl has it."""
    user = chosen.document["users"][0]["user"]
    if token_file is None and not os.environ.get(TOKEN_VARIABLE, "").strip():
        if user.get("token"):
            return str(user["token"])
        token_file = Path(user["tokenFile"]) if user.get("tokenFile") else None
    return read_token(token_file)


def _told(answer: httpx.Response, output: Output) -> int:
    found = answer.json()
    if answer.status_code != 200:
        print(printable_lines(str(found.get("message", found))), file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2) if output == "json" else _line(found))
    return 0


def _line(found: dict[str, Any]) -> str:
    said = f"{found['id']} is {found['state']}"
    if found["state"] == "pending":
        groups = ", ".join(found["approvers"])
        said += f": {found['approvals']} of {groups} must agree (chaperone grants approve {found['id']})"
    return printable(said)
