"""Decisions of people, in the audit log before they count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from addons.core.approval import ForbiddenApprover, InvalidTransition, State
from addons.core.approval_terms import Offer, Reuse, Scope
from addons.core.audit_report import What
from addons.edge import decided
from addons.edge.audit_check import verify_state
from addons.edge.decided import Desk, Person
from addons.edge.store import Store, UnknownApproval, sqlite_url
from tests.edge.test_store import ALICE, ASK, NOW

PERSON = Person(identity=ALICE, via="command")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(sqlite_url(tmp_path / "store.db"))
    yield opened
    opened.close()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(state=tmp_path / "state", key_file=None, name="command")


def events(desk: Desk, session: str = "s1") -> list[dict[str, Any]]:
    lines = (desk.state / "sessions" / session / "audit.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def said(event: dict[str, Any], *names: str) -> list[str]:
    return [event["annotations"].get(f"chaperone.dev/{name}", "") for name in names]


def test_who_decided_what_is_there_before_and_after(store: Store, desk: Desk) -> None:
    approval = store.claim("d", ASK, NOW).approval.id
    case = decided.decide(store, desk, approval, State.GRANTED, PERSON, "fine", NOW + 1)
    assert case.approval.state is State.GRANTED
    before, after = events(desk)
    assert (before["stage"], after["stage"]) == ("RequestReceived", "ResponseComplete")
    assert before["auditID"] == after["auditID"]
    for event in (before, after):
        assert event["user"]["username"] == "https://idp#alice"
        assert event["requestURI"] == f"/chaperone/v1/approvals/{approval}/approve"
        assert said(event, "decides", "decided", "via", "approval-note", "requester", "session") == [
            approval, "approve", "command", "fine", "https://idp#agent", "s1",
        ]  # fmt: skip
    assert (after["responseStatus"]["code"], said(after, "approval-state")) == (200, ["granted"])
    about = json.loads((desk.state / "sessions" / "s1" / "session.json").read_text())
    assert (about["id"], about["identity"]["sub"], about["started_at"]) == ("s1", "agent", NOW)


def test_how_far_it_goes_and_its_revocation(store: Store, desk: Desk) -> None:
    asked = replace(ASK, shape="s", offer=Offer(reuse=Reuse.SESSION, max_seconds=900))
    approval = store.claim("d", asked, NOW).approval.id
    decided.decide(store, desk, approval, State.GRANTED, PERSON, "", NOW, Scope(reuse=Reuse.SESSION, seconds=600))
    decided.revoke(store, desk, approval, Person(identity=replace(ALICE, sub="carol"), via="page"), "over", NOW)
    granted, revoked = events(desk)[1::2]
    assert said(granted, "approval-scope", "approval-state") == ["session for 600s", "standing"]
    assert said(revoked, "decided", "via", "approval-state") == ["revoke", "page", "revoked"]
    assert revoked["user"]["username"] == "https://idp#carol"


def test_what_did_not_count_is_there_too(store: Store, desk: Desk) -> None:
    approval = store.claim("d", ASK, NOW).approval.id
    itself = Person(identity=replace(ALICE, sub="agent"), via="command")
    with pytest.raises(ForbiddenApprover):
        decided.decide(store, desk, approval, State.GRANTED, itself, "", NOW)
    decided.decide(store, desk, approval, State.DENIED, PERSON, "no", NOW)
    with pytest.raises(InvalidTransition):
        decided.decide(store, desk, approval, State.GRANTED, PERSON, "", NOW)
    codes = [event["responseStatus"]["code"] for event in events(desk)[1::2]]
    assert codes == [403, 200, 409]
    assert said(events(desk)[1], "decision", "rule") == ["refuse", "approval-not-decided"]


def test_an_unknown_one_is_nothing_to_record(store: Store, desk: Desk) -> None:
    with pytest.raises(UnknownApproval):
        decided.decide(store, desk, "nope", State.GRANTED, PERSON, "", NOW)
    assert not desk.state.exists()


@pytest.mark.parametrize("session", ["../x", "", "a/b", "."])
def test_b80_what_cannot_be_recorded_is_not_decided(store: Store, desk: Desk, session: str) -> None:
    approval = store.claim("d", replace(ASK, session=session), NOW).approval.id
    with pytest.raises(OSError, match="cannot be the name"):
        decided.decide(store, desk, approval, State.GRANTED, PERSON, "", NOW)
    assert store.get(approval).approval.state is State.PENDING


def test_b80_nor_without_the_key(store: Store, desk: Desk, tmp_path: Path) -> None:
    approval = store.claim("d", ASK, NOW).approval.id
    key = tmp_path / "key"
    key.write_text("no key")
    with pytest.raises(OSError):
        decided.decide(store, replace(desk, key_file=key), approval, State.GRANTED, PERSON, "", NOW)
    assert store.get(approval).approval.state is State.PENDING


def test_the_log_verifies(store: Store, desk: Desk) -> None:
    for digest in "abc":
        approval = store.claim(digest, replace(ASK, session=f"s{digest}"), NOW).approval.id
        decided.decide(store, desk, approval, State.GRANTED, PERSON, "", NOW)
    report = verify_state(desk.state)
    assert report.findings == []
    assert [note.what for note in report.notes] == [What.BELIEVED]
    assert report.records == 6
