from __future__ import annotations

import json
from typing import Any

import pytest

from addons.core.approval import State
from addons.core.notify.callback import Decision, Unreadable, read_callback

GOOD = {"id": "abcd2345", "digest": "d", "decision": "approve", "token": "eyJ.secret.token"}


@pytest.mark.parametrize(
    ("changes", "decision", "state"),
    [
        ({}, Decision(id="abcd2345", digest="d", approve=True), State.GRANTED),
        ({"note": "ok"}, Decision(id="abcd2345", digest="d", approve=True, note="ok"), State.GRANTED),
        ({"decision": "deny", "note": "n"}, Decision(id="abcd2345", digest="d", approve=False, note="n"), State.DENIED),
    ],
)
def test_an_answer(changes: dict[str, Any], decision: Decision, state: State) -> None:
    found = read_callback(json.dumps(GOOD | changes).encode())
    assert (found.what, found.what.state, found.token) == (decision, state, GOOD["token"])
    assert GOOD["token"] not in repr(found)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "JSON"),
        (b"\xff", "JSON"),
        (b"[]", "object"),
        (json.dumps(GOOD | {"decision": "deny"}).encode(), "needs a note"),
        (json.dumps(GOOD | {"decision": "deny", "note": " "}).encode(), "needs a note"),
        (json.dumps(GOOD | {"decision": "maybe"}).encode(), "decision: Input should be 'approve' or 'deny'"),
        (json.dumps(GOOD | {"id": 7}).encode(), "id: "),
        (json.dumps(GOOD | {"note": "n" * 1001}).encode(), "note: "),
        (json.dumps(GOOD | {GOOD["token"]: 1}).encode(), "Extra inputs"),
        (json.dumps({**GOOD, "token": ""}).encode(), "token: "),
        (json.dumps({"id": "a"}).encode(), "token: Field required"),
    ],
)
def test_what_is_no_answer_says_why_and_repeats_nothing(body: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why) as found:
        read_callback(body)
    assert GOOD["token"] not in str(found.value)
