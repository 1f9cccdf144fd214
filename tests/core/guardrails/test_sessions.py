"""Rules about what happens inside a session."""

from __future__ import annotations

import pytest

from addons.core.decision import Thresholds, Verdict
from addons.core.documents import parse_documents
from addons.core.guardrails import Facts, GuardrailSet, compile_guardrails
from addons.core.guardrails.selftest import request_of
from addons.core.profile import Profile
from addons.core.session_events import Copied, Event, Line, Reached

RULES = """
apiVersion: chaperone/v1
kind: Guardrail
metadata: {name: %s}
spec:
  description: A rule about what happens in a session.
  match: {apiGroups: [""], resources: [%s], verbs: [connect], each: %s}
  when: %s
  verdict: %s
  reason: because
  hint: do not
  tests:
    - {expect: match, request: GET /api/v1/namespaces/a/pods/p/%s, %s}
    - {expect: no-match, request: GET /api/v1/namespaces/a/pods/p/%s, %s}
"""
EXAMPLES = {
    "rm": ("pods/exec", "line", '\'"rm" in line.programs\'', "deny", "exec", "line: sudo rm x", "exec", "line: ls"),
    "root": ("pods/exec", "output", 'line.text.startsWith("root:")', "warn", "exec", 'line: "root:x"', "exec", "line: x"),  # noqa: E501
    "etc": ("pods/exec", "file", '\'file.direction == "in" && file.name.endsWith(".sh")\'', "require_approval",
            "exec", "file: {name: a.sh, direction: in}", "exec", "file: {name: a.sh, direction: out}"),
    "ssh": ("pods/portforward", "port", "port == 22", "deny", "portforward", "port: 22", "portforward", "port: 80"),
}  # fmt: skip


def compiled(*names: str) -> tuple[GuardrailSet, list[str]]:
    documents, _ = parse_documents("---".join(RULES % (name, *EXAMPLES[name]) for name in names), "rules.yaml")
    rules, problems = compile_guardrails(documents)
    return rules, [problem.message for problem in problems]


EXEC = request_of("GET /api/v1/namespaces/a/pods/p/exec?command=sh")


@pytest.mark.parametrize(
    ("events", "verdict", "about"),
    [
        ([Line("rm -rf /", "stdin")], Verdict.DENY, "rm"),
        ([Line("rm -rf /", "stdout")], None, ""),
        ([Line("root:x:0", "stderr")], Verdict.WARN, "root"),
        ([Line("root:x:0", "stdout"), Copied("x.sh", "in")], Verdict.REQUIRE_APPROVAL, "etc"),
        ([Line("rm x", "stdin"), Copied("x.sh", "in")], Verdict.DENY, "rm"),
        ([Line("ls", "stdin")], None, ""),
        ([Reached(22)], None, ""),
    ],
)
def test_the_strictest_of_what_happens(events: list[Event], verdict: Verdict | None, about: str) -> None:
    rules, problems = compiled(*EXAMPLES)
    assert problems == []
    judged = rules.judge_events(events, Facts(request=EXEC, connection="c"), Thresholds(), Profile.STANDARD)
    assert [(each.verdict, each.rule) for each, _ in judged] == ([(verdict, about)] if verdict else [])


def test_all_that_comes_at_once_and_needs_a_human_is_asked_about() -> None:
    """One message is passed on or not: whoever agreed to its first file would agree to the second unseen."""
    rules, _ = compiled(*EXAMPLES)
    events: list[Event] = [Copied("x.sh", "in"), Line("root:x:0", "stdout"), Copied("y.sh", "in")]
    judged = rules.judge_events(events, Facts(request=EXEC, connection="c"), Thresholds(), Profile.STANDARD)
    assert [event for _, event in judged] == [events[0], events[2]]


def test_the_request_itself_is_none_of_their_business() -> None:
    rules, _ = compiled(*EXAMPLES)
    assert rules.candidates(EXEC, "c") == ()


def test_an_event_happens_where_it_can() -> None:
    text = (RULES % ("x", *EXAMPLES["ssh"])).replace("each: port", "each: line").replace("port == 22", "'true'")
    documents, _ = parse_documents(text, "rules.yaml")
    assert "pods/attach and pods/exec" in compile_guardrails(documents)[1][0].message


def test_an_example_of_a_file_without_one_has_no_answer() -> None:
    text = (RULES % ("x", *EXAMPLES["etc"])).replace(", file: {name: a.sh, direction: in}", "")
    documents, _ = parse_documents(text, "rules.yaml")
    assert "could not be evaluated" in compile_guardrails(documents)[1][0].message
