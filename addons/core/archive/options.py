"""Where the archive is, and how it is kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveOptions:
    """A bucket and what every object in it gets.

    `lock` is S3's name of the Object Lock mode, "" for none; `keys` are `kms:ARN` or `file:PATH`: the first wraps what
    is new, all of them unwrap. Without keys, parts are stored as they are.
    """

    bucket: str
    prefix: str = ""
    region: str = ""
    endpoint: str = ""
    lock: str = ""
    retention_days: int = 0
    keys: tuple[str, ...] = ()
    kms_endpoint: str = ""
    sse_kms_key: str = ""
