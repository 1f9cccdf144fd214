"""`explain`, `mask` and `rules`, run as a user runs them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from scripts.devenv import forkserver
from scripts.devenv.forkserver import CHAPERONE
from tests.support.timing import quickest

ROOT = Path(__file__).parents[2]


def chaperone(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return forkserver.run([*CHAPERONE, *arguments], stdin=stdin, cwd=ROOT)


def test_explain_for_people() -> None:
    result = chaperone("explain", "DELETE /api/v1/namespaces/shop")
    assert result.returncode == 0
    assert result.stdout.startswith("require_approval (risk ")
    assert "rule: delete-namespace-needs-approval" in result.stdout


def test_explain_under_a_profile() -> None:
    answer = chaperone("explain", "DELETE /api/v1/namespaces/shop", "--profile", "observe")
    assert answer.stdout.startswith("warn (risk 80), observed only: it would be require_approval\n")
    answer = chaperone("explain", "DELETE /api/v1/namespaces/shop", "--profile", "lax")
    assert answer.returncode != 0


def test_explain_for_programs_and_with_a_body(tmp_path: Path) -> None:
    body = tmp_path / "pod.json"
    body.write_text('{"spec": {"hostNetwork": true, "containers": []}}')
    result = chaperone("explain", "POST /api/v1/namespaces/a/pods", "--body", str(body), "-o", "json")
    assert json.loads(result.stdout)["verdict"] == "deny"


def test_explain_batch_answers_every_line_in_order() -> None:
    questions = [
        {"id": 1, "method": "GET", "target": "/api/v1/namespaces/a/pods"},
        {"id": 2, "method": "GET", "target": "/api/v1/namespaces/a%2fb/pods"},
        {"id": 3, "method": "GET", "target": "/api/v1/secrets"},
        {"id": 4, "method": "GET", "target": "/apis/example.com/v1/foos"},
    ]
    result = chaperone("explain", "--batch", stdin="\n".join(map(json.dumps, questions)) + "\n\n")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    verdicts = [(answer["id"], answer["verdict"]) for answer in answers]
    assert verdicts == [(1, "allow"), (2, "refuse"), (3, "deny"), (4, "deny")]
    assert result.returncode == 0


def test_explain_batch_says_which_line_was_no_question() -> None:
    result = chaperone("explain", "--batch", stdin='{"id": 7}\nnot json\n[]\n')
    assert result.returncode == 1
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(answer["id"], answer["error"][:14]) for answer in answers] == [
        (7, "not a question"), (None, "not a question"), (None, "not a question"),
    ]  # fmt: skip


@pytest.mark.alone
def test_explain_batch_is_fast() -> None:
    line = json.dumps({"id": 1, "method": "GET", "target": "/api/v1/namespaces/a/pods"})

    def explained() -> None:
        assert chaperone("explain", "--batch", stdin=f"{line}\n" * 20_000).stdout.count("\n") == 20_000

    enough = 20_000 / 1_500
    assert quickest(explained, enough) < enough


def test_explain_for_an_unknown_connection_names_the_known_ones() -> None:
    result = chaperone("explain", "GET /api/v1/pods", "--connection", "nowhere")
    assert result.returncode == 1
    assert result.stderr == "chaperone: no connection is named nowhere; known are: none\n"


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"pw": "aHVudGVyMg=="}}


@pytest.mark.parametrize(
    ("target", "content_type", "reply"),
    [
        ("/api/v1/namespaces/a/secrets/s", "application/json", json.dumps(SECRET)),
        ("/api/v1/namespaces/a/secrets", "application/json", json.dumps({"kind": "SecretList", "items": [SECRET]})),
        ("/api/v1/secrets?watch=1", "application/json", json.dumps({"type": "ADDED", "object": SECRET}) + "\n"),
        (
            "/api/v1/namespaces/a/secrets", "application/json",
            json.dumps({"kind": "Table", "columnDefinitions": [], "rows": [{"cells": [], "object": SECRET}]}),
        ),
        ("/api/v1/namespaces/a/secrets/s", "application/yaml", "kind: Secret\ndata: {pw: aHVudGVyMg==}\n"),
    ],
    ids=["object", "list", "watch", "table", "yaml"],
)  # fmt: skip
def test_mask(target: str, content_type: str, reply: str) -> None:
    result = chaperone("mask", "--request", f"GET {target}", "--content-type", content_type, stdin=reply)
    assert result.returncode == 0, result.stderr
    assert "Secret" in result.stdout
    assert "aHVudGVyMg" not in result.stdout


def test_mask_refuses_what_it_cannot_mask() -> None:
    arguments = ("mask", "--request", "GET /api/v1/namespaces/a/secrets/s", "--content-type")
    assert chaperone(*arguments, "application/json", stdin="garbage").returncode == 1
    assert chaperone(*arguments, "application/vnd.kubernetes.protobuf", stdin="k8s").returncode == 1


def test_mask_shows_what_a_right_would_unmask() -> None:
    arguments = ("mask", "--request", "GET /api/v1/namespaces/a/secrets/s", "--content-type", "application/json")
    reply = '{"kind":"Secret","data":{"a":"aHVudGVyMg=="}}'
    assert "aHVudGVyMg==" in chaperone(*arguments, "--unmask", "secrets", stdin=reply).stdout
    unknown = chaperone(*arguments, "--unmask", "secrts", stdin=reply)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "there is no masking rule secrts; known: config-maps, everything" in unknown.stderr


def test_rules_check_reports_every_mistake_with_its_line(tmp_path: Path) -> None:
    good = chaperone("rules", "check")
    assert (good.returncode, good.stdout.startswith("no problems; ")) == (0, True)
    head = "apiVersion: chaperone/v1\nkind: {}\nmetadata: {{name: a}}\nspec:\n".format
    (tmp_path / "bad.yaml").write_text(
        head("Guardrail")
        + "  risk: 200\n  nonsense: 1\n---\n"
        + head("Access")
        + "  groups: [g]\n  role: arn:aws:iam::123456789012:role/r\n  connections: [nowhere]\n---\n"
        + head("Connection")
        + "  caFile: missing.pem\n  host: a:443\n  eks: {cluster: c, region: eu-central-1}\n---\n"
        + head("Rule")
        + "  x: 1\n"
    )
    bad = chaperone("rules", "check", "--rules", str(tmp_path))
    assert (bad.returncode, bad.stderr) == (1, "")
    for line, words in {
        5: "risk",
        6: "nonsense",
        14: "there is no connection nowhere",
        20: "caFile",
        25: "kind",
    }.items():
        assert any(
            text.startswith(f"{tmp_path}/bad.yaml:{line}: ") and words in text for text in bad.stdout.splitlines()
        )
    problems = json.loads(chaperone("rules", "check", "--rules", str(tmp_path), "-o", "json").stdout)["problems"]
    assert [f"{p['file']}:{p['line']}: {p['message']}" for p in problems] == bad.stdout.splitlines()[:-1]


def test_rules_test_counts_the_tests_of_every_rule_and_shows_what_failed(tmp_path: Path) -> None:
    shipped = json.loads(chaperone("rules", "test", "-o", "json").stdout)
    assert {rule["kind"] for rule in shipped} == {"Guardrail", "Masking", "Detector"}
    assert all(len(rule["tests"]) >= 2 and all(test["passed"] for test in rule["tests"]) for rule in shipped)
    some = chaperone("rules", "test", "delete-*", "eks-token", "--verbose")
    assert some.returncode == 0
    assert "ok    Guardrail  delete-namespace-needs-approval" in some.stdout
    assert "      ok  match DELETE /api/v1/namespaces/a\n" in some.stdout
    assert "privileged" not in some.stdout

    text = (ROOT / "rules" / "guardrails" / "destructive.yaml").read_text()
    (tmp_path / "a.yaml").write_text(
        text.replace("match, request: DELETE /api/v1/namespaces/a}", "match, request: GET /x}")
    )
    failing = chaperone("rules", "test", "--rules", str(tmp_path))
    assert failing.returncode == 1
    assert "FAIL Guardrail delete-namespace-needs-approval 1 of 3 failed" in " ".join(failing.stdout.split())
    assert "a.yaml:14: test 1: expected match for GET /x" in failing.stdout
    assert failing.stdout.splitlines()[-1].endswith(" 1 failed")
    assert chaperone("rules", "test", "no-such-rule").returncode == 1


def test_rules_list_and_show() -> None:
    rows = json.loads(chaperone("rules", "list", "-o", "json").stdout)
    place = {"kind", "name", "description", "file", "line"}
    for row in rows:
        assert row.keys() - {"verdict", "risk", "mode", "covers", "reason"} == place
        assert ("risk" in row) == (row["kind"] == "Guardrail")
    shown = chaperone("rules", "show", rows[0]["name"]).stdout
    assert shown.startswith("# ")
    assert shown.count("apiVersion:") == 1
    (one,) = json.loads(chaperone("rules", "show", "secrets", "--kind", "Masking", "-o", "json").stdout)
    assert one["spec"]["match"] == {"apiGroups": [""], "resources": ["secrets"]}
    assert chaperone("rules", "show", "secrets", "--kind", "Guardrail").returncode == 1
    assert chaperone("rules", "show", "nothing").returncode == 1


@pytest.mark.parametrize(
    ("filters", "some", "none"),
    [
        (["delete-*"], "delete-namespace-needs-approval", "exec-shell"),
        (["--kind", "Detector"], "eks-token", "exec-shell"),
        (["--covers", "DST-01"], "delete-namespace-needs-approval", "delete-data-needs-approval"),
        (["--resource", "pods/exec"], "exec-shell", "delete-namespace-needs-approval"),
        (["--resource", "namespaces"], "delete-namespace-needs-approval", "exec-shell"),
        (["--mode", "enforce"], "exec-shell", "eks-token"),
    ],
)
def test_rules_list_filters(filters: list[str], some: str, none: str) -> None:
    names = [line.split()[1] for line in chaperone("rules", "list", *filters).stdout.splitlines()]
    assert some in names
    assert none not in names


def test_rules_schema_of_all_kinds_and_of_one() -> None:
    assert json.loads(chaperone("rules", "schema").stdout)["properties"]["kind"]["enum"][0] == "Connection"
    one = json.loads(chaperone("rules", "schema", "Guardrail").stdout)
    assert "risk" in one["properties"]["spec"]["properties"]
    unknown = chaperone("rules", "schema", "Guardrails")
    assert (unknown.returncode, unknown.stderr.startswith("chaperone: there is no kind Guardrails; known")) == (1, True)


def test_the_overview_is_short_and_a_commands_own_help_has_examples() -> None:
    assert "Check, test, find and explain rules." in chaperone("--help").stdout
    assert "Without a connection it needs no cluster" in " ".join(chaperone("explain", "--help").stdout.split())
    assert "\n chaperone rules test 'no-*' --verbose " in chaperone("rules", "test", "--help").stdout


def test_rules_coverage_names_what_answers_each_danger() -> None:
    result = chaperone("rules", "coverage", "-o", "json")
    assert (result.returncode, result.stderr) == (0, "")
    rows = {row["id"]: row for row in json.loads(result.stdout)}
    assert rows["PSS-01"]["rules"] == ["no-privileged-containers"]
    assert rows["SEC-01"]["elsewhere"]["evidence"][0] == "rules/masking/secrets.yaml"
    lines = chaperone("rules", "coverage").stdout.splitlines()
    assert len(lines) == len(rows)
    assert "PSS-01   deny          no-privileged-containers" in lines


def test_rules_coverage_fails_on_a_gap_and_on_an_unknown_id(tmp_path: Path) -> None:
    catalogue = """apiVersion: chaperone/v1
