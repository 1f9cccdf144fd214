"""The settings of the archive, and of how long evidence stays in the state folder. Part of `Settings`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from addons.core.archive.options import ArchiveOptions
from addons.core.safe_url import is_safe_url

_ARN = r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[0-9A-Za-z-]+"
_Endpoint = Annotated[str, Field(pattern=r"^(https?://[^\s/?#]+/?)?$")]


class ArchiveSettings(BaseModel):
    """Frozen. Without `archive_bucket`, evidence is in the state folder alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    archive_bucket: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$")] = ""
    """S3 bucket that evidence is copied to (`chaperone archive`)."""
    archive_prefix: Annotated[str, Field(pattern=r"^([0-9A-Za-z][0-9A-Za-z._-]*/)*$", max_length=200)] = ""
    """How the keys of all objects begin, with a slash at its end. Each gateway needs its own."""
    archive_region: Annotated[str, Field(pattern=r"^[a-z0-9-]*$")] = ""
    """The bucket's region; without it, that of the environment."""
    archive_endpoint: _Endpoint = ""
    """URL of S3, where it is not the region's own."""
    archive_lock: Literal["", "compliance", "governance", "none"] = ""
    """Mode of Object Lock of each object. Must be said: what is not locked can be deleted."""
    archive_retention_days: Annotated[int, Field(ge=1, le=36500)] | None = None
    """For how long each object is locked, from when it was put."""
    archive_keys: list[Annotated[str, Field(pattern=rf"^(kms:{_ARN}|file:.+)$")]] = []
    """Keys that wrap data keys: the first what is new, the others only unwrap. Without any, nothing is encrypted."""
    archive_kms_endpoint: _Endpoint = ""
    """URL of KMS, where it is not the region's own."""
    archive_sse_kms_key: Annotated[str, Field(pattern=rf"^({_ARN})?$")] = ""
    """KMS key by which S3 encrypts what it stores, instead of its own."""
    archive_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """How often what is new is copied."""
    keep_days: Annotated[int, Field(ge=1, le=36500)] | None = None
    """Sessions that nothing was recorded in for so long are removed here; none without it."""

    @property
    def archive(self) -> ArchiveOptions | None:
        """Where the archive is; None without one."""
        if not self.archive_bucket:
            return None
        return ArchiveOptions(
            bucket=self.archive_bucket,
            prefix=self.archive_prefix,
            region=self.archive_region,
            endpoint=self.archive_endpoint,
            lock="" if self.archive_lock == "none" else self.archive_lock.upper(),
            retention_days=self.archive_retention_days or 0,
            keys=tuple(self.archive_keys),
            kms_endpoint=self.archive_kms_endpoint,
            sse_kms_key=self.archive_sse_kms_key,
        )


def archive_contradictions(settings: ArchiveSettings) -> Iterator[tuple[Sequence[str], str]]:
    """What is right by itself and wrong together: the keys to look at, and what is wrong."""
    if not settings.archive_bucket:
        said = [name for name in settings.model_fields_set if name.startswith("archive_")]
        if any(getattr(settings, name) for name in said):
            yield sorted(said), "archive_bucket is missing: the other settings of the archive are for a bucket"
        return
    if not settings.archive_lock:
        why = "compliance, governance, or none, where anybody with the right to may delete evidence"
        yield ("archive_lock", "archive_bucket"), f"archive_lock is missing: {why}"
    elif (settings.archive_lock == "none") != (settings.archive_retention_days is None):
        keys = ("archive_retention_days", "archive_lock")
        yield keys, "archive_lock of compliance or governance and archive_retention_days belong together"
    for name in ("archive_endpoint", "archive_kms_endpoint"):
        if (url := getattr(settings, name)) and not is_safe_url(url):
            yield (name,), f"{name} must be https://: evidence does not leave this machine in clear"


def absolute_keys(settings: ArchiveSettings, folder: Path) -> dict[str, Any]:
    """`archive_keys` with paths that do not depend on the working folder."""
    return {"archive_keys": [_absolute(entry, folder) for entry in settings.archive_keys]}


def _absolute(entry: str, folder: Path) -> str:
    return f"file:{folder / entry.removeprefix('file:')}" if entry.startswith("file:") else entry
