"""Rules and facts in as few words as a test needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from addons.core.decision import Decision, Thresholds
from addons.core.documents import parse_documents
from addons.core.grant import Grant
from addons.core.guardrails import Facts, GuardrailSet, compile_guardrails
from addons.core.guardrails.selftest import request_of
from addons.core.identity import Identity
from addons.core.problem import Problem

IDENTITY = Identity(
    iss="https://issuer.test", sub="agent", aud=("chaperone",), exp=2e9, groups=("agents",), owner="ann"
)
GRANT = Grant(
    id="g1",
    identity=IDENTITY,
    connection="prod",
    role="reader",
    intent="INC-42",
    granted_by="rule r",
    not_before_at=0,
    expires_at=60,
)
PODS = "apiGroups: ['', apps, batch], resources: ['*', pods/exec, pods/ephemeralcontainers], verbs: ['*']"
TESTS = """
  tests:
    - {expect: match, request: POST /api/v1/namespaces/a/pods, object: {metadata: {name: bad}, bad: true}}
    - {expect: no-match, request: GET /version}
"""


def rule(name: str = "r", *, match: str = PODS, body: str = "risk: 60", tests: str = TESTS) -> str:
    """A Guardrail document; what a test is not about is filled in."""
    head = f"apiVersion: chaperone/v1\nkind: Guardrail\nmetadata: {{name: {name}}}\nspec:\n  description: d\n"
    return f"{head}  match: {{{match}}}\n  {body}\n  reason: because {name}\n  hint: do {name}\n{tests.lstrip(chr(10))}"


def compiled(*rules: str) -> tuple[GuardrailSet, list[Problem]]:
    """The set and the problems of these documents, as one file."""
    documents, problems = parse_documents("\n---\n".join(rules), "rules.yaml")
    assert problems == []
    return compile_guardrails(documents)


def loaded(*rules: str) -> GuardrailSet:
    """The set of documents that have no problem."""
    guardrails, problems = compiled(*rules)
    assert problems == []
    return guardrails


def facts(request: str, **given: Any) -> Facts:
    """Facts about `METHOD TARGET`."""
    return Facts(
        **{"request": request_of(request), "identity": IDENTITY, "grant": GRANT, "connection": "prod", **given}
    )


def judged(guardrails: GuardrailSet, request: str, content: Mapping[str, Any] | None = None, **given: Any) -> Decision:
    """What the rules make of `METHOD TARGET` with this object."""
    what = facts(request, object=content, **given)
    return guardrails.judge(guardrails.candidates(what.request, what.connection), what, Thresholds())


def names(found: Sequence[Any]) -> list[str]:
    """The names of some rules."""
    return [item.name for item in found]
