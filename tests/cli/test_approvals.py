"""The approver's commands."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from addons.cli import approval_watch
from addons.cli import approvals as command
from addons.cli.credential import NoToken, read_token
from addons.cli.operator import Operator
from addons.core.approval import Ask, ForbiddenApprover, InvalidTransition, State
from addons.core.approval_terms import Needed, Offer, Reuse
from addons.core.identity import Identity
from addons.edge.schema import approvals_url
from addons.edge.store import Store, UnknownApproval

ASK = Ask(
    requester_iss="https://idp", requester_sub="agent\x1b[2J", connection="prod", session="s1", verb="create",
    resource="pods/exec", namespace="team", name="web\u202e", argv=("sh",), method="CONNECT", target="/x", rule="exec",
    risk=60, reason="runs code", diff='+  "a": "\x1b"',
)  # fmt: skip


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "mitm.conf"
    file.write_text("state: state\n")
    monkeypatch.setenv("CHAPERONE_TOKEN", "alice")
    monkeypatch.setattr(Operator, "verify", lambda _, token: Identity(iss="https://idp", sub=token, aud=(), exp=9e9))
    return file


@pytest.fixture
def asked(conf: Path) -> str:
    store = Store(approvals_url(conf.parent / "state"))
    case = store.claim("d", ASK, time.time())
    store.close()
    return case.approval.id


def _state(conf: Path, approval: str) -> State:
    store = Store(approvals_url(conf.parent / "state"))
    try:
        return store.get(approval).approval.state
    finally:
        store.close()


def test_list(conf: Path, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.list_approvals(conf=conf)
    shown = capsys.readouterr().out
    assert shown.startswith(f"{asked}  pending")
    assert "create pods/exec team/web\\u202e -- sh on prod  [exec risk 60]" in shown
    assert "\x1b" not in shown


def test_nothing_to_list(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.list_approvals(conf=conf)
    assert "nothing waits" in capsys.readouterr().out


def test_json(conf: Path, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.list_approvals(conf=conf, output="json", all=True)
    [listed] = json.loads(capsys.readouterr().out)
    assert (listed["id"], listed["state"], listed["argv"]) == (asked, "pending", ["sh"])
    command.show(asked, conf=conf, output="json")
    shown = json.loads(capsys.readouterr().out)
    assert shown.pop("similar") == []
    assert shown == listed
    assert {"digest", "shape"} & shown.keys() == set()


def test_without_a_command_it_lists(conf: Path, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.waiting(conf=conf)
    assert capsys.readouterr().out.startswith(f"{asked}  pending")


@pytest.mark.parametrize("output", ["text", "json"])
def test_watch(
    output: Literal["text", "json"], conf: Path, asked: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    steps = iter(["asked again", "denied", "nothing"])

    def sleep(_: float) -> None:
        store = Store(approvals_url(conf.parent / "state"))
        with closing(store):
            match next(steps, None):
                case "asked again":
                    store.claim("e", replace(ASK, name="other"), time.time())
                case "denied":
                    who = Identity(iss="https://idp", sub="bob", aud=(), exp=9e9)
                    store.decide(asked, State.DENIED, who, "no", time.time())
                case None:
                    raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        command.waiting(watch=True, output=output, conf=conf)
    lines = capsys.readouterr().out.splitlines()
    if output == "json":
        found = [(each["name"], each["state"]) for each in map(json.loads, lines)]
    else:
        found = [("other" if "team/other" in each else "web\u202e", each.split()[2]) for each in lines]
        assert not any("\x1b" in each for each in lines)
    assert found == [("web\u202e", "pending"), ("other", "pending"), ("web\u202e", "denied")]


def test_what_was_seen_is_not_shown_again(conf: Path, asked: str) -> None:
    with closing(Store(approvals_url(conf.parent / "state"))) as store:
        watched, now = approval_watch.Watched(store), time.time()
        assert [each.approval.id for each in watched.changes(now)] == [asked]
        assert list(watched.changes(now)) == []
        (over,) = watched.changes(now + 10_000)
        assert over.approval.id == asked
        assert list(watched.changes(now + 10_000)) == []


def test_show(conf: Path, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.show(asked.upper(), conf=conf)
    shown = capsys.readouterr().out
    assert "exec (risk 60): runs code" in shown
    assert 'change (1 lines):\n+  "a": "\\x1b"' in shown
    assert "\x1b" not in shown


def test_approve(conf: Path, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.approve(asked, note="fine", conf=conf)
    assert f"{asked} granted by https://idp#alice" in capsys.readouterr().out
    assert _state(conf, asked) is State.GRANTED
    command.list_approvals(conf=conf, all=True)
    assert "granted" in capsys.readouterr().out


def test_deny(conf: Path, asked: str) -> None:
    command.deny(asked, note="no", conf=conf)
    assert _state(conf, asked) is State.DENIED
    with pytest.raises(InvalidTransition, match="denied"):
        command.approve(asked, conf=conf)


def test_the_requester_cannot(conf: Path, asked: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{ASK.requester_sub}")
    with pytest.raises(ForbiddenApprover, match="nobody approves their own request"):
        command.approve(asked, token_file=token, conf=conf)
    assert _state(conf, asked) is State.PENDING


def test_unknown(conf: Path, asked: str) -> None:
    with pytest.raises(UnknownApproval):
        command.show("zzzzzzzz", conf=conf)


def test_a_token_is_needed(conf: Path, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAPERONE_TOKEN")
    with pytest.raises(NoToken, match="CHAPERONE_TOKEN"):
        command.approve(asked, conf=conf)


def test_the_file_wins_over_the_variable(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    assert (read_token(tmp_path / "token"), read_token(None)) == ("from-file", "alice")


def test_the_same_names_at_another_issuer_are_others(conf: Path) -> None:
    store = Store(approvals_url(conf.parent / "state"))
    other = store.claim("d", replace(ASK, requester_iss="https://other", requester_sub="alice"), time.time()).approval
    store.close()
    command.approve(other.id, conf=conf)
    assert _state(conf, other.id) is State.GRANTED


def _ask(conf: Path, digest: str, **changes: Any) -> str:
    with closing(Store(approvals_url(conf.parent / "state"))) as store:
        return store.claim(digest, replace(ASK, **changes), time.time()).approval.id


AGAIN = {"offer": Offer(reuse=Reuse.MINUTES, max_seconds=1800), "shape": "s", "container": "db\u202e"}


def test_how_far_it_may_go_is_shown_before(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.show(_ask(conf, "e", **AGAIN), conf=conf)
    shown = capsys.readouterr().out
    assert "--for session: allows, until" in shown and "in container db\\u202e" in shown
    assert "--for minutes: allows, until" in shown
    command.show(_ask(conf, "f"), conf=conf)
    assert "--for" not in capsys.readouterr().out


def test_approved_for_a_session_and_revoked(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    approval = _ask(conf, "e", **AGAIN)
    command.approve(approval, for_="session", conf=conf)
    said = capsys.readouterr().out
    assert f"{approval} standing by https://idp#alice" in said
    assert "it also allows, until" in said and "in this session" in said
    command.list_approvals(standing=True, conf=conf)
    assert f"{approval}  standing" in capsys.readouterr().out
    command.show(approval, conf=conf)
    assert "for this session, used 0 times" in capsys.readouterr().out
    command.revoke(approval, note="over", conf=conf)
    assert f"{approval} revoked by https://idp#alice" in capsys.readouterr().out
    assert _state(conf, approval) is State.REVOKED
    command.list_approvals(standing=True, conf=conf)
    assert "no approval stands" in capsys.readouterr().out


def test_approved_for_a_time(conf: Path) -> None:
    approval = _ask(conf, "e", **AGAIN)
    with pytest.raises(ForbiddenApprover, match="30 minutes at most"):
        command.approve(approval, for_="31m", conf=conf)
    with pytest.raises(ValueError, match="no duration"):
        command.approve(approval, for_="ever", conf=conf)
    command.approve(approval, for_="30m", conf=conf)
    assert _state(conf, approval) is State.STANDING


def test_two_people(conf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    approval = _ask(conf, "e", needed=(Needed(rule="exec", count=2),))
    command.approve(approval, conf=conf)
    assert f"{approval} waits for others: 1 of 2, by https://idp#alice" in capsys.readouterr().out
    command.list_approvals(conf=conf)
    assert "[exec risk 60, 1 of 2, by https://idp#alice]" in capsys.readouterr().out
    command.show(approval, conf=conf, output="json")
    (vote,) = json.loads(capsys.readouterr().out)["votes"]
    assert vote["approver"] == "https://idp#alice"
    monkeypatch.setenv("CHAPERONE_TOKEN", "carol")
    command.approve(approval, conf=conf)
    assert "granted by https://idp#alice, https://idp#carol" in capsys.readouterr().out


def test_what_was_decided_before_is_shown(conf: Path, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.deny(asked, note="not\x1bnow", conf=conf)
    other = _ask(conf, "e", requester_sub="other")
    capsys.readouterr()
    command.show(other, conf=conf)
    shown = capsys.readouterr().out
    assert "denied by https://idp#alice: not\\x1bnow [team/web\\u202e -- sh for agent\\x1b[2J]" in shown
    command.show(other, conf=conf, output="json")
    assert [each["id"] for each in json.loads(capsys.readouterr().out)["similar"]] == [asked]


def test_what_one_command_asks_for_stands_together(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = _ask(conf, "e", run="run-1", claimed="kubectl delete\x1b")
    other = _ask(conf, "f", run="run-2")
    stranger = _ask(conf, "g", run="run-1", requester_sub="somebody-else")
    second = _ask(conf, "h", run="run-1")
    command.list_approvals(conf=conf)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 questions of one run of kubectl delete\\x1b, as it says")
    assert [line.split()[0] for line in lines[1:]] == [first, second, other, stranger]
    assert lines[1].startswith("  ") and not lines[3].startswith(" ")
