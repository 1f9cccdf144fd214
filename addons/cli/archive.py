"""`chaperone archive`: copies evidence to a bucket, and reads it back."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from addons.cli.operator import Operator, operator
from addons.core.archive.part import File
from addons.edge.archive_bucket import Bucket
from addons.edge.archive_fetch import Fetched, Fetcher, Sink
from addons.edge.archive_folder import NewFolder
from addons.edge.archive_keys import ArchiveKeys, make_key_file
from addons.edge.archive_retention import Removal, Retention
from addons.edge.archive_run import Runner
from addons.edge.archive_status import alone
from addons.edge.archive_upload import Archiver
from addons.edge.audit_key import read_public_key
from addons.edge.audit_ledger import AuditLedger
from addons.edge.search_keeper import forget
from addons.logs import configure_logs

app = App(name="archive", help="Copy evidence to a bucket, and fetch it from there.")

Output = Annotated[Literal["text", "json"], Parameter(alias="-o")]
_CONF = Path("mitm.conf")
_THREADS = 8
_NEWS_SECONDS = 2.0


class NoArchive(LookupError):
    """No archive is configured."""


@app.default
def archive(*, once: bool = False, follow: bool = False, conf: Path = _CONF) -> int:
    """Copy what is new in the state folder to the bucket. A process of its own, beside the gateway.

    Also removes sessions from the state folder that are older than `keep_days`, once they are wholly in the bucket.

    Parameters
    ----------
    once
        Copy what there is and end, as for cron. Exit status 1 if not all of it could be.
    follow
        Go on copying until SIGTERM, through outages of the bucket.
    conf
        The gateway's configuration file.
    """
    if once == follow:
        raise ValueError("say --once, or --follow to go on copying")
    gateway = operator(conf)
    bucket, keys = open_archive(gateway)
    configure_logs(gateway.settings.log_format, gateway.settings.log_level)
    ledger = AuditLedger(gateway.state, gateway.settings.audit_key_file)
    removal = Removal(ledger, bucket, keys, forgetting(gateway.state))
    retention = Retention(removal, gateway.state, gateway.settings.keep_days)
    with alone(gateway.state):
        runner = Runner(
            archiver=Archiver(gateway.state, ledger, bucket, keys),
            state=gateway.state,
            where=f"s3://{bucket.options.bucket}/{bucket.options.prefix}",
            every=gateway.settings.archive_seconds,
            tend=retention.tend,
        )
        if once:
            return _once(runner)
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, lambda *_: runner.stop.set())
        runner.follow()
        return 0


def _once(runner: Runner) -> int:
    done = runner.once()
    waits = f"; {done.waiting_bytes} bytes wait: they are being written" if done.waiting_bytes else ""
    print(f"{runner.where}: {done.parts} parts, {done.bytes} bytes copied{waits}")
    if done.error is not None:
        raise done.error
    for file, why in done.conflicts.items():
        print(f"NOT COPIED: {file}: {why}", file=sys.stderr)
    return 1 if done.conflicts else 0


@app.command
def fetch(
    folder: Path,
    /,
    *,
    session: tuple[str, ...] = (),
    generation: int | None = None,
    unfinished: bool = False,
    public_key: Path | None = None,
    output: Output = "text",
    conf: Path = _CONF,
) -> int:
    """Make a state folder of what is in the bucket, verifying every part. Exit status 1 if anything is wrong with it.

    `chaperone audit verify FOLDER` verifies the audit log in it; `chaperone sessions` shows it with a configuration
    whose `state` it is. What is missing, changed, moved, doubled or written over in the bucket is named, and what is
    sound is fetched all the same.

    Parameters
    ----------
    folder
        A new folder, or an empty one.
    session
        Only these sessions, by their whole ids; `audit verify` then misses the records of the others.
    generation
        Of a session that was removed from the state folder and went on: 0 for before the first removal, and so on.
    unfinished
        Also what the ledger in the bucket does not know yet: of an archiver that was cut off and will not come back.
    public_key
        A key that must have signed, as `chaperone audit key` printed it.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """
    gateway = operator(conf)
    done = _read(gateway, NewFolder(folder).write, session, generation, unfinished, public_key)
    return _tell(done, f"fetched to {folder}", output)


@app.command
def verify(
    *, session: tuple[str, ...] = (), public_key: Path | None = None, output: Output = "text", conf: Path = _CONF
) -> int:
    """Verify every part in the bucket, without keeping any. Exit status 1 if anything is wrong with it.

    The records of the audit log are verified by `chaperone archive fetch` and `chaperone audit verify`.

    Parameters
    ----------
    session
        Only these sessions, by their whole ids.
    public_key
        A key that must have signed, as `chaperone audit key` printed it.
    output
        "text" for people, "json" for programs.
    conf
        The gateway's configuration file.
    """

    def drop(file: File, offset: int, data: bytes) -> None:
        pass

    return _tell(_read(operator(conf), drop, session, None, True, public_key, every=True), "verified", output)


@app.command
def make_key(file: Path, /) -> None:
    """Make a key that wraps the data keys of an archive, for `archive_keys: ["file:FILE"]`. Keep a copy elsewhere.

    Parameters
    ----------
    file
        The file to be made.
    """
    make_key_file(file)
    print(f"{file} is made: without it nothing that is encrypted with it can be read, so keep a copy elsewhere")


def open_archive(gateway: Operator) -> tuple[Bucket, ArchiveKeys]:
    """The configured archive. Raises NoArchive, ArchiveUnavailable, UnusableArchiveKey."""
    if (options := gateway.settings.archive) is None:
        raise NoArchive("no archive is configured: set archive_bucket")
    return Bucket(options), ArchiveKeys(options)


def forgetting(state: Path) -> Callable[[str], None]:
    """Takes a session that was removed out of the search index, too."""

    def forget_session(session: str) -> None:
        try:
            forget(state, session)
        except (OSError, sqlite3.Error) as error:
            print(f"still in the search index, until it is next brought up to date: {error}", file=sys.stderr)

    return forget_session


def _read(
    gateway: Operator,
    sink: Sink,
    wanted: Iterable[str],
    generation: int | None,
    unfinished: bool,
    public_key: Path | None,
    every: bool = False,
) -> Fetched:
    bucket, keys = open_archive(gateway)
    fetcher = Fetcher(bucket, keys, sink, unfinished)
    done = fetcher.ledger(read_public_key(public_key) if public_key is not None else None)
    names = list(wanted) or sorted({*bucket.sessions(), *fetcher.removed})
    news = time.monotonic() + _NEWS_SECONDS
    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        for each in threads.map(lambda name: fetcher.session(name, generation, every), names):
            done.add(each)
            if time.monotonic() > news:
                print(f"{done.sessions} of {len(names)} sessions, {done.bytes} bytes", file=sys.stderr, flush=True)
                news = time.monotonic() + _NEWS_SECONDS
    return done


def _tell(done: Fetched, what: str, output: Output) -> int:
    report = done.report
    if output == "json":
        told = {"intact": not report.findings, "findings": [asdict(each) for each in report.findings]}
        told |= {"notes": [asdict(each) for each in report.notes], "sessions": done.sessions, "parts": done.parts}
        print(json.dumps(told | {"bytes": done.bytes, "left_out": done.left_out}, indent=2))
    else:
        for word, remarks in (("note", report.notes), ("FOUND", report.findings)):
            for remark in remarks:
                print(f"{word}: {remark}")
        if done.left_out:
            print(f"note: {done.left_out} bytes are of an upload that goes on, or was cut off: --unfinished takes them")
        found = f"{len(report.findings)} finding(s)" if report.findings else "intact"
        print(f"{what}: {done.sessions} sessions, {done.parts} parts, {done.bytes} bytes: {found}")
    return 1 if report.findings else 0
