"""Rules and people about what happens inside a session."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow

from addons.core.approval import State
from addons.core.channels import Channel
from addons.core.connection import Connection
from addons.core.decision import Decision, Thresholds, Verdict
from addons.core.guardrails import Facts, Judged, Needs
from addons.core.profile import Profile
from addons.core.wires import Lane, Message
from addons.exchange import IncompleteExchange
from addons.session_guardrails import SessionGuardrails
from addons.upgrade_hooks import Passing
from tests.core.guardrails.test_sessions import EXAMPLES, EXEC, compiled
from tests.core.test_tar import archive
from tests.support.flows import begun
from tests.test_approvals import ALICE, Gateway, _flow

CONNECTION = Connection(
    name="c", host="h", port=443, address=("127.0.0.1", 1), server_name="h", ca_file="ca"
)  # fmt: skip


def opened(addon: SessionGuardrails) -> HTTPFlow:
    judged = Judged(
        facts=Facts(request=EXEC, connection="c"),
        needs=Needs(),
        thresholds=Thresholds(),
        profile=Profile.STANDARD,
        rules="",
    )
    flow, _ = begun(request=EXEC, connection=CONNECTION, judged=judged)
    addon.upgrade_start(flow)
    return flow


@pytest.fixture
def addon() -> SessionGuardrails:
    rules, problems = compiled(*EXAMPLES)
    assert problems == []
    return SessionGuardrails(lambda _: rules)


def typed(data: bytes) -> Message:
    return Message(lane=Lane(Channel.STDIN), from_client=True, data=data, size=len(data))


def test_a_denied_line_is_refused_when_it_is_complete(addon: SessionGuardrails) -> None:
    flow, first, second = opened(addon), typed(b"sudo rm"), typed(b" -rf /\nls\n")
    addon.upgrade_message(Passing(flow, first))
    assert (first.refusal, first.decision) == (None, None)
    addon.upgrade_message(Passing(flow, second))
    assert second.refusal is not None
    assert second.refusal.rule == "rm"
    assert second.notes == ["deny by rm: because: stdin: sudo rm -rf /"]


def test_a_file_that_needs_a_human(addon: SessionGuardrails) -> None:
    message = typed(archive({"x.sh": b"#!/bin/sh"}))
    addon.upgrade_message(Passing(opened(addon), message))
    assert message.refusal is None
    assert message.decision is not None
    assert message.decision.verdict is Verdict.REQUIRE_APPROVAL
    assert message.about == "copy in: file x.sh (9 bytes)"
    assert [note.partition(":")[0] for note in message.notes] == ["require_approval by etc", "copied in"]


def test_two_files_in_one_message_are_both_in_the_question(addon: SessionGuardrails) -> None:
    message = typed(archive({"x.sh": b"#!/bin/sh", "y.sh": b"#!/bin/sh"}))
    addon.upgrade_message(Passing(opened(addon), message))
    assert message.about == "copy in: file x.sh (9 bytes), and copy in: file y.sh (9 bytes)"
    assert message.decision is not None
    assert [match.rule for match in message.decision.matches] == ["etc", "etc"]
    assert [note.rpartition(": ")[2] for note in message.notes[:2]] == ["file x.sh (9 bytes)", "file y.sh (9 bytes)"]


def test_b50_a_name_that_leads_elsewhere_needs_no_rule(addon: SessionGuardrails) -> None:
    message = typed(archive({"../x": b""}))
    addon.upgrade_message(Passing(opened(addon), message))
    assert message.refusal is not None
    assert message.refusal.rule == "path-traversal"


def test_a_session_that_was_not_begun_is_a_fault(addon: SessionGuardrails) -> None:
    flow, _ = begun(request=EXEC, connection=CONNECTION)
    with pytest.raises(IncompleteExchange):
        addon.upgrade_message(Passing(flow, typed(b"x")))


def asking(about: str = "stdin: rm x") -> Message:
    message = typed(b"rm x\n")
    message.decision = Decision(verdict=Verdict.REQUIRE_APPROVAL, risk=60, rule="rm", reason="because")
    message.about = about
    return message


@pytest.mark.parametrize("answer", [State.GRANTED, State.DENIED])
async def test_a_line_waits_for_its_human(tmp_path: Path, answer: State) -> None:
    gateway = Gateway(tmp_path / "store.db", hold_seconds=0.05)
    flow, message = _flow(), asking()
    asked = gateway.addon.upgrade_message(Passing(flow, message))
    assert asked is not None
    waiting = asyncio.ensure_future(asked)
    approval = await gateway.asked()
    assert not waiting.done()
    (case,) = gateway.store.pending(gateway.now)
    assert (case.ask.argv, case.ask.rule) == (("stdin: rm x",), "rm")
    gateway.store.decide(approval, answer, ALICE, "", gateway.now)
    await asyncio.wait_for(waiting, 5)
    assert (message.refusal is None) == (answer is State.GRANTED)
    assert message.notes[-1].startswith(f"approval {approval}: ")
    gateway.close()


@pytest.mark.parametrize("change", [{"decision": None}, {"decision": Decision(verdict=Verdict.WARN)}])
async def test_what_needs_nobody_asks_nobody(tmp_path: Path, change: dict[str, Any]) -> None:
    gateway, message = Gateway(tmp_path / "store.db"), asking()
    message.decision = change["decision"]
    assert gateway.addon.upgrade_message(Passing(_flow(), message)) is None
    assert (message.refusal, gateway.store.pending(gateway.now)) == (None, [])
    gateway.close()
