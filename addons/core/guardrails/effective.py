"""What a write results in, asked of the API server: the request's own dry run, under the same role.

Only the question and its answers are here; `addons/edge/upstream.py` asks it.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from addons.core.grant import Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRefusal:
    """The API server's own answer to a dry run it would not perform: the agent gets it as it is."""

    status: int
    body: bytes
    content_type: str = "application/json"


class EffectiveObject(Protocol):
    """Objects as the API server sees them. A server that cannot be reached raises: without an answer nothing passes."""

    async def effective(
        self, grant: Grant, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, Any] | ServerRefusal:
        """The defaulted, mutated, validated object a write would store. Nothing is stored by asking."""

    async def current(self, grant: Grant, path: str) -> Mapping[str, Any] | ServerRefusal | None:
        """The object now stored at `path`; None when there is none (404)."""
