"""What people may do on the console's pages: see, decide, or stop others, by the groups that their provider says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from pydantic import Field

from addons.core.documents import SpecModel
from addons.core.identity_provider import Text


class Role(IntEnum):
    """Each may do what those before it may. To decide, one must be allowed to by the rule that asks, too."""

    NONE = 0
    VIEWER = 1
    APPROVER = 2
    ADMIN = 3


class RolesSpec(SpecModel):
    """Who may use the console's pages: the groups of each role. Left out, nobody."""

    viewer: list[Text] = Field(default=[], description="these groups see what waits, sessions and locks")
    approver: list[Text] = Field(
        default=[], description="these see it and decide, where they may decide by `chaperone approvals` and `grants`"
    )
    admin: list[Text] = Field(default=[], description="these do all of that, lock sessions and lift locks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The groups of each role."""

    viewer: frozenset[str] = frozenset()
    approver: frozenset[str] = frozenset()
    admin: frozenset[str] = frozenset()

    @classmethod
    def of(cls, spec: RolesSpec) -> Roles:
        """As the rules say."""
        return cls(viewer=frozenset(spec.viewer), approver=frozenset(spec.approver), admin=frozenset(spec.admin))

    def role(self, groups: Iterable[str]) -> Role:
        """The most that somebody in these groups may do."""
        named = ((Role.ADMIN, self.admin), (Role.APPROVER, self.approver), (Role.VIEWER, self.viewer))
        mine = frozenset(groups)
        return next((role for role, members in named if not members.isdisjoint(mine)), Role.NONE)
