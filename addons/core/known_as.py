"""Whether a cluster knows a role's credential as who it should be: the answer to a SelfSubjectReview."""

from __future__ import annotations

from addons.core.connection import IMPERSONATE, SERVICE_ACCOUNT
from addons.core.impersonation import user_of

_ANONYMOUS = "system:anonymous"


def mistaken(kind: str, role: str, username: str, subject: str) -> str:
    """What to do about it if it is somebody else; "" if not. An EKS cluster maps roles to names of its own choice.

    `subject` is the caller's.
    """
    if username == _ANONYMOUS:
        return "the credential was not looked at: does something before the API server take Authorization away?"
    if kind == SERVICE_ACCOUNT and username != role:
        return f"it should be {role}: does serviceAccount.kubeconfig lead to the same cluster as host and address?"
    if kind == IMPERSONATE and username != user_of(role, subject):
        return (
            f"it should be {user_of(role, subject)}: does something before the API server take Impersonate-User away?"
        )
    return ""
