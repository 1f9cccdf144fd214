"""An answer that comes back from elsewhere: which question it is about, what it says, and who must prove to give it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from addons.core.approval import State

MAX_BODY = 64 * 1024
MAX_NOTE = 1000


class Unreadable(ValueError):
    """It is not what it should be. The message is for whoever sent it, and holds nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What somebody has decided. `digest` is what they were shown with the question."""

    id: str
    digest: str
    approve: bool
    note: str = ""

    @property
    def state(self) -> State:
        """What the approval becomes."""
        return State.GRANTED if self.approve else State.DENIED


class Callback(BaseModel):
    """The body of an answer by webhook. `token` proves who decides: the shared secret decides nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    id: str = Field(min_length=1, max_length=64)
    digest: str = Field(min_length=1, max_length=128)
    decision: Literal["approve", "deny"]
    note: str = Field(default="", max_length=MAX_NOTE)
    token: str = Field(min_length=1, max_length=32768, repr=False)

    @model_validator(mode="after")
    def _says_why(self) -> Callback:
        if self.decision == "deny" and not self.note.strip():
            raise ValueError("a denial needs a note: the agent is told")
        return self

    @property
    def what(self) -> Decision:
        """The decision without the proof."""
        return Decision(id=self.id, digest=self.digest, approve=self.decision == "approve", note=self.note)


def read_callback(body: bytes) -> Callback:
    """The answer in a body, which must have been verified. Raises Unreadable."""
    try:
        return Callback.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise Unreadable("; ".join(f"{_where(item['loc'])}{item['msg']}" for item in found)) from None


def _where(location: tuple[str | int, ...]) -> str:
    """Names of ours only: an unknown key may be a token that was put in the wrong place."""
    known = [str(part) for part in location if part in Callback.model_fields]
    return f"{'.'.join(known)}: " if known else ""
