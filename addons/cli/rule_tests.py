"""`chaperone rules test`: the tests that rules carry, rule by rule."""

from __future__ import annotations

import fnmatch
import json
from typing import Annotated, Any

from cyclopts import Parameter

from addons.cli.ruleset import NO_SECRET_KEY, Output, Rules, folders
from addons.core.problem import InvalidConfiguration
from addons.core.rule_tests import Tried, run_tests
from addons.edge.rulefiles import read_rules


def test(
    *names: str,
    verbose: Annotated[bool, Parameter(alias="-v", help="Show every test, not only what failed.")] = False,
    rules: Rules = None,
    output: Output = "text",
) -> int:
    """Run the tests that guardrails, masking rules and detectors carry; exit status 1 if one fails.

    ```
    chaperone rules test 'no-*' --verbose
    ```

    Parameters
    ----------
    names
        Only rules of these names, with `*` as wildcard.
    """
    documents, problems = read_rules(folders(rules))
    if problems:
        raise InvalidConfiguration(problems)
    tested = [
        rule
        for rule in run_tests(documents, NO_SECRET_KEY)
        if not names or any(fnmatch.fnmatchcase(rule.document.name, name) for name in names)
    ]
    if not tested:
        raise LookupError(f"no rule with tests is named {' or '.join(names)}; `chaperone rules list` names them")
    if output == "json":
        print(json.dumps([_as_json(rule) for rule in tested], indent=2))
    else:
        _show(tested, verbose)
    return 1 if any(rule.failed or rule.problems for rule in tested) else 0


def _show(tested: list[Tried], verbose: bool) -> None:
    width = max(len(rule.document.name) for rule in tested)
    for rule in tested:
        wrong = rule.failed or rule.problems
        count = f"{rule.failed} of {len(rule.outcomes)} failed" if rule.failed else f"{len(rule.outcomes)} passed"
        print(f"{'FAIL' if wrong else 'ok  '}  {rule.document.kind:<9}  {rule.document.name:<{width}}  {count}")
        for problem in rule.problems:
            print(f"      {problem}")
        for test in rule.outcomes:
            if test.failure:
                print(f"      {rule.document.file}:{test.line}: test {test.number}: {test.failure}")
            elif verbose:
                print(f"      ok  {test.about}")
    total, failed = sum(len(rule.outcomes) for rule in tested), sum(rule.failed for rule in tested)
    print(f"{len(tested)} rules, {total} tests, {failed} failed")


def _as_json(rule: Tried) -> dict[str, Any]:
    document = rule.document
    return {
        "kind": document.kind,
        "name": document.name,
        "file": document.file,
        "problems": [str(problem) for problem in rule.problems],
        "tests": [
            {"number": test.number, "line": test.line, "about": test.about, "passed": not test.failure}
            | ({"failure": test.failure} if test.failure else {})
            for test in rule.outcomes
        ],
    }
