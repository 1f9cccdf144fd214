"""`chaperone audit`: is the audit log what was written, and the key that signs it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from addons.cli.holds import removal
from addons.cli.operator import operator
from addons.core.audit_report import Report
from addons.core.printable import printable
from addons.edge.archive import session
from addons.edge.audit_check import verify_state
from addons.edge.audit_key import read_public_key
from addons.edge.audit_ledger import AuditLedger
from addons.edge.bundle_read import verify_bundle

app = App(name="audit", help="Verify the audit log, and keep its key.")

Output = Annotated[Literal["text", "json"], Parameter(alias="-o")]
_CONF = Path("mitm.conf")


@app.command
def verify(
    path: Path | None = None,
    /,
    *,
    public_key: Path | None = None,
    ledger_copy: Path | None = None,
    output: Output = "text",
    conf: Path = _CONF,
) -> int:
    """Find records that were changed, removed, moved, doubled or added. Exit status 1 if there are any.

    Parameters
    ----------
    path
        A state folder, or a copy of one, instead of the configured one; or a bundle of `chaperone sessions export`.
    public_key
        A key that must have signed, as `chaperone audit key` printed it; else the log's own first key is believed.
    ledger_copy
        An earlier copy of `audit/ledger.jsonl`, every line of which must still be there.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    trusted = read_public_key(public_key) if public_key is not None else None
    if path is not None and path.is_file():
        return tell_bundle(path, trusted, output)
    kept = ledger_copy.read_bytes().splitlines(keepends=True) if ledger_copy is not None else []
    return tell(verify_state(path or operator(conf).state, trusted, kept), output)


@app.command
def key(*, output: Output = "text", conf: Path = _CONF) -> None:
    """Print the public key of the audit log, to be kept elsewhere.

    Parameters
    ----------
    output
        "text" for PEM, "json" for id and PEM.
    conf
        The gateway's configuration file.
    """
    signing = _ledger(conf).check()
    print(json.dumps({"id": signing.id, "public_key": signing.public_pem}) if output == "json" else signing.public_pem)


@app.command
def rotate_key(*, conf: Path = _CONF) -> None:
    """Make a new key, signed for by the old one, and sign with it from now on. The gateway may be running.

    Parameters
    ----------
    conf
        The gateway's configuration file.
    """
    old, new = _ledger(conf).rotate()
    print(f"{old.id} handed over to {new.id}; keep its public key elsewhere: chaperone audit key")


@app.command
def remove(session_id: str, *, conf: Path = _CONF) -> None:
    """Remove a session's evidence from the state folder, and sign in the ledger that its records are gone on purpose.

    One that is under legal hold, or that is not wholly in the archive where there is one, stays.

    Parameters
    ----------
    session_id
        Its id, or how it begins.
    conf
        The gateway's configuration file.
    """
    gateway = operator(conf)
    stored = session(gateway.state, session_id)
    count = removal(gateway).remove(stored.folder)
    print(f"removed {printable(stored.id)}: {count} records")


def _ledger(conf: Path) -> AuditLedger:
    settings = operator(conf).settings
    return AuditLedger(Path(settings.state), settings.audit_key_file)


def tell_bundle(path: Path, trusted: bytes | None, output: Output) -> int:
    """Says what a bundle proves; exit status 1 if it is not what was exported."""
    report = verify_bundle(path, trusted)
    if output == "text":
        for word, lines in (("proven", report.proven), ("not proven", report.not_proven)):
            for line in lines:
                print(f"{word}: {printable(line)}")
    return tell(report, output)


def tell(report: Report, output: Output) -> int:
    """Says what was found, and what was not; exit status 1 if anything was."""
    if output == "json":
        print(json.dumps({"intact": not report.findings, **asdict(report)}, indent=2))
    else:
        _print(report)
    return 1 if report.findings else 0


def _print(report: Report) -> None:
    for word, remarks in (("note", report.notes), ("FOUND", report.findings)):
        for remark in remarks:
            print(f"{word}: {remark}")
    print(
        f"{report.records} records in {report.files} files, {report.chains} chains,"
        f" {report.entries} lines of the ledger signed by {', '.join(report.keys) or 'nobody'}:"
        f" {f'{len(report.findings)} finding(s)' if report.findings else 'intact'}"
    )
