"""What `chaperone doctor` looks at of the gateway's own: certificates, the key of the audit log, channels."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from addons.core.notify.channel import Channel, Webhook
from addons.core.problem import InvalidConfiguration
from addons.edge.audit_key import UnusableKey, read_key
from addons.edge.audit_ledger import AuditLedger
from addons.edge.notify_secrets import check_secrets
from addons.edge.own_certificate import read_certificate
from addons.edge.probes import CERTIFICATE_SOON, SECONDS, Finding


def examine_own(
    certificates: Mapping[str, tuple[Path, Path]],
    ledger: AuditLedger,
    channels: Iterable[Channel],
    now: datetime.datetime,
) -> Iterator[Finding]:
    """Every finding, as it is made; takes a few seconds for each thing that does not answer.

    `certificates` are files with a chain and its key, by what shows them.
    """
    for shown_by, files in certificates.items():
        yield _certificate(f"certificate of {shown_by}", *files, now)
    yield _audit_key(ledger)
    yield from map(_channel, channels)


def _certificate(what: str, certificate: Path, key: Path, now: datetime.datetime) -> Finding:
    try:
        found = read_certificate(certificate, key, now).certificate
    except InvalidConfiguration as error:
        return Finding(what, False, str(error), "give a certificate and its key that are valid together")
    left = found.not_valid_after_utc - now
    return Finding(what, left > CERTIFICATE_SOON, f"{certificate} is valid for {left.days} days", "renew it in time")


def _audit_key(ledger: AuditLedger) -> Finding:
    what, file = "key of the audit log", ledger.keys.file
    if not file.exists() and not ledger.file.exists():
        return Finding(what, True, f"{file} will be made at the first start")
    try:
        key, mode = read_key(file), file.stat().st_mode
    except UnusableKey as error:
        return Finding(what, False, str(error), "restore it: without it nothing is recorded, so nothing is let through")
    if mode & 0o077:
        return Finding(
            what, False, f"{file} can be read by others", f"chmod 600 {file}; then chaperone audit rotate-key"
        )
    return Finding(what, True, f"{file} is {key.id}")


def _channel(channel: Channel) -> Finding:
    """Nothing is sent: whether its secrets are there, and whether somebody listens."""
    what = f"notifications {channel.name}"
    if problems := check_secrets([channel]):
        return Finding(what, False, problems[0].message, "the console does not start without it")
    place = channel.place
    parts = urlsplit(place.url if isinstance(place, Webhook) else place.api_url)
    host, port = parts.hostname or "", parts.port or {"https": 443, "http": 80}[parts.scheme]
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError as error:
        return Finding(what, False, f"{host}:{port}: {error}", "nobody is told of questions while it does not answer")
    return Finding(what, True, f"{host}:{port} listens")
