"""An approval: one human answer to exactly one request, single use, expiring."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """pending → granted → consumed, or pending → denied, or pending/granted → expired."""

    PENDING = "pending"
    GRANTED = "granted"
    DENIED = "denied"
    EXPIRED = "expired"
    CONSUMED = "consumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """`digest` binds identity, connection, method, canonical target and body. Times are Unix seconds."""

    id: str
    digest: str
    state: State
    asked_at: float
    expires_at: float
    answered_at: float | None = None
    approver: str = ""
    note: str = ""
