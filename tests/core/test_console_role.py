from __future__ import annotations

import pytest

from addons.core.console_role import Role, Roles, RolesSpec

ROLES = Roles.of(RolesSpec.model_validate({"viewer": ["all"], "approver": ["oncall", "leads"], "admin": ["sre"]}))


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        ((), Role.NONE),
        (("others",), Role.NONE),
        (("all",), Role.VIEWER),
        (("leads", "others"), Role.APPROVER),
        (("all", "oncall"), Role.APPROVER),
        (("sre",), Role.ADMIN),
        (("all", "oncall", "sre"), Role.ADMIN),
        (("ALL",), Role.NONE),
    ],
)
def test_the_most_that_a_group_gives(groups: tuple[str, ...], role: Role) -> None:
    assert ROLES.role(groups) is role


def test_without_roles_nobody_has_one() -> None:
    assert Roles.of(RolesSpec()).role(["sre"]) is Roles().role(["sre"]) is Role.NONE
