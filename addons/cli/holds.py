"""`chaperone sessions hold`, `release` and `prune`: what is kept, and what is not."""

from __future__ import annotations

from pathlib import Path

from addons.cli.archive import forgetting, open_archive
from addons.cli.locks import who
from addons.cli.operator import Operator, operator
from addons.core.printable import printable
from addons.edge.archive import UnknownSession, session
from addons.edge.archive_bucket import Bucket
from addons.edge.archive_copies import set_hold
from addons.edge.archive_retention import Removal, change_hold, due
from addons.edge.audit_check import Kept
from addons.edge.audit_ledger import AuditLedger

_CONF = Path("mitm.conf")


def hold(session_id: str, /, *, reason: str, token_file: Path | None = None, conf: Path = _CONF) -> None:
    """Put a session under legal hold: nobody removes it here, and in the bucket nothing of it can be deleted.

    Who did so and why is signed in the ledger of the audit log. What is added to the session is held, too.

    Parameters
    ----------
    session_id
        Its id, or how it begins; the whole id of one that is only in the bucket.
    reason
        Why, as the number of a case.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN; without either, the user of this machine.
    conf
        The gateway's configuration file.
    """
    _change(session_id, True, reason, token_file, conf)


def release(session_id: str, /, *, reason: str, token_file: Path | None = None, conf: Path = _CONF) -> None:
    """Lift the legal hold of a session. How long it is locked in the bucket stays as it is.

    Parameters
    ----------
    session_id
        Its id, or how it begins; the whole id of one that is only in the bucket.
    reason
        Why.
    token_file
        File with your OIDC token, instead of the variable CHAPERONE_TOKEN; without either, the user of this machine.
    conf
        The gateway's configuration file.
    """
    _change(session_id, False, reason, token_file, conf)


def prune(*, dry_run: bool = False, conf: Path = _CONF) -> int:
    """Remove the sessions that are older than `keep_days`; with an archive, those that are wholly in it.

    `chaperone archive --follow` does so by itself. Exit status 1 if any was kept although it is older.

    Parameters
    ----------
    dry_run
        Only say which are older.
    conf
        The gateway's configuration file.
    """
    gateway = operator(conf)
    if (days := gateway.settings.keep_days) is None:
        raise LookupError("keep_days is not set: sessions are kept")
    removing, kept = removal(gateway), 0
    for stored in due(gateway.state, days):
        if dry_run:
            print(f"older than {days} days: {printable(stored.id)}")
            continue
        try:
            print(f"removed {printable(stored.id)}: {removing.remove(stored.folder)} records")
        except Kept as error:
            kept += 1
            print(f"kept: {printable(str(error))}")
    return 1 if kept else 0


def removal(gateway: Operator) -> Removal:
    """Removes sessions, if they are archived where there is an archive."""
    ledger = AuditLedger(gateway.state, gateway.settings.audit_key_file)
    bucket, keys = open_archive(gateway) if gateway.settings.archive is not None else (None, None)
    return Removal(ledger, bucket, keys, forgetting(gateway.state))


def _change(session_id: str, held: bool, reason: str, token_file: Path | None, conf: Path) -> None:
    gateway = operator(conf)
    if not reason.strip():
        raise ValueError("say why, with --reason: it is signed")
    by = who(gateway, token_file)
    options = gateway.settings.archive
    bucket = Bucket(options) if options is not None else None
    found = _id(gateway, session_id, bucket)
    change_hold(AuditLedger(gateway.state, gateway.settings.audit_key_file), found, held, by, reason)
    word = "is under legal hold" if held else "is under no legal hold any more"
    print(f"{printable(found)} {word}: signed in the ledger, by {printable(by)}", flush=True)
    if bucket is None:
        return
    if not bucket.options.lock:
        print("the bucket has no Object Lock (archive_lock: none): there nothing keeps it from being deleted")
        return
    count = set_hold(bucket, found, held)
    print(f"s3://{bucket.options.bucket}: {count} objects {'held' if held else 'released'}")


def _id(gateway: Operator, session_id: str, bucket: Bucket | None) -> str:
    """The id of a session here, or in the bucket. Raises UnknownSession."""
    try:
        return session(gateway.state, session_id).id
    except UnknownSession:
        if bucket is None or next(iter(bucket.parts(f"sessions/{session_id}/")), None) is None:
            raise
        return session_id
