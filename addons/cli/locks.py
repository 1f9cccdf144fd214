"""`chaperone lock`, `locks` and `unlock`: stop somebody, a cluster or everybody at once, streams included.

Whoever can write the gateway's store may lock: in an emergency the identity provider may be what is in trouble. With a
token the verified identity is noted, without one the user of this machine.
"""

from __future__ import annotations

import getpass
import json
import os
import time
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from addons.cli.credential import TOKEN_VARIABLE, read_token
from addons.cli.operator import Operator, operator
from addons.cli.ruleset import Output
from addons.core.lock import Lock
from addons.core.printable import printable
from addons.edge import lock_store
from addons.edge.session_folders import session_of
from addons.edge.store import new_id

_CONF = Path("mitm.conf")


def lock(
    subject: str = "",
    *,
    reason: str,
    connection: str = "",
    session: str = "",
    all: bool = False,
    token_file: Path | None = None,
    conf: Path = _CONF,
) -> int:
    """Stop somebody, a cluster or everybody: requests at once, watches, execs and port-forwards within 5 seconds.

    It holds until `chaperone unlock ID`, across restarts, in every worker, whatever the access rules grant.

    Parameters
    ----------
    subject
        The `sub` claim of an agent, or of the person it acts for or belongs to.
    reason
        Why: the agent is told.
    connection
        Only on this connection; without a subject, everybody on it.
    session
        Only this session: `chaperone sessions list` shows their ids.
    all
        Everybody, on every connection.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN; without either, the user of this machine.
    conf
        The gateway's configuration file.
    """
    if all == bool(subject or connection or session):
        raise ValueError("say what to lock: a SUBJECT, --connection, --session, or --all by itself")
    gateway = operator(conf)
    made = Lock(
        id=new_id(),
        subject=subject,
        connection=connection,
        session=session_of(session),
        reason=reason,
        made_by=who(gateway, token_file),
        made_at=time.time(),
    )
    with closing(gateway.open_store()) as store:
        lock_store.add_lock(store, made)
    print(f"{made.id} locks {printable(made.what())}; lift it with: chaperone unlock {made.id}")
    return 0


def locks(*, output: Output = "text", conf: Path = _CONF) -> None:
    """List what is locked, oldest first.

    Parameters
    ----------
    conf
        The gateway's configuration file.
    """
    with closing(operator(conf).open_store()) as store:
        found = lock_store.locks(store)
    if output == "json":
        print(json.dumps([asdict(each) for each in found], indent=2))
        return
    if not found:
        print("nothing is locked")
    for each in found:
        when = datetime.fromtimestamp(each.made_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        print(f"{each.id}  {when}  {printable(each.what())}: {printable(each.reason)}  [{printable(each.made_by)}]")


def unlock(lock: str, *, token_file: Path | None = None, conf: Path = _CONF) -> None:
    """Lift a lock.

    Parameters
    ----------
    lock
        Its id.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN; without either, the user of this machine.
    conf
        The gateway's configuration file.
    """
    gateway = operator(conf)
    with closing(gateway.open_store()) as store:
        lock_store.lift(store, lock, who(gateway, token_file), time.time())
    print(f"{printable(lock)} is lifted")


def who(gateway: Operator, token_file: Path | None) -> str:
    """The verified identity of a token, where there is one; else the user of this machine."""
    if token_file is None and not os.environ.get(TOKEN_VARIABLE, "").strip():
        return f"user {getpass.getuser()} of this machine"
    return gateway.verify(read_token(token_file)).username
