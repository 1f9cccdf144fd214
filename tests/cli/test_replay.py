"""`rules replay` and `rules explain --session`, run as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_tools import chaperone
from tests.core.guardrails.support import rule
from tests.support.decisions import decision, stored
from tests.support.timing import quickest

PODS = "/api/v1/namespaces/a/pods"
REFUSED = {
    "stage": "ResponseComplete", "auditID": "9", "annotations": {"chaperone.dev/decision": "refuse"},
}  # fmt: skip
DENIED = {
    "stage": "ResponseComplete", "auditID": "2",
    "annotations": {"chaperone.dev/decision": "deny", "chaperone.dev/risk": "95"},
}  # fmt: skip
LINES = [
    decision("1", f"GET {PODS}", "allow"),
    decision("2", f"DELETE {PODS}/p", "deny", "gone"),
    decision("3", f"GET {PODS}/p", "allow", sub="agent-8"),
    decision("4", f"PATCH {PODS}/p", "allow"),
    decision("5", f"POST {PODS}", "allow", object={"metadata": {"name": "p"}, "note": "masked:v1:0123456789abcdef"}),
    b'{"format": "torn\n',
]
RULES = (
    rule("no-reads-of-one", match="apiGroups: [''], resources: [pods], verbs: [get]", body="risk: 95", tests="""
  tests:
    - {expect: match, request: GET /api/v1/namespaces/a/pods/p}
    - {expect: no-match, request: GET /version}
"""),
    rule("reads-objects", match="apiGroups: [''], resources: [pods], verbs: [create, update, patch]",
         body="when: object.?note.orValue('') == 'x'\n  risk: 95", tests="""
  tests:
    - {expect: match, request: POST /api/v1/namespaces/a/pods, object: {note: x}}
    - {expect: no-match, request: POST /api/v1/namespaces/a/pods, object: {}}
"""),
)  # fmt: skip


@pytest.fixture
def gateway(tmp_path: Path) -> Path:
    """A configuration file, one recorded session, and other rules."""
    (tmp_path / "mitm.conf").write_text("state: state\n")
    stored(tmp_path / "state", "s1", LINES, [REFUSED, DENIED])
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "rules.yaml").write_text("\n---\n".join(RULES))
    return tmp_path


def replay(gateway: Path, *arguments: str) -> tuple[int, str]:
    done = chaperone(
        "rules", "replay", *arguments, "--rules", str(gateway / "rules"), "--conf", str(gateway / "mitm.conf")
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_table_of_what_changes(gateway: Path) -> None:
    code, text = replay(gateway, "s1")
    assert code == 0
    assert text.splitlines()[:4] == [
        "5 decisions replayed: 2 the same, 2 changed",
        "newly allowed 1, newly denied 1",
        "1 more requests were refused before they were judged",
        "1 decisions depend on a masked value",
    ]
    assert "             deny -> allow             gone\n" in text
    assert "            allow -> deny              no-reads-of-one\n" in text
    assert "            allow -> deny              agent-8\n" in text
    assert "3  get pods p in namespace a: allow -> deny (no-reads-of-one)\n" in text
    assert "unknown, because a rule reads what nobody read then: 1\n       1  object\n" in text


@pytest.mark.parametrize("recording", ["s1", "s", "state/sessions/s1", "state/sessions/s1/decisions.jsonl", ""])
def test_recordings_by_id_folder_and_file(gateway: Path, recording: str) -> None:
    named = [recording if "/" not in recording else str(gateway / recording)] if recording else []
    code, text = replay(gateway, *named, "-o", "json")
    found = json.loads(text)
    assert (code, found["total"], found["refused_before_judged"]) == (0, 5, 1)
    assert {change["id"]: (change["old"]["verdict"], change["new"]["verdict"]) for change in found["changes"]} == {
        "2": ("deny", "allow"), "3": ("allow", "deny"),
    }  # fmt: skip
    assert found["unknown"] == [{"id": "4", "missing": ["object"]}]
    assert found["depend_on_masked_values"] == 1


@pytest.mark.parametrize(
    ("kinds", "code"),
    [([], 0), (["newly-allowed"], 1), (["newly-denied"], 1), (["changed"], 1), (["unknown"], 1)],
)
def test_what_fails(gateway: Path, kinds: list[str], code: int) -> None:
    assert replay(gateway, *(argument for kind in kinds for argument in ("--fail-on", kind)))[0] == code


def test_nothing_fails_where_nothing_changes(gateway: Path) -> None:
    stored(gateway / "state", "quiet", LINES[:1])
    everything = [
        part for kind in ("newly-allowed", "newly-denied", "changed", "unknown") for part in ("--fail-on", kind)
    ]
    assert replay(gateway, "quiet", *everything)[0] == 0


def test_the_stance_of_a_connection_in_the_rules_counts(gateway: Path) -> None:
    (gateway / "rules" / "connection.yaml").write_text(
        "apiVersion: chaperone/v1\nkind: Connection\nmetadata: {name: prod}\nspec:\n  host: a:443\n  caFile: ca.pem\n"
        "  eks: {cluster: c, region: eu-central-1}\n  profile: observe\n"
    )
    changes = json.loads(replay(gateway, "s1", "-o", "json")[1])["changes"]
    assert {change["new"]["verdict"] for change in changes} == {"allow", "warn"}


def test_an_unknown_format_is_a_sentence(gateway: Path) -> None:
    folder = stored(gateway / "state", "new", [LINES[0].replace(b"decision/v1", b"decision/v9")])
    done = chaperone("rules", "replay", str(folder))
    assert (done.returncode, done.stderr) == (
        1, "chaperone: this version reads chaperone.dev/decision/v1, not chaperone.dev/decision/v9\n",
    )  # fmt: skip


@pytest.mark.alone
def test_it_is_fast(tmp_path: Path) -> None:
    folder = stored(tmp_path / "state", "s", LINES[:4] * 2_500)

    def replayed() -> None:
        assert json.loads(chaperone("rules", "replay", str(folder), "-o", "json").stdout)["total"] == 10_000

    enough = 10_000 / 2_000
    assert quickest(replayed, enough) < enough


def test_a_recorded_request_is_explained(gateway: Path) -> None:
    arguments = (
        "rules",
        "explain",
        "--session",
        "s1",
        "--rules",
        str(gateway / "rules"),
        "--conf",
        str(gateway / "mitm.conf"),
    )
    text = chaperone(*arguments, "--id", "3").stdout
    assert "recorded    allow, by other rules\n" in text
    assert "verdict     deny by no-reads-of-one" in text
    assert (
        "masked      the answer of reads-objects depends on a masked value\n"
        in chaperone(*arguments, "--id", "5").stdout
    )
    assert "unknown     a rule reads what nobody read then: object\n" in chaperone(*arguments, "--id", "4").stdout
    unknown = chaperone(*arguments, "--id", "9")
    assert (unknown.returncode, "refused before it was judged" in unknown.stderr) == (1, True)
