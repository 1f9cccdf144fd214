"""`doctor` finds each mistake of an archive that is right in every other way, as far as moto has it.

moto refuses nobody by IAM, and its clock is ours: what is said then is in `tests/core/archive/test_trouble.py`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from addons.edge.archive_keys import make_key_file
from addons.edge.archive_probes import examine_archive
from addons.edge.archive_status import status_file, write_status
from tests.support.archives import Aws, Evidence, MakeEvidence

BLOCKED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
WELL = {"written_at": 0.0, "every": 30, "where": "s3://b/", "parts": 1, "bytes": 2, "waiting_bytes": 0,
        "waiting_since": 0.0, "outage_since": 0.0, "error": "", "conflicts": {}}  # fmt: skip


@pytest.fixture
def ours(evidence: MakeEvidence, cloud: Aws) -> Evidence:
    made = evidence(keys=(f"kms:{cloud.key()}",))
    cloud.s3.put_public_access_block(Bucket=made.options.bucket, PublicAccessBlockConfiguration=BLOCKED)
    status_file(made.state).parent.mkdir(parents=True)
    write_status(made.state, WELL | {"written_at": time.time()})
    return made


def wrong(evidence: Evidence) -> dict[str, str]:
    """What is wrong with which part of it, and what to do about it."""
    found = [finding for finding in examine_archive(evidence.options, evidence.state, time.time()) if not finding.ok]
    return {finding.what.rpartition(": ")[2]: f"{finding.detail} -> {finding.remedy}" for finding in found}


def test_nothing_is_wrong(ours: Evidence) -> None:
    found = list(examine_archive(ours.options, ours.state, time.time()))
    assert [finding.detail for finding in found if not finding.ok] == []
    names = [finding.what.partition("gateway-1/")[2] for finding in found]
    assert names == ["", ": clock", ": Object Lock", ": versions", ": public access", ": encryption", ": archiver"]


def test_what_a_plain_bucket_lacks(ours: Evidence, cloud: Aws) -> None:
    ours.options = replace(ours.options, bucket=cloud.bucket(lock=False))
    found = wrong(ours)
    assert set(found) == {"Object Lock", "versions", "public access"}
    assert "it takes no part -> turn Object Lock on" in found["Object Lock"]
    assert "RestrictPublicBuckets" in found["public access"]
    ours.options = replace(ours.options, lock="", keys=())
    assert set(wrong(ours)) == {"versions", "public access"}


def test_what_cannot_be_reached(ours: Evidence, cloud: Aws) -> None:
    good = ours.options
    ours.options = replace(good, bucket="nowhere-to-be-found")
    assert "make the bucket" in next(iter(wrong(ours).values()))
    ours.options = replace(good, keys=(f"kms:{good.keys[0][4:-4]}dead",))
    assert "mend the ARN" in wrong(ours)["encryption"]
    cloud.gate.shut()
    try:
        ours.options = good
        (said,) = wrong(ours).values()
        assert "reachable from here?" in said
    finally:
        cloud.gate.open()


def test_a_key_file_and_an_archiver_that_is_silent(ours: Evidence, tmp_path: Path) -> None:
    make_key_file(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)
    ours.options = replace(ours.options, keys=(f"file:{tmp_path / 'key'}",))
    write_status(ours.state, WELL | {"written_at": time.time(), "conflicts": {"sessions/a/x": "shorter"}})
    found = wrong(ours)
    assert set(found) == {"encryption", "archiver"}
    assert "chmod 600" in found["encryption"]
    assert "sessions/a/x is not copied: shorter" in found["archiver"]
    write_status(ours.state, WELL | {"written_at": time.time(), "waiting_bytes": 7, "waiting_since": time.time() - 900})
    assert "7 bytes have waited for 15 minutes" in wrong(ours)["archiver"]


def test_a_clock_that_is_off(ours: Evidence) -> None:
    found = {finding.what.rpartition(": ")[2]: finding
             for finding in examine_archive(ours.options, ours.state, time.time() - 300)}  # fmt: skip
    assert not found["clock"].ok
    assert " seconds behind" in found["clock"].detail
    assert "set the clock" in found["clock"].remedy
