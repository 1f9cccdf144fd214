"""The approver's commands."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from addons.cli import approvals as command
from addons.cli.operator import NoToken, Operator, read_token
from addons.core.approval import Ask, ForbiddenApprover, InvalidTransition, State
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
    assert json.loads(capsys.readouterr().out) == listed


def test_show(conf: Path, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.show(asked.upper(), conf=conf)
    shown = capsys.readouterr().out
    assert "exec (risk 60): runs code" in shown
    assert 'change:\n+  "a": "\\x1b"' in shown
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
