"""The settings of the archive: what is not said is not guessed, and what cannot be right does not start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from addons.core.archive.options import ArchiveOptions
from addons.settings import load_settings, read_settings

KMS = "kms:arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
WHOLE = {"archive_bucket": "acme-evidence", "archive_lock": "compliance", "archive_retention_days": 400}


def written(folder: Path, settings: dict[str, Any]) -> Path:
    file = folder / "mitm.conf"
    file.write_text(json.dumps(settings))
    return file


def test_without_a_bucket_there_is_no_archive(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, {"keep_days": 7})).archive is None


def test_an_archive(tmp_path: Path) -> None:
    more = {"archive_prefix": "gateway-1/", "archive_keys": [KMS, "file:old.key", "file:/etc/older.key"]}
    settings = load_settings(written(tmp_path, WHOLE | more))
    keys = (KMS, f"file:{tmp_path}/old.key", "file:/etc/older.key")
    assert settings.archive == ArchiveOptions(
        bucket="acme-evidence", prefix="gateway-1/", lock="COMPLIANCE", retention_days=400, keys=keys
    )
    unlocked = {"archive_bucket": "acme-evidence", "archive_lock": "none"}
    assert load_settings(written(tmp_path, unlocked)).archive == ArchiveOptions(bucket="acme-evidence")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"archive_bucket": ""}, "archive_bucket is missing"),
        ({"archive_lock": ""}, "archive_lock is missing: compliance, governance, or none"),
        ({"archive_lock": "none"}, "belong together"),
        ({"archive_retention_days": None}, "belong together"),
        ({"archive_retention_days": 0}, "greater than or equal to 1"),
        ({"archive_prefix": "gateway-1"}, "archive_prefix: String should match"),
        ({"archive_prefix": "../"}, "archive_prefix: String should match"),
        ({"archive_bucket": "Upper"}, "archive_bucket: String should match"),
        ({"archive_keys": ["kms:alias/evidence"]}, "archive_keys: String should match"),
        ({"archive_keys": ["secret"]}, "archive_keys: String should match"),
        ({"archive_endpoint": "http://s3.example"}, "must be https://"),
        ({"archive_kms_endpoint": "http://kms.example"}, "must be https://"),
        ({"archive_endpoint": "https://s3.example/path?x"}, "String should match"),
        ({"archive_seconds": 0}, "greater than or equal to 1"),
        ({"keep_days": 0}, "greater than or equal to 1"),
        ({"archive_bukket": "x"}, "did you mean archive_bucket?"),
    ],
    ids=str,
)
def test_a_mistake_is_named(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    settings = {key: value for key, value in (WHOLE | change).items() if value is not None}
    _, problems = read_settings(written(tmp_path, settings))
    assert [problem.message for problem in problems if why in problem.message], problems
