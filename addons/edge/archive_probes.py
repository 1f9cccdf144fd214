"""What `chaperone doctor` looks at in an archive: one probe, one fact, one remedy. Nothing is changed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from addons.core.archive.options import ArchiveOptions
from addons.core.archive.trouble import remedy
from addons.edge.archive_bucket import ArchiveUnavailable, Bucket, told
from addons.edge.archive_keys import ArchiveKeys
from addons.edge.archive_status import read_status, summary, trouble
from addons.edge.probes import Finding, clock

_ABSENT = frozenset({"ObjectLockConfigurationNotFoundError", "NoSuchPublicAccessBlockConfiguration"})


def examine_archive(options: ArchiveOptions, state: Path, now: float) -> Iterator[Finding]:
    """Every finding at `now` (Unix seconds), as it is made; one alone if the bucket cannot be reached."""
    what = f"archive s3://{options.bucket}/{options.prefix}"
    try:
        bucket = Bucket(options)
        with told(f"the bucket {options.bucket} cannot be reached"):
            reply = bucket.client.head_bucket(Bucket=options.bucket)
    except ArchiveUnavailable as error:
        yield Finding(what, False, str(error), remedy(error.code))
        return
    yield Finding(what, True, f"the bucket answers, in {reply.get('BucketRegion') or 'its region'}")
    yield _clock(what, reply, now)
    for name, probe in (("Object Lock", _lock), ("versions", _versions), ("public access", _public)):
        yield _tried(f"{what}: {name}", probe, bucket)
    yield _tried(f"{what}: encryption", _keys, bucket)
    yield _archiver(what, state, now)


def _tried(what: str, probe: Callable[[str, Bucket], Finding], bucket: Bucket) -> Finding:
    try:
        return probe(what, bucket)
    except ArchiveUnavailable as error:
        return Finding(what, False, str(error), remedy(error.code))
    except (OSError, ValueError) as error:
        return Finding(what, False, str(error), "mend archive_keys, or the file that it names")


def _clock(what: str, reply: dict[str, Any], now: float) -> Finding:
    date = str(reply.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
    return clock(what, date, now, remedy("RequestTimeTooSkewed"))


def _asked(bucket: Bucket, operation: str) -> dict[str, Any]:
    """The answer of S3, empty where there is no such configuration. Raises ArchiveUnavailable."""
    try:
        with told(f"the bucket {bucket.options.bucket} does not say ({operation})"):
            reply: dict[str, Any] = getattr(bucket.client, operation)(Bucket=bucket.options.bucket)
            return reply
    except ArchiveUnavailable as error:
        if error.code in _ABSENT:
            return {}
        raise


def _lock(what: str, bucket: Bucket) -> Finding:
    if not bucket.options.lock:
        return Finding(what, True, "not asked for (archive_lock: none): who may delete objects can delete evidence")
    found = _asked(bucket, "get_object_lock_configuration").get("ObjectLockConfiguration", {})
    mode, days = bucket.options.lock.lower(), bucket.options.retention_days
    return Finding(
        what,
        found.get("ObjectLockEnabled") == "Enabled",
        f"each object is put in mode {mode} for {days} days" if found else "the bucket has none: it takes no part",
        "turn Object Lock on for the bucket (aws s3api put-object-lock-configuration), or say archive_lock: none",
    )


def _versions(what: str, bucket: Bucket) -> Finding:
    on = _asked(bucket, "get_bucket_versioning").get("Status") == "Enabled"
    detail = "what is written over or deleted is still there" if on else "off: what is written over or deleted is gone"
    return Finding(what, on, detail, "turn versioning on for the bucket")


def _public(what: str, bucket: Bucket) -> Finding:
    found = _asked(bucket, "get_public_access_block").get("PublicAccessBlockConfiguration", {})
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    open_ones = [name for name in names if not found.get(name)]
    detail = f"not blocked: {', '.join(open_ones)}" if open_ones else "blocked"
    return Finding(what, not open_ones, detail, "block all public access to the bucket (put-public-access-block)")


def _keys(what: str, bucket: Bucket) -> Finding:
    if not bucket.options.keys:
        return Finding(what, True, "none of ours (no archive_keys): S3 encrypts what it stores by a key of its own")
    names = ArchiveKeys(bucket.options).try_out("doctor")
    return Finding(what, True, f"{names[0]} wraps data keys" + "".join(f"; {name} unwraps" for name in names[1:]))


def _archiver(what: str, state: Path, now: float) -> Finding:
    status = read_status(state)
    found = trouble(status, now)
    detail = "; ".join(found) or summary(status or {})
    return Finding(
        f"{what}: archiver", not found, detail, "run chaperone archive --follow beside the gateway, see its log"
    )
