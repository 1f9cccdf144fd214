"""Mistakes in a rule that its schema cannot express: rules that look right and would not match what they are about."""

from __future__ import annotations

from collections.abc import Iterator

from addons.core.documents import Path
from addons.core.guardrails.matching import names_connect
from addons.core.guardrails.models import GuardrailSpec, MatchSpec

_CREATE_ONLY = frozenset(
    {
        "bindings",
        "pods/binding",
        "pods/eviction",
        "serviceaccounts/token",
        "tokenreviews",
        "localsubjectaccessreviews",
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
        "selfsubjectreviews",
        "subjectaccessreviews",
    }
)
"""Resources without PATCH, hence without server-side apply."""


_READS = frozenset({"get", "list", "watch", "*"})


def mistakes(spec: GuardrailSpec) -> Iterator[tuple[Path, str]]:
    """Every mistake with the path of the field to change."""
    yield from list(_connect(spec.match)) or _apply(spec.match)
    yield from _sessions(spec.match)
    yield from _webhook(spec)
    if spec.alert is not None and spec.match.each != "request":
        yield ("spec", "alert"), "alert: is about requests, not about what happens in the session that one opens"
    yield from _approvals(spec)
    expected = {test.expect for test in spec.tests}
    for outcome in ("match", "no-match"):
        if outcome not in expected:
            yield ("spec", "tests"), f"tests: at least one test must expect {outcome}"
    for index, test in enumerate(spec.tests):
        if test.harmless and test.expect == "match":
            yield ("spec", "tests", index, "harmless"), "tests: what a rule must match is not harmless"


def _connect(match: MatchSpec) -> Iterator[tuple[Path, str]]:
    verbs = set(match.verbs)
    connecting = [resource for resource in match.resources if names_connect(match.api_groups, resource)]
    if connecting and verbs.isdisjoint({"connect", "*"}):
        yield (
            ("spec", "match", "verbs"),
            f"match.verbs: {', '.join(connecting)} is opened by GET as well as POST, so its only verb is connect",
        )


_SESSIONS = {
    "line": frozenset({"pods/exec", "pods/attach"}),
    "output": frozenset({"pods/exec", "pods/attach"}),
    "file": frozenset({"pods/exec", "pods/attach"}),
    "port": frozenset({"pods/portforward"}),
}


def _webhook(spec: GuardrailSpec) -> Iterator[tuple[Path, str]]:
    if spec.webhook is None:
        return
    if reads := _READS & set(spec.match.verbs):
        yield (
            ("spec", "match", "verbs"),
            f"match.verbs: admission is about changes, so a rule with a webhook has no {', '.join(sorted(reads))}",
        )
    if spec.match.each != "request":
        yield ("spec", "match", "each"), "match.each: a policy service is asked about requests only"


def _approvals(spec: GuardrailSpec) -> Iterator[tuple[Path, str]]:
    found, here = spec.approvals, ("spec", "approvals")
    if spec.verdict == "deny" and found.model_fields_set:
        yield here, "approvals: nobody is asked where this rule denies"
    if found.reuse != "never" and spec.match.each != "request":
        yield (*here, "reuse"), "approvals.reuse: what happens inside a session is approved once"
    if found.reuse == "never" and found.model_fields_set & {"max_minutes", "any_name"}:
        yield here, "approvals: maxMinutes and anyName go with reuse: session or reuse: minutes"
    if found.any_name and spec.webhook is not None:
        yield (*here, "anyName"), "approvals.anyName: the policy service is asked about the object, which is another"


def _sessions(match: MatchSpec) -> Iterator[tuple[Path, str]]:
    allowed = _SESSIONS.get(match.each)
    if allowed is not None and not allowed.issuperset(match.resources):
        what = " and ".join(sorted(allowed))
        yield ("spec", "match", "each"), f"match.each: {match.each} happens in sessions of {what}, so name only those"


def _apply(match: MatchSpec) -> Iterator[tuple[Path, str]]:
    verbs = set(match.verbs)
    if verbs.isdisjoint({"create", "update"}) or verbs & {"patch", "*"} or _CREATE_ONLY.issuperset(match.resources):
        return
    yield ("spec", "match", "verbs"), "match.verbs: server-side apply creates and updates with PATCH, so add patch"
