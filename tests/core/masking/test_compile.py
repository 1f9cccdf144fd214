"""Rule files: every mistake at its line, and no rule whose own tests fail."""

from __future__ import annotations

import pytest

from addons.core.masking import compile_masking
from tests.core.masking.support import RULES, compiled, delivered, request

HEAD = "apiVersion: chaperone/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  description: d\n"
TESTS = "  tests: [{given: {a: x}, expect: {a: MASKED}}, {given: {b: x}, expect: unchanged}]\n"
MATCH = "  match: {apiGroups: [''], resources: [things]}\n"


def masking(body: str, tests: str = TESTS, name: str = "m") -> str:
    return HEAD.format(kind="Masking", name=name) + MATCH + body + tests


def detector(body: str, tests: str, name: str = "d") -> str:
    return HEAD.format(kind="Detector", name=name) + body + f"  tests: {tests}\n"


GHP = "  start: ghp_\n  secret: '[a-z]{4,}'\n"
TWO = "[{given: ghp_abcd, expect: ghp_MASKED}, {given: x, expect: x}]"


@pytest.mark.filterwarnings("ignore:The `|` .union. operator")
@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param(masking("  paths: ['$.a']\n  pahts: []\n"), 8, "pahts", id="unknown key"),
        pytest.param(masking(""), 4, "at least one of paths", id="does nothing"),
        pytest.param(masking("  paths: ['$.a', '$[']\n"), 7, "$[: not JSONPath", id="no JSONPath"),
        pytest.param(masking("  paths: ['$.a | $.b']\n"), 7, "not supported", id="union"),
        pytest.param(masking("  json: ['$']\n"), 7, "whole object", id="whole object"),
        pytest.param(masking("  paths: ['$.a']\n  guard: false\n  mention: '('\n"), 9, "mention: not RE2", id="no RE2"),
        pytest.param(masking("  paths: ['$.a']\n  mention: x\n"), 4, "guard: false", id="mention and guard"),
        pytest.param(
            masking("  paths: ['$.a']\n  guard: false\n  mention: zzz\n"), 10, "mention is not found", id="mention"
        ),
        pytest.param(masking("  paths: ['$.z']\n"), 8, "test 1: gives {'a': 'x'}", id="failing test"),
        pytest.param(
            masking("  paths: ['$.a']\n", TESTS.replace("b: x", "a: y")), 8, "test 2: gives", id="failing unchanged"
        ),
        pytest.param(
            masking("  paths: ['$.a']\n", TESTS.replace("unchanged", "{b: x}").replace("b: x", "a: MASKED")),
            8,
            "one be unchanged",
            id="nothing unchanged",
        ),
        pytest.param(
            masking(
                "  paths: ['$.a']\n",
                TESTS.replace(
                    "{given: {b: x}, expect: unchanged}", "{given: {kind: List, items: 1}, expect: unchanged}"
                ),
            ),
            8,
            "",
            id="odd but fine",
        ),
        pytest.param(
            masking("  paths: ['$.a']\n", TESTS.replace("{given: {b: x}", "{given: {kind: XList, items: [1]}")),
            8,
            "not a Kubernetes object",
            id="unmaskable example",
        ),
        pytest.param(masking("  paths: ['$.a']\n", "  tests: []\n"), 8, "at least 2", id="no tests"),
        pytest.param(masking("  paths: ['$.a']\n").replace("things", "Things"), 6, "match.resources.0", id="resource"),
        pytest.param(detector("  start: '^x'\n  secret: y\n", TWO), 4, "anchors", id="anchor"),
        pytest.param(detector("  start: x\n", TWO), 4, "exactly one of secret and until", id="no extent"),
        pytest.param(
            detector("  start: x\n  until: y\n  then: z\n", TWO),
            4,
            "then and entropy belong to secret",
            id="then and until",
        ),
        pytest.param(detector(GHP, TWO.replace("MASKED", "X")), 8, "gives 'ghp_MASKED'", id="failing detector"),
        pytest.param(
            detector(GHP, "[{given: x, expect: x}, {given: y, expect: y}]"), 8, "at least one must mask", id="no hit"
        ),
        pytest.param(
            detector(
                "  start: '<key>'\n  secret: '[a-z]{8,}'\n",
                "[{given: <key>abcdefgh, expect: <key>MASKED}, {given: x, expect: x}]",
            ),
            8,
            "not found in JSON",
            id="start that JSON escapes",
        ),
        pytest.param(
            detector(
                "  start: 'k='\n  secret: '[a-z]{4,}'\n", "[{given: k=abcdef, expect: k=MASKED}, {given: x, expect: x}]"
            ),
            8,
            "masks its own result again",
            id="not idempotent",
        ),
        pytest.param(HEAD.format(kind="Guardrail", name="g"), 2, "kind must be Masking or Detector", id="kind"),
        pytest.param("kind: Masking\n", 1, "a document needs", id="no document"),
    ],
)
def test_mistakes_are_reported_where_they_are(text: str, line: int, message: str) -> None:
    _, problems = compiled(text)
    if not message:
        assert problems == []
        return
    assert [problem.line for problem in problems] == [line], problems
    assert message in problems[0].message


def test_all_mistakes_at_once() -> None:
    _, problems = compiled(
        "\n---\n".join([masking("  paths: ['$[', '$']\n"), masking("  detect: ['$.a']\n"), detector(GHP, "1")])
    )
    assert [(problem.line, problem.message[:20]) for problem in problems] == [
        (7, "paths: $[: not JSONP"),
        (7, "paths: $: selects th"),
        (13, "the name m is used t"),
        (18, "test 1: gives {'a': "),
        (28, "tests: Input should "),
    ]


def test_a_secret_that_depends_on_where_it_is_cut_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts are bounded so that this cannot happen; the check stands in case a bound is wrong."""
    monkeypatch.setattr("addons.core.masking.text.MAX_START_BYTES", 1)
    _, problems = compiled(
        detector(
            "  start: 'abcdefgh'\n  secret: '[0-9]{12}'\n",
            "[{given: abcdefgh123456789012 x, expect: abcdefghMASKED x}, {given: x, expect: x}]",
        )
    )
    assert "when cut after" in problems[0].message


def test_the_delivered_rules_have_no_problems() -> None:
    assert delivered()


def test_detectors_of_random_words_are_off_unless_asked_for() -> None:
    example = (RULES / "entropy.yaml.example").read_text()
    masker, problems = compiled(example)
    assert problems == []
    log = masker.plan(request("GET /api/v1/namespaces/a/pods/p/log")).text()
    random, regular = b"Zk3vR8qLmX0pTn5yWc7uHd2sJf9aGb4e", b"abababababababababababababababababab"
    assert b"".join([*log.feed(b"a=" + random + b" b=" + regular + b"\n"), *log.finish()]).endswith(
        b" b=" + regular + b"\n"
    )
    assert "random-word" not in {detector.name for detector in delivered()._detectors.all}


def test_the_key_must_be_long() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        compile_masking([], b"short")
