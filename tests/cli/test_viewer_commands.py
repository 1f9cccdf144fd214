"""What may be decided in the viewer: by the console, as the operator, and nothing that is said otherwise."""

from __future__ import annotations

import json

import httpx
import pytest
from mitmproxy.exceptions import CommandError
from mitmproxy.master import Master
from mitmproxy.options import Options

from addons.cli.viewer_commands import Decisions

DONE = {"id": "abcd2345", "state": "granted", "approver": "a", "agreed": "", "stands": ""}


def decisions(answer: httpx.Response | Exception, seen: list[httpx.Request]) -> Decisions:
    """A console that answers so; a real one is asked in tests/e2e."""

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Decisions("https://c.example/base/", lambda: "t0ken", httpx.MockTransport(handle))


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_the_console_is_asked_with_the_operators_token(decision: str) -> None:
    seen: list[httpx.Request] = []
    asked = decisions(httpx.Response(200, json={**DONE, "agreed": "1 of 2, by \x1b"}), seen)
    said = getattr(asked, decision)("abcd2345", "read", "the logs")
    assert said == "approval abcd2345 is granted (1 of 2, by \\x1b)"
    (request,) = seen
    assert str(request.url) == f"https://c.example/base/api/v1/approvals/abcd2345/{decision}"
    assert request.headers["authorization"] == "Bearer t0ken"
    assert json.loads(request.content) == {"note" if decision == "approve" else "reason": "read the logs"}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            httpx.Response(403, json={"status": 403, "detail": "nobody approves their own\x1b request"}),
            "own\\x1b",
        ),
        (httpx.Response(200, text="<html>"), "nothing was decided"),
        (httpx.Response(200, json=[]), "nothing was decided"),
        (httpx.Response(302, headers={"location": "https://evil.example"}, json={}), "302"),
        (httpx.ConnectError("no"), "does not answer"),
    ],
)
def test_what_the_console_refuses_is_said(answer: httpx.Response | Exception, why: str) -> None:
    seen: list[httpx.Request] = []
    with pytest.raises(CommandError, match=why.replace("\\", "\\\\")):
        decisions(answer, seen).approve("abcd2345")
    assert len(seen) == 1, "no redirect is followed with the token"


@pytest.mark.parametrize("approval", ["", "../x", "a/b", "a?b", "x" * 17, "a b"])
def test_what_is_no_id_asks_nobody(approval: str) -> None:
    seen: list[httpx.Request] = []
    with pytest.raises(CommandError, match="the id of an approval"):
        decisions(httpx.Response(200, json=DONE), seen).approve(approval)
    assert seen == []


async def test_they_are_typed_as_commands_of_mitmproxy() -> None:
    seen: list[httpx.Request] = []
    commands = Master(Options()).commands
    decisions(httpx.Response(200, json=DONE), seen).register(commands)
    assert commands.call_strings("chaperone.approve", ["abcd2345"]) == "approval abcd2345 is granted"
    assert commands.execute("chaperone.deny abcd2345 'not now' please") == "approval abcd2345 is granted"
    assert [json.loads(request.content) for request in seen] == [{"note": ""}, {"reason": "not now please"}]


def test_a_denial_says_why() -> None:
    with pytest.raises(CommandError, match="say why"):
        decisions(httpx.Response(200, json=DONE), []).deny("abcd2345", " ")


def test_who_is_not_signed_in_decides_nothing() -> None:
    def nobody() -> str:
        raise PermissionError("who are you?")

    with pytest.raises(CommandError, match="nothing was decided: who are you"):
        Decisions("https://c.example", nobody, httpx.MockTransport(lambda _: httpx.Response(200))).approve("abcd2345")
