"""What the matches of a request come to, under the connection's profile.

* Standard: the strictest match decides; no match is allowed.
* Strict: a verdict of `warn` asks a human, and so does a write that no rule speaks about where rules are most likely to
  have a gap: cluster-scoped objects and kinds that are not Kubernetes' own.
* Observe: the strictest match is reported and stops nothing. A rule that could not be evaluated still denies: nobody
  knows what it would have said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from addons.core.decision import Decision, Match, Verdict
from addons.core.guardrails.rate import writes
from addons.core.kube_request import KubeRequest
from addons.core.profile import Profile
from addons.core.resources import BUILTIN_AND_OPTIONAL

ALLOWED = Decision(verdict=Verdict.ALLOW)
_KNOWN = frozenset((group, name) for group, _, name in BUILTIN_AND_OPTIONAL)
_QUESTIONS_ABOUT_ONESELF = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
_UNJUDGED = Match(
    rule="unjudged-write",
    verdict=Verdict.REQUIRE_APPROVAL,
    risk=50,
    reason="no rule speaks about this write, and the profile strict lets nobody write there without one",
    hint="ask for approval, or have a rule written for it; one of risk 0 says that it is harmless",
)


def outcome(matches: Sequence[Match], request: KubeRequest, profile: Profile) -> Decision:
    """The decision; its `matches` are all of them, the deciding one first."""
    if profile is Profile.STRICT:
        matches = _strict(matches, request)
    if not matches:
        return ALLOWED
    ordered = tuple(sorted(matches, key=_precedence))
    if profile is Profile.OBSERVE:
        return _observed(ordered)
    return _decided_by(ordered[0], ordered)


def _strict(matches: Sequence[Match], request: KubeRequest) -> Sequence[Match]:
    if all(match.shadow for match in matches) and _unjudged(request):
        return [*matches, _UNJUDGED]
    return [
        replace(match, verdict=Verdict.REQUIRE_APPROVAL) if match.verdict is Verdict.WARN and match.fixed else match
        for match in matches
    ]


def _unjudged(request: KubeRequest) -> bool:
    """True for writes to cluster-scoped objects, namespaces among them, and to kinds Kubernetes does not come with."""
    if not request.is_resource_request or not writes(request) or request.resource in _QUESTIONS_ABOUT_ONESELF:
        return False
    cluster_scoped = not request.namespace or request.resource == "namespaces"
    return cluster_scoped or (request.api_group, request.resource) not in _KNOWN


def _observed(ordered: tuple[Match, ...]) -> Decision:
    for match in ordered:
        if match.unevaluable and not match.shadow:
            return _decided_by(match, ordered)
    decision = _decided_by(ordered[0], ordered)
    if decision.verdict <= Verdict.WARN:
        return decision
    return replace(decision, verdict=Verdict.WARN, observed=decision.verdict, retry_after_seconds=None)


def _precedence(match: Match) -> tuple[bool, int, bool, int, str]:
    """Of denials, one for good comes before one that passes by itself: waiting would not help."""
    return match.shadow, -match.verdict, match.retry_after_seconds is not None, -match.risk, match.rule


def _decided_by(match: Match, matches: tuple[Match, ...]) -> Decision:
    if match.shadow:
        return replace(ALLOWED, matches=matches)
    return Decision(
        verdict=match.verdict,
        risk=match.risk,
        rule=match.rule,
        reason=match.reason,
        hint=match.hint,
        retry_after_seconds=match.retry_after_seconds,
        matches=matches,
    )
