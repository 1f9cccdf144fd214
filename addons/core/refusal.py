"""A refusal an agent can act on, as a `metav1.Status`.

Source: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md
(Response Status Kind). Codes: 403 policy, 404 no such cluster, 429 while an approval is pending, 503 when the gateway
cannot judge, 413 too large to inspect, 431 a head without end, 400 ambiguous, 401 only for the caller's own token.
Never 422: clients treat it as their own mistake.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    421: "BadRequest",
    429: "TooManyRequests",
    431: "BadRequest",
    500: "InternalError",
    502: "InternalError",
    503: "ServiceUnavailable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """`what` was refused, by which `rule`, `why`, what to do instead (`hint`). `retry_after_seconds` allows a retry.

    `what` continues "chaperone refused to"; whoever answers fills it in where it is left out.
    """

    code: int
    rule: str
    why: str
    hint: str = ""
    what: str = ""
    retry_after_seconds: int | None = None
    retry: str = ""
    """Whether to send it again, where that is neither "after some seconds" nor "never"."""

    def message(self, reference: str) -> str:
        """One line per fact: kubectl prints `Status.message` with its newlines and nothing else of a 403."""
        what = f"to {self.what}" if self.what else "this request"
        lines = [f"chaperone refused {what}", f"  rule: {self.rule}", f"  why: {self.why}"]
        if self.hint:
            lines.append(f"  do instead: {self.hint}")
        lines.append(f"  retry: {self._retry()}")
        lines.append(f"  reference: {reference}")
        return "\n".join(lines)

    def plain(self, reference: str) -> bytes:
        """The message alone. client-go reads discovery raw: of a refusal it shows plain text and drops a Status."""
        return self.message(reference).encode("utf-8", "replace")

    def _retry(self) -> str:
        if self.retry_after_seconds is not None:
            return f"yes, the same request, after {self.retry_after_seconds}s"
        return self.retry or "no, the answer will be the same"

    def status(self, reference: str) -> bytes:
        """The body, as compact JSON in UTF-8."""
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message(reference),
            "reason": _REASONS[self.code],
            "details": {
                "causes": [{"reason": self.rule, "message": self.why}],
                **({} if self.retry_after_seconds is None else {"retryAfterSeconds": self.retry_after_seconds}),
            },
            "code": self.code,
        }
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
