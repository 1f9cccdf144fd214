"""Whom the gateway acts for on a connection of kind `impersonate`: a role becomes Impersonate-* headers.

Source: https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/ and
k8s.io/apiserver/pkg/endpoints/filters/impersonation (names of extra fields are lower case, with a domain, escaped).
"""

from __future__ import annotations

import re

from addons.core.grant import Grant
from addons.core.headers import Fields

_NAME = r"[!-~]{1,253}"
ROLE = rf"user:{_NAME}( group:{_NAME}){{0,15}}"
"""Names are what a header carries as it is."""
_SUBJECT = "{sub}"
_RESERVED = "system:"


class NotImpersonable(ValueError):
    """A name that must not be impersonated."""


def user_of(role: str, subject: str) -> str:
    """The user that a role stands for; `{sub}` in it is the caller's own subject. Raises NotImpersonable."""
    return _checked(role.partition(" ")[0].removeprefix("user:").replace(_SUBJECT, subject))


def groups_of(role: str) -> list[str]:
    """The groups of a role besides `system:authenticated`, which the API server adds. Raises NotImpersonable."""
    return [_checked(word.removeprefix("group:")) for word in role.split(" ")[1:]]


def impersonated(grant: Grant) -> Fields:
    """The headers that act for a grant: its user and groups, and in extra fields the grant and the caller.

    Raises NotImpersonable.
    """
    return (
        (b"impersonate-user", user_of(grant.role, grant.identity.sub).encode()),
        *((b"impersonate-group", group.encode()) for group in groups_of(grant.role)),
        (b"impersonate-extra-chaperone.dev%2fgrant", grant.id.encode()),
        (b"impersonate-extra-chaperone.dev%2fsubject", _checked(grant.identity.username).encode()),
    )


def reserved(role: str) -> bool:
    """True if a role names what Kubernetes keeps for itself, whoever asks: nodes, controllers, system:masters."""
    return any(word.partition(":")[2].startswith(_RESERVED) for word in role.split(" "))


def _checked(name: str) -> str:
    if not re.fullmatch("[!-~]+", name) or name.startswith(_RESERVED):  # a subject has been held to that before
        raise NotImpersonable(f"whom to impersonate must be printable ASCII that does not begin with {_RESERVED}")
    return name
