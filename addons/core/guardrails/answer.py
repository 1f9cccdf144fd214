"""What an external policy service said of a request: an admission webhook's answer, read strictly.

Source: `AdmissionReview` in k8s.io/api/admission/v1/types.go. A service can only object: a patch it asks for makes an
answer that cannot be used, as does everything else that is not a whole answer to the very question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from addons.core.guardrails.cel import Unevaluable
from addons.core.printable import printable

API_VERSION = "admission.k8s.io/v1"
MAX_TEXT = 512
MAX_WARNINGS = 10


class UnusableAnswer(ValueError):
    """What came back is no answer to the question. The message is safe to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where a rule asks. `ca_file` is an absolute path; nothing else is trusted."""

    url: str
    ca_file: str
    timeout_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`allowed` None: there is no usable answer, and `message` says why."""

    allowed: bool | None
    message: str = ""
    warnings: tuple[str, ...] = ()

    def objects(self) -> bool:
        """True if the service refused. Raises Unevaluable when nobody knows."""
        if self.allowed is None:
            raise Unevaluable(self.message)
        return not self.allowed


NOT_ASKED = Answer(allowed=None, message="nobody has asked the policy service of this rule")


def read_answer(body: bytes, uid: str) -> Answer:
    """The answer to the review with this uid. Raises UnusableAnswer."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnusableAnswer("it answered with something that is no JSON") from None
    match content:
        case {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": dict(response)}:
            pass
        case _:
            raise UnusableAnswer(f"it did not answer with an AdmissionReview of {API_VERSION}")
    if response.get("uid") != uid:
        raise UnusableAnswer("its answer is to another question: the uid differs")
    allowed = response.get("allowed")
    if not isinstance(allowed, bool):
        raise UnusableAnswer("its answer says neither allowed nor denied")
    if response.get("patch") is not None:
        raise UnusableAnswer("it wants to change the object, which a rule cannot")
    return Answer(allowed=allowed, message=_message(response.get("status")), warnings=_warnings(response))


def _message(status: Any) -> str:
    text = status.get("message") if isinstance(status, Mapping) else None
    return printable(text)[:MAX_TEXT] if isinstance(text, str) else ""


def _warnings(response: Mapping[str, Any]) -> tuple[str, ...]:
    found = response.get("warnings")
    texts = [text for text in found if isinstance(text, str)] if isinstance(found, list) else []
    return tuple(printable(text)[:MAX_TEXT] for text in texts[:MAX_WARNINGS])
