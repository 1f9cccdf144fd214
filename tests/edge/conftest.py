"""An identity provider whose every answer can be bent, a clock to outlast them with, and a cloud to archive in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.archives import Aws, MakeEvidence, aws, maker
from tests.support.issuer import Clock, Issuer, issuer


@pytest.fixture
def idp() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def cloud() -> Iterator[Aws]:
    with aws() as running:
        yield running


@pytest.fixture
def evidence(cloud: Aws, tmp_path: Path) -> MakeEvidence:
    return maker(cloud, tmp_path / "state")
