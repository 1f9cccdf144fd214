"""An identity provider whose every answer can be bent, and a clock to outlast them with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.issuer import Clock, Issuer, issuer


@pytest.fixture
def idp() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


@pytest.fixture
def clock() -> Clock:
    return Clock()
