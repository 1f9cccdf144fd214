"""Whether a cluster knows a role's credential as who it should be: the answer to a SelfSubjectReview."""

from __future__ import annotations

from addons.core.connection import SERVICE_ACCOUNT

_ANONYMOUS = "system:anonymous"


def mistaken(kind: str, role: str, username: str) -> str:
    """What to do about it if it is somebody else; "" if not. An EKS cluster maps roles to names of its own choice."""
    if username == _ANONYMOUS:
        return "the credential was not looked at: does something before the API server take Authorization away?"
    if kind == SERVICE_ACCOUNT and username != role:
        return f"it should be {role}: does serviceAccount.kubeconfig lead to the same cluster as host and address?"
    return ""
