"""Profiles: how strictly a connection is judged when nobody has said more than one word about it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from addons.core.decision import Thresholds


class Profile(StrEnum):
    """`OBSERVE` reports and stops nothing; `STANDARD` is what rules are written for; `STRICT` asks a human earlier."""

    OBSERVE = "observe"
    STANDARD = "standard"
    STRICT = "strict"


THRESHOLDS: Mapping[Profile, Thresholds] = {
    Profile.OBSERVE: Thresholds(),
    Profile.STANDARD: Thresholds(),
    Profile.STRICT: Thresholds(warn=10, approve=30, deny=80),
}
"""What a connection's own `thresholds` leave out."""
