from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.delete_options import NO_OPTIONS, DeleteOptions, options_of_object, options_of_protobuf
from addons.core.strict_json import UnreadableBody

FORCED = DeleteOptions(grace_period_seconds=0)
ORPHANING = DeleteOptions(propagation_policy="Orphan")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, NO_OPTIONS),
        ({"kind": "DeleteOptions", "gracePeriodSeconds": 0}, FORCED),
        ({"propagationPolicy": "Orphan"}, ORPHANING),
        ({"orphanDependents": True}, DeleteOptions(orphan_dependents=True)),
        (
            {"ignoreStoreReadErrorWithClusterBreakingPotential": True},
            DeleteOptions(ignore_store_read_error=True),
        ),
        ({"gracePeriodSeconds": "0", "propagationPolicy": 1, "orphanDependents": "yes"}, NO_OPTIONS),
        ({"gracePeriodSeconds": False}, NO_OPTIONS),
    ],
)
def test_a_body_in_json(content: dict[str, Any], expected: DeleteOptions) -> None:
    assert options_of_object(content) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", NO_OPTIONS),
        (b"\x08\x00", FORCED),
        (b"\x08\x1e\x08\x00", FORCED),
        (b"\x08\x80\x01", DeleteOptions(grace_period_seconds=128)),
        (b"\x22\x06Orphan", ORPHANING),
        (b"\x18\x01", DeleteOptions(orphan_dependents=True)),
        (b"\x30\x01", DeleteOptions(ignore_store_read_error=True)),
        (b"\x2a\x03All\x22\x06Orphan", ORPHANING),
        (b"\x0a\x01x", NO_OPTIONS),
        (b"\x20\x01", NO_OPTIONS),
        (b"\x12\x02\x0a\x00\x98\x06\x01", NO_OPTIONS),
    ],
)
def test_a_body_in_protobuf(message: bytes, expected: DeleteOptions) -> None:
    assert options_of_protobuf(message) == expected


@pytest.mark.parametrize("message", [b"\x08", b"\x08\x80", b"\x22\x07Orphan", b"\x0d\x00\x00\x00\x00", b"\xff" * 12])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(UnreadableBody):
        options_of_protobuf(message)


@given(st.binary())
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    with contextlib.suppress(UnreadableBody):
        assert isinstance(options_of_protobuf(message), DeleteOptions)


def test_under_their_names_in_the_api() -> None:
    assert NO_OPTIONS.named() == {}
    assert FORCED.named() == {"gracePeriodSeconds": 0}
    assert DeleteOptions(propagation_policy="Orphan", orphan_dependents=True, ignore_store_read_error=True).named() == {
        "propagationPolicy": "Orphan",
        "orphanDependents": True,
        "ignoreStoreReadErrorWithClusterBreakingPotential": True,
    }
