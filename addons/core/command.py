"""kubectl's own hint of what it runs, and the sub-command the request looks like.

Both are for people and records. The hint is caller-supplied; neither is ever a policy input.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`claimed` is `Kubectl-Command` (KEP-859), `session` is `Kubectl-Session`; `inferred` is ours, from the request."""

    claimed: str = ""
    session: str = ""
    user_agent: str = ""
    inferred: str = ""
