"""What `chaperone doctor` looks at: one probe, one fact, one remedy. Nothing is changed anywhere."""

from __future__ import annotations

import asyncio
import datetime
import os
import shutil
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import boto3
import botocore.exceptions
import httpx

from addons.core.connection import IMPERSONATE, Connection
from addons.core.identity_provider import IdentityProvider
from addons.core.kubeconfig import UnusableKubeconfig
from addons.core.problem import InvalidConfiguration
from addons.edge.api_server import UpstreamUnavailable
from addons.edge.authority import open_authority
from addons.edge.service_accounts import who_am_i

SECONDS = 5.0
_SKEW_SECONDS = 60.0
_LOW_DISK = 1 << 30
CERTIFICATE_SOON = datetime.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Finding:
    """`ok` or what to do about it."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(
    certs: Path,
    state: Path,
    providers: Iterable[IdentityProvider],
    connections: Iterable[Connection],
    now: datetime.datetime,
) -> Iterator[Finding]:
    """Every finding, as it is made; takes a few seconds for each thing that does not answer."""
    yield _authority(certs, now)
    yield _state(state)
    for provider in providers:
        yield from _provider(provider)
    yield from _clusters(connections)


def _authority(certs: Path, now: datetime.datetime) -> Finding:
    try:
        authority = open_authority(certs, now)
    except InvalidConfiguration as error:
        return Finding("interception CA", False, str(error), "restore its two files or remove both")
    left = authority.certificate.not_valid_after_utc - now
    return Finding(
        "interception CA",
        left > CERTIFICATE_SOON,
        f"{authority.certificate_file} is valid for {left.days} days",
        "plan its renewal: every agent needs the new certificate",
    )


def _state(folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("state folder", False, f"{existing} is not writable", "give the gateway's user write access")
    free = shutil.disk_usage(existing).free
    detail = f"{folder} has {free // (1 << 20)} MiB free"
    return Finding("state folder", free > _LOW_DISK, detail, "free some space: a full disk refuses every request")


def _provider(provider: IdentityProvider) -> Iterator[Finding]:
    what = f"identity provider {provider.name}"
    url = provider.jwks_uri or f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        answer = httpx.get(url, timeout=SECONDS).raise_for_status()
        answer.json()
    except (httpx.HTTPError, ValueError) as error:
        yield Finding(what, False, f"{url}: {error}", "is the issuer right, and reachable from here?")
        return
    yield Finding(what, True, f"{url} answers")
    yield clock(what, answer.headers.get("date", ""), time.time(), "set this machine's clock: tokens are judged by it")


def clock(what: str, date: str, now: float, remedy: str) -> Finding:
    """How far this machine's clock, at `now`, is from that of whoever has just answered with this `Date`."""
    try:
        off = now - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return Finding(f"{what}: clock", True, "it does not say what time it is")
    detail = f"this machine is {abs(off):.0f} seconds {'ahead' if off > 0 else 'behind'}"
    return Finding(f"{what}: clock", abs(off) < _SKEW_SECONDS, detail, remedy)


def _clusters(connections: Iterable[Connection]) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for connection in connections:
        yield examine_connection(connection)
        key = (connection.region, connection.sts_endpoint_url)
        if connection.kubeconfig:
            yield _own(connection)
        elif key not in seen:
            seen.add(key)
            yield _cloud(*key)


def examine_connection(connection: Connection) -> Finding:
    """Whether it is reached, and shows the certificate it should. Blocks for some seconds at most."""
    what = f"connection {connection.name}"
    context = ssl.create_default_context(cafile=connection.ca_file)
    try:
        with (
            socket.create_connection(connection.address, timeout=SECONDS) as raw,
            context.wrap_socket(raw, server_hostname=connection.server_name) as tls,
        ):
            version = tls.version()
    except ssl.SSLCertVerificationError as error:
        return Finding(what, False, f"its certificate: {error.verify_message}", "check caFile and serverName")
    except OSError as error:
        where = f"{connection.address[0]}:{connection.address[1]}"
        return Finding(what, False, f"{where}: {error}", "is the API server reachable from the gateway?")
    return Finding(what, True, f"{connection.host}:{connection.port} speaks {version} with the registered certificate")


def _own(connection: Connection) -> Finding:
    what = f"own credential for {connection.name}"
    try:
        answer = asyncio.run(who_am_i(connection))
        status = (answer.object or {}).get("status")
        name = status["userInfo"]["username"] if isinstance(status, dict) else ""
    except (UnusableKubeconfig, UpstreamUnavailable, KeyError, TypeError) as error:
        return Finding(what, False, str(error), f"check the user of {connection.kubeconfig}")
    if not name:
        return Finding(what, False, f"status {answer.status}", f"is the user of {connection.kubeconfig} still valid?")
    does = "impersonates" if connection.kind == IMPERSONATE else "makes tokens of service accounts"
    return Finding(what, True, f"the gateway is {name}, who {does} and does nothing else")


def _cloud(region: str, endpoint: str) -> Finding:
    what = f"AWS credentials in {region}"
    client = boto3.client("sts", region_name=region, endpoint_url=endpoint or None)
    try:
        arn = client.get_caller_identity()["Arn"]
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        return Finding(
            what, False, str(error), "give the gateway credentials that may assume the roles of rules/access"
        )
    return Finding(what, True, f"the gateway is {arn}")


def healthy(findings: Sequence[Finding]) -> bool:
    """True if nothing needs attention."""
    return all(finding.ok for finding in findings)