kind: Catalogue
metadata: {name: own}
spec:
  description: Our own
  entries: [{id: OWN-01, title: something of ours, default: [deny]}]
"""
    (tmp_path / "catalogue.yaml").write_text(catalogue)
    gap = chaperone("rules", "coverage", "--rules", str(tmp_path))
    assert gap.returncode == 1
    assert gap.stdout == "OWN-01   deny          NOTHING: something of ours\n"
    assert gap.stderr == "chaperone: nothing answers OWN-01\n"
    rule = (ROOT / "rules" / "guardrails" / "nodes.yaml").read_text()
    (tmp_path / "nodes.yaml").write_text(rule)
    unknown = chaperone("rules", "coverage", "--rules", str(tmp_path))
    assert unknown.returncode == 1
    assert f"{tmp_path}/nodes.yaml:9: covers: no Catalogue document has NOD-01" in unknown.stderr


def test_rules_explain_draws_the_decision(tmp_path: Path) -> None:
    pod = tmp_path / "pod.yaml"
    pod.write_text("metadata: {name: p}\nspec: {hostNetwork: true, containers: []}\n")
    arguments = ("rules", "explain", "POST /api/v1/namespaces/a/pods", "--object", str(pod), "--group", "web")
    text = chaperone(*arguments).stdout
    assert "verdict     deny by no-host-namespaces, risk 95\n" in text
    assert "risk 95, from 90 denied: deny; decides\n" in text
    assert "near misses, about the same resource: " in text
    found = json.loads(chaperone(*arguments, "-o", "json").stdout)
    assert found["decision"]["rule"] == "no-host-namespaces"
    assert found["candidates"][0]["when"]["value"] is True


def test_rules_explain_says_where_a_request_ends_earlier() -> None:
    assert "commands    refused: 400 ambiguous-request" in chaperone("rules", "explain", "GET /api//v1").stdout
    assert chaperone("rules", "explain", "GET /version", "--object", "nowhere.yaml").returncode == 1
    incomplete = chaperone("rules", "explain", "--session", "s")
    assert (incomplete.returncode, "needs --session and --id" in incomplete.stderr) == (1, True)


def test_a_wrong_command_is_a_sentence() -> None:
    result = chaperone("nonsense")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr + result.stdout
