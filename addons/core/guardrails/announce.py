"""What an agent is told of a decision: the refusal when it was denied, warnings when it was not stopped."""

from __future__ import annotations

from addons.core.approval import opens_stream
from addons.core.decision import Decision, Verdict
from addons.core.guardrails.effective import ServerRefusal, Unanswered
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal

SERVER_DRY_RUN = "server-dry-run"
_WOULD = {
    Verdict.ALLOW: "allow",
    Verdict.WARN: "warn about",
    Verdict.REQUIRE_APPROVAL: "ask a person about",
    Verdict.DENY: "deny",
}


def refusal_of(decision: Decision, request: KubeRequest) -> Refusal | None:
    """The refusal of a denied request, None for every other verdict.

    429 where the rule says when to come back: clients then do by themselves, but for exec, attach and port-forward.
    """
    if decision.verdict is not Verdict.DENY:
        return None
    later = decision.retry_after_seconds
    return Refusal(
        code=403 if later is None or opens_stream(request) else 429,
        rule=decision.rule,
        why=decision.reason,
        hint=decision.hint,
        retry_after_seconds=later,
    )


def server_refusal(answer: ServerRefusal) -> Refusal:
    """For the record, when the agent gets the API server's own answer. A redirect or a success would be no refusal."""
    if answer.status < 400:
        raise ValueError(f"the API server answered {answer.status} where it must give an object or refuse")
    return Refusal(
        code=answer.status,
        rule=SERVER_DRY_RUN,
        why=f"the API server refused {answer.asked} with status {answer.status}",
    )


def tells_of_the_cluster(refusal: Refusal | None) -> bool:
    """True if the answer is the API server's own: it must be on record like any other reply of the cluster."""
    return refusal is not None and refusal.rule == SERVER_DRY_RUN


def unanswered(error: Unanswered) -> Refusal:
    """For a request that cannot be judged now, because a rule reads what only the API server knows."""
    return Refusal(
        code=503,
        rule="effective-object-unavailable",
        why=f"a rule reads what this request would result in, and the cluster could not say: {error}",
        hint="wait; if it stays so, tell the people who run the gateway the reference",
        retry_after_seconds=5,
    )


def warnings_of(decision: Decision) -> list[str]:
    """One line per match that warns, and per match that only reports whatever its verdict would have been."""
    lines = []
    for match in decision.matches:
        if match.shadow:
            lines.append(f"shadow: {match.rule}, on trial, would {_WOULD[match.verdict]} this: {match.reason}")
        elif match.verdict is Verdict.WARN:
            lines.append(f"{match.rule}: {match.reason}; {match.hint}")
        elif decision.observed is not None:
            lines.append(f"observed: {match.rule} would {_WOULD[match.verdict]} this: {match.reason}; {match.hint}")
    return lines
