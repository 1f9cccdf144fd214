"""An archive for tests: moto's S3 and KMS in a process of its own, behind a gate that can be shut, and evidence."""

from __future__ import annotations

import asyncio
import datetime
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from addons.core.archive.options import ArchiveOptions
from addons.core.archive.part import File, Part, read_key
from addons.edge.archive_bucket import Bucket
from addons.edge.archive_fetch import Fetched, Fetcher
from addons.edge.archive_folder import NewFolder
from addons.edge.archive_keys import ArchiveKeys
from addons.edge.archive_upload import Archiver
from addons.edge.audit_ledger import AuditLedger
from addons.edge.recordings import Recordings
from tests.support.aws import AWS_ENV
from tests.support.servers import moto

REGION = "eu-central-1"
EVENT = b'{"stageTimestamp":"2999-01-01T00:00:00.000000Z","annotations":{"n":"%d"}}\n'


class Gate:
    """A TCP relay to a port; shut, it takes nobody and ends whoever is through."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open = True
        self._through: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """An outage begins."""
        self._open = False
        for each in self._through:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._through.clear()

    def open(self) -> None:
        """It is over."""
        self._open = True

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if not self._open:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._to))
            self._through += [client, server]
            threading.Thread(target=self._both, args=(client, server), daemon=True).start()

    def _both(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._pass, args=(server, client), daemon=True)
        back.start()
        self._pass(client, server)
        back.join()
        client.close()
        server.close()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@dataclass
class Aws:
    """moto's server; `s3` and `kms` are an administrator's clients, past the gate."""

    gate: Gate
    s3: Any
    kms: Any

    def bucket(self, lock: bool = True) -> str:
        """A new bucket."""
        name = f"evidence-{secrets.token_hex(6)}"
        where = {"LocationConstraint": REGION}
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=lock)
        return name

    def key(self) -> str:
        """A new KMS key's ARN."""
        return str(self.kms.create_key()["KeyMetadata"]["Arn"])

    def versions(self, bucket: str, prefix: str = "") -> list[dict[str, Any]]:
        """All versions of all objects."""
        return list(self.s3.list_object_versions(Bucket=bucket, Prefix=prefix).get("Versions", ()))


@contextmanager
def aws() -> Iterator[Aws]:
    """Runs it, with credentials for it in the environment."""
    with moto() as port, pytest.MonkeyPatch.context() as patch:
        for name, value in AWS_ENV.items():
            patch.setenv(name, value)
        s3, kms = (_client(service, f"http://127.0.0.1:{port}") for service in ("s3", "kms"))
        yield Aws(Gate(port), s3, kms)


def _client(service: str, url: str) -> Any:
    config = Config(proxies={}, s3={"addressing_style": "path"})
    return boto3.client(service, region_name=REGION, endpoint_url=url, config=config)


class MemoryBucket(Bucket):
    """What `Bucket` does, in memory, for tests with hundreds of archives; on moto's S3 others show that it does so."""

    def __init__(self, options: ArchiveOptions) -> None:
        self.options = options
        self.objects: dict[str, tuple[bytes, Mapping[str, str]]] = {}

    def parts(self, below: str, strange: Callable[[str], None] = lambda key: None) -> Iterator[Part]:
        """As `Bucket`."""
        for key, (body, _) in sorted(self.objects.items()):
            if key.startswith(self.options.prefix + below):
                named = read_key(self.options.prefix, key)
                assert named is not None
                yield Part(*named, key, "1", len(body))

    def sessions(self) -> list[str]:
        """As `Bucket`."""
        return sorted({part.file.session for part in self.parts("sessions/")})

    def put(self, key: str, body: bytes, metadata: Mapping[str, str], held: bool, now: datetime.datetime) -> bool:
        """As `Bucket`."""
        return self.objects.setdefault(key, (body, metadata)) == (body, metadata)

    def head(self, part: Part) -> tuple[bytes, Mapping[str, str]]:
        """As `Bucket`."""
        body, metadata = self.objects[part.key]
        return sha256(body).digest(), metadata

    def get(self, part: Part) -> tuple[bytes, Mapping[str, str]]:
        """As `Bucket`."""
        return self.objects[part.key]


@dataclass
class Evidence:
    """A state folder that a gateway writes to, and its archive."""

    state: Path
    options: ArchiveOptions
    written: int = 0

    @cached_property
    def bucket(self) -> Bucket:
        """The archive."""
        return Bucket(self.options)

    @property
    def ledger(self) -> AuditLedger:
        """The ledger."""
        return AuditLedger(self.state)

    def record(self, *connections: str) -> None:
        """A worker records an event in each of these sessions, in order, and some flows; then it stops."""

        async def work() -> None:
            recordings = Recordings(self.state, "0", time.time() + self.written, self.ledger)
            for connection in connections:
                self.written += 1
                folder = recordings.folder(None, connection)
                await recordings.commit(folder, EVENT % self.written, b'{"decision":%d}\n' % self.written)
                recordings.flow(folder, b"1:x,", lambda error: None)
            recordings.close()

        asyncio.run(work())
        self.settle()

    def settle(self) -> None:
        """As if nothing had been written in the last seconds."""
        past = time.time() - 10
        for path in self.state.glob("sessions/*/session.json"):
            os.utime(path, (past, past))

    def archiver(self) -> Archiver:
        """A new one, as after a restart."""
        return Archiver(self.state, self.ledger, self.bucket, ArchiveKeys(self.options))

    def sweep(self) -> Any:
        """A new archiver copies what there is."""
        done = self.archiver().sweep()
        assert done.error is None, done.error
        return done

    def fetch(self, folder: Path, *sessions: str, options: ArchiveOptions | None = None, **how: Any) -> Fetched:
        """The archive as a state folder."""
        found = options or self.options
        bucket, how = self.bucket if options is None else Bucket(found), dict(how)
        fetcher = Fetcher(bucket, ArchiveKeys(found), NewFolder(folder).write, how.pop("unfinished", False))
        done = fetcher.ledger()
        for session in sessions or bucket.sessions():
            done.add(fetcher.session(session, **how))
        return done


def files(state: Path) -> dict[str, bytes]:
    """All that an archive should have of a state folder."""
    paths = [state / "audit" / "ledger.jsonl", *state.glob("sessions/*/[!.]*")]
    return {str(path.relative_to(state)): path.read_bytes() for path in paths}


def file_of(session: str, name: str) -> File:
    """A file of a session that was never removed."""
    return File(session, 0, name)


def until(days: float) -> datetime.datetime:
    """In so many days."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


MakeEvidence = Callable[..., Evidence]


def maker(cloud: Aws, state: Path) -> MakeEvidence:
    """Makes evidence with an archive in a new bucket: `make(lock=…, keys=…)` and the other options of an archive."""

    def make(**options: Any) -> Evidence:
        lock = options.get("lock", "COMPLIANCE")
        chosen: dict[str, Any] = {
            "bucket": cloud.bucket(bool(lock)),
            "prefix": "gateway-1/",
            "region": REGION,
            "endpoint": cloud.gate.url,
            "kms_endpoint": cloud.gate.url,
            "lock": lock,
            "retention_days": 30 if lock else 0,
            **options,
        }
        return Evidence(state, ArchiveOptions(**chosen))

    return make
