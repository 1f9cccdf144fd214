"""Questions for these tests."""

from __future__ import annotations

from typing import Any

from addons.core.approval import Approval, Ask, Case, State

NOW = 1_800_000_000.0


def case(state: State = State.PENDING, answered: tuple[str, str] | None = None, **changes: Any) -> Case:
    """A question; `answered` is by whom, and with which note."""
    approver, note = answered or ("", "")
    approval = Approval(
        id="abcd2345", digest="d" * 64, state=state, asked_at=NOW, expires_at=NOW + 900, approver=approver, note=note,
        answered_at=NOW + 5 if answered else None,
    )  # fmt: skip
    values: dict[str, Any] = {
        "requester_iss": "https://idp.example", "requester_sub": "agent-7", "requester_act": "bot",
        "requester_owner": "carol@example.com", "requester_groups": ("agents",), "connection": "prod", "session": "s1",
        "verb": "connect", "resource": "pods/exec", "namespace": "shop", "name": "web-1", "argv": ("sh", "-c", "id"),
        "method": "CONNECT", "target": "/api/v1/namespaces/shop/pods/web-1/exec?command=sh", "command": "kubectl exec",
        "rule": "exec-needs-approval", "risk": 60, "reason": "runs code", "intent": "INC-7", "diff": "",
    }  # fmt: skip
    return Case(approval=approval, ask=Ask(**values | changes))
