"""The bucket of an archive: objects are put once, listed with all their versions, and read. Nothing is ever deleted.

Credentials, proxies and FIPS endpoints are botocore's ordinary ones. All of it blocks.
"""

from __future__ import annotations

import datetime
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from addons.core.archive.options import ArchiveOptions
from addons.core.archive.part import Part, read_key
from addons.core.archive.trouble import remedy
from addons.core.safe_url import is_loopback
from addons.edge.aws_models import aws_session

MOST_BYTES = 64 * 1024 * 1024
"""Of an object; an archiver writes far smaller ones."""
_EXISTS = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


class ArchiveUnavailable(OSError):
    """The bucket, or a key, cannot be used now. `code` is AWS's code, or botocore's name, of the error."""

    def __init__(self, what: str, code: str, detail: str) -> None:
        super().__init__(f"{what}: {detail} ({code}); {remedy(code)}")
        self.code = code


class Strange(ValueError):
    """An object that no archiver has written."""


@contextmanager
def told(what: str) -> Iterator[None]:
    """Raises botocore's errors as ArchiveUnavailable."""
    try:
        yield
    except ClientError as error:
        found = error.response.get("Error", {})
        code = str(found.get("Code", "Unknown"))
        raise ArchiveUnavailable(what, code, str(found.get("Message", "")) or "refused") from error
    except (BotoCoreError, HTTPClientError) as error:
        raise ArchiveUnavailable(what, type(error).__name__, str(error)) from error


def aws_client(service: str, region: str, endpoint: str, connections: int = 16) -> Any:
    """A client that gives up soon: who uses it tries again in its own time. May be shared by threads."""
    config = Config(
        ignore_configured_endpoint_urls=True,  # those of other programs of this machine
        connect_timeout=5,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": 2},
        proxies={} if is_loopback(endpoint) else None,
        s3={"addressing_style": "path"} if endpoint else None,
        max_pool_connections=connections,
        user_agent_extra="kube-chaperone",
    )
    with told(service):
        return aws_session().client(service, region_name=region or None, endpoint_url=endpoint or None, config=config)


class Bucket:
    """For several threads."""

    def __init__(self, options: ArchiveOptions) -> None:
        """Nothing is reached yet. Raises ArchiveUnavailable, as without a region."""
        self.options = options
        self.client = aws_client("s3", options.region, options.endpoint)

    def parts(self, below: str, strange: Callable[[str], None] = lambda key: None) -> Iterator[Part]:
        """The parts whose keys begin like this, below the prefix, in order. Raises ArchiveUnavailable.

        `strange` is told of keys that no archiver writes.
        """
        prefix, name = self.options.prefix, self.options.bucket
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=name, Prefix=prefix + below)
        deleted: set[str] = set()
        waiting: dict[str, Part] = {}
        with told(f"the bucket {name} cannot be listed"):
            for page in pages:
                deleted |= {marker["Key"] for marker in page.get("DeleteMarkers", ())}
                for listed in page.get("Versions", ()):
                    if (part := _part(prefix, listed)) is None:
                        strange(listed["Key"])
                        continue
                    if (later := waiting.get(part.key)) is not None:
                        part = part._replace(versions=later.versions + 1)  # versions are listed from the latest on
                    waiting[part.key] = part
        for key in sorted(waiting):
            yield waiting[key]._replace(deleted=key in deleted)

    def sessions(self) -> list[str]:
        """The ids of all sessions in the archive, of those that are hidden by delete markers, too.

        Raises ArchiveUnavailable.
        """
        prefix = f"{self.options.prefix}sessions/"
        pages = self.client.get_paginator("list_object_versions").paginate(
            Bucket=self.options.bucket, Prefix=prefix, Delimiter="/"
        )
        with told(f"the bucket {self.options.bucket} cannot be listed"):
            found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", ())]
        return sorted({each.removeprefix(prefix).rstrip("/") for each in found})

    def put(self, key: str, body: bytes, metadata: Mapping[str, str], held: bool, now: datetime.datetime) -> bool:
        """True once it is there, under its lock; False if the key is taken. Raises ArchiveUnavailable."""
        options = self.options
        extra: dict[str, Any] = {}
        if options.lock:
            until = now + datetime.timedelta(days=options.retention_days)
            extra |= {"ObjectLockMode": options.lock, "ObjectLockRetainUntilDate": until}
            extra |= {"ObjectLockLegalHoldStatus": "ON"} if held else {}
        if options.sse_kms_key:
            extra |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": options.sse_kms_key, "BucketKeyEnabled": True}
        digest = b64encode(sha256(body).digest()).decode()
        try:
            with told(f"the bucket {options.bucket} does not take {key}"):
                self.client.put_object(
                    Bucket=options.bucket,
                    Key=key,
                    Body=body,
                    Metadata=dict(metadata),
                    IfNoneMatch="*",
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=digest,
                    **extra,
                )
        except ArchiveUnavailable as error:
            if error.code in _EXISTS:
                return False
            raise
        return True

    def get(self, part: Part) -> tuple[bytes, Mapping[str, str]]:
        """The object as it was put first, and its metadata. Raises ArchiveUnavailable, Strange."""
        if part.size > MOST_BYTES:
            raise Strange(f"{part.key} has {part.size} bytes: no archiver writes such a part")
        with told(f"{part.key} cannot be read"):
            reply = self.client.get_object(**self._which(part), ChecksumMode="ENABLED")
            return reply["Body"].read(), reply["Metadata"]

    def head(self, part: Part) -> tuple[bytes, Mapping[str, str]]:
        """The SHA-256 of an object as S3 has it, "" if it has none, and its metadata. Raises ArchiveUnavailable."""
        with told(f"{part.key} cannot be looked at"):
            reply = self.client.head_object(**self._which(part), ChecksumMode="ENABLED")
            return b64decode(reply.get("ChecksumSHA256", "")), reply["Metadata"]

    def hold(self, part: Part, on: bool) -> None:
        """Puts a part under legal hold, or lifts it. Raises ArchiveUnavailable."""
        with told(f"the legal hold of {part.key} cannot be changed"):
            self.client.put_object_legal_hold(**self._which(part), LegalHold={"Status": "ON" if on else "OFF"})

    def _which(self, part: Part) -> dict[str, str]:
        """The first version, which is the only one in a bucket without versions."""
        only = part.version == "null" and part.versions == 1 and not part.deleted
        return {"Bucket": self.options.bucket, "Key": part.key} | ({} if only else {"VersionId": part.version})


def _part(prefix: str, listed: Mapping[str, Any]) -> Part | None:
    if (named := read_key(prefix, listed["Key"])) is None:
        return None
    file, offset, encrypted = named
    return Part(file, offset, encrypted, listed["Key"], listed["VersionId"], listed["Size"])
