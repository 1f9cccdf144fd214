"""Every way to ask for a session inside a pod: one gate for all of them, one recording, one reading of the options."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace

import pytest

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.bypasses.caller import Caller
from tests.e2e.bypasses.oracle import Oracle
from tests.e2e.bypasses.sessions import SPDY, WEBSOCKET, Way, session
from tests.e2e.raw import Answer, ask, request
from tests.e2e.sessions import recorded

V5 = ("v5.channel.k8s.io",)
WS = Way(protocols=V5)
SP = Way(headers=SPDY, method="POST", protocols=("v4.channel.k8s.io",))
KUBECTL = ("v5.channel.k8s.io, v4.channel.k8s.io, v3.channel.k8s.io, v2.channel.k8s.io, channel.k8s.io",)

OPENED = {
    "GET WebSocket v5": WS,
    "POST WebSocket v5": replace(WS, method="POST"),
    "WebSocket v4": replace(WS, protocols=("v4.channel.k8s.io",)),
    "WebSocket v1": replace(WS, protocols=("channel.k8s.io",)),
    "WebSocket base64": replace(WS, protocols=("base64.channel.k8s.io",)),
    "WebSocket base64 v4": replace(WS, protocols=("v4.base64.channel.k8s.io",)),
    "WebSocket without a sub-protocol": replace(WS, protocols=()),
    "WebSocket, what kubectl offers": replace(WS, protocols=KUBECTL),
    "Upgrade: WebSocket": replace(WS, headers=("Upgrade: WebSocket", *WEBSOCKET[1:])),
    "Connection: keep-alive, upgrade": replace(WS, connection="Connection: keep-alive, upgrade"),
    "an extension": replace(WS, headers=(*WEBSOCKET, "Sec-WebSocket-Extensions: permessage-deflate")),
    "a trailing slash": replace(WS, spelling="exec/"),
    "encoded": replace(WS, spelling="%65xe%63"),
    "POST SPDY v4": SP,
    "GET SPDY v4": replace(SP, method="GET"),
    "SPDY v3": replace(SP, protocols=("v3.channel.k8s.io",)),
    "SPDY v2": replace(SP, protocols=("v2.channel.k8s.io",)),
    "SPDY v1": replace(SP, protocols=("channel.k8s.io",)),
    "SPDY, several": replace(SP, protocols=("v4.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io")),
}


@pytest.mark.parametrize("name", OPENED)
def test_b30_however_it_is_asked_for_one_person_is_asked_once(name: str, caller: Caller, pod: str) -> None:
    """All of these are one request: the same rule, and the same question."""
    way = OPENED[name]
    target = way.target(pod, command=["id", "-un"])
    answer = ask(caller.gateway, way.bytes(caller.gateway, caller.token, target), seconds=1)
    assert answer.status == 403, answer
    assert "rule: exec-needs-approval\n" in answer.message
    assert _approval(answer) == _approval(_first_try(caller, pod))
    assert caller.oracle.arrived() == []


def _first_try(caller: Caller, pod: str) -> Answer:
    target = WS.target(pod, command=["id", "-un"])
    return ask(caller.gateway, WS.bytes(caller.gateway, caller.token, target), seconds=1)


def _approval(answer: Answer) -> str:
    found = re.search(r"approvals approve (\w+)", answer.message)
    assert found, answer
    return found[1]


@pytest.mark.parametrize("name", [name for name in OPENED if name != "POST WebSocket v5"])
def test_b30_however_it_is_opened_it_is_recorded(
    name: str, lenient: GatewayEnv, token: str, pod: str, lenient_oracle: Oracle
) -> None:
    way, word = OPENED[name], secrets.token_hex(6)
    with session(lenient, token, way, way.target(pod, command=["echo", word])) as peer:
        assert word.encode() in peer.hears(word.encode())
    recording = recorded(lenient, f"{word}\\r")
    assert f"{word}\r\n" in "".join(text for _, code, text in recording[1:] if code == "o")
    namespace, _, pod_name = pod.partition("/")
    assert {reading.partition("?")[0] for reading in lenient_oracle.arrived()} == {
        f"{'create' if way.method == 'POST' else 'get'} /api/v1/namespaces/{namespace}/pods/{pod_name}/exec"
    }


def test_b30_a_websocket_by_post_is_the_clusters_to_refuse(lenient: GatewayEnv, token: str, pod: str) -> None:
    way = OPENED["POST WebSocket v5"]
    answer = ask(lenient, way.bytes(lenient, token, way.target(pod, command=["date"])), seconds=1)
    assert answer.status == 405, answer


REFUSED = {
    "Upgrade: foo": (replace(WS, headers=("Upgrade: foo",)), 400, "ambiguous-request"),
    "Upgrade: h2c": (replace(WS, headers=("Upgrade: h2c",)), 400, "ambiguous-request"),
    "SPDY, websocket": (replace(WS, headers=("Upgrade: SPDY/3.1, websocket",)), 400, "ambiguous-request"),
    "websocket, SPDY": (replace(WS, headers=("Upgrade: websocket, SPDY/3.1",)), 400, "ambiguous-request"),
    "two Upgrade headers": (replace(WS, headers=(*WEBSOCKET, *SPDY)), 400, "ambiguous-header"),
    "no Connection": (replace(WS, connection="Connection: close"), 400, "ambiguous-request"),
    "no Upgrade": (replace(WS, headers=()), 400, "ambiguous-request"),
    "no version": (replace(WS, headers=("Upgrade: websocket", WEBSOCKET[2])), 400, "ambiguous-request"),
    "two versions": (replace(WS, headers=(*WEBSOCKET, "Sec-WebSocket-Version: 13")), 400, "ambiguous-header"),
    "another version": (
        replace(WS, headers=(WEBSOCKET[0], "Sec-WebSocket-Version: 8", WEBSOCKET[2])),
        400,
        "ambiguous-request",
    ),
    "SPDY with a version": (replace(SP, headers=(*SPDY, "Sec-WebSocket-Version: 13")), 400, "ambiguous-request"),
    "SPDY/2": (replace(SP, headers=("Upgrade: SPDY/2",)), 400, "ambiguous-request"),
    "an unknown sub-protocol": (replace(WS, protocols=("v6.channel.k8s.io",)), 403, "upgrade-not-recorded"),
    "an unknown SPDY protocol": (replace(SP, protocols=("v5.channel.k8s.io",)), 403, "upgrade-not-recorded"),
    "PUT": (replace(WS, method="PUT"), 403, "unknown-verb"),
    "something below": (replace(WS, spelling="exec/x"), 403, "unknown-subresource"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_b30_what_can_be_read_in_two_ways_is_refused(
    name: str, lenient: GatewayEnv, token: str, pod: str, lenient_oracle: Oracle
) -> None:
    """Under a profile that stops nothing: no rule is needed for this."""
    way, code, rule = REFUSED[name]
    answer = ask(lenient, way.bytes(lenient, token, way.target(pod, command=["date"])), seconds=1)
    assert answer.status == code, answer
    assert f"rule: {rule}\n" in answer.message
    assert lenient_oracle.arrived() == []


TRUE = ["true", "1", "yes", "t", "", "no", "TRUE"]
FALSE = ["false", "0", "False", "FALSE"]
SCRIPT = 'read line; echo "[$line]"; echo over'


@pytest.mark.parametrize(
    ("stdin", "heard"),
    [*((value, True) for value in TRUE), *((value, False) for value in FALSE), (["false", "true"], False)],
)
def test_b31_standard_input_is_open_when_the_server_says_so(
    stdin: str | list[str], heard: bool, lenient: GatewayEnv, token: str, pod: str
) -> None:
    way = replace(WS, protocols=("v4.channel.k8s.io",))
    target = way.target(pod, command=["sh", "-c", SCRIPT], stdin=stdin)
    with session(lenient, token, way, target) as peer:
        peer.send(peer.types(b"typed\n"))
        output = peer.hears(b"over\n")
    assert (b"[typed]" in output) is heard


@pytest.mark.parametrize(("tty", "tag"), [("true", "tty"), ("x", "tty"), ("0", "no-tty"), ("false", "no-tty")])
def test_b31_there_is_a_terminal_when_the_server_says_so(
    tty: str, tag: str, lenient: GatewayEnv, token: str, pod: str
) -> None:
    word = secrets.token_hex(6)
    script = f"test -t 1 && echo terminal-{word} || echo pipe-{word}"
    target = WS.target(pod, command=["sh", "-c", script], tty=tty, stdin="true", stderr="false")
    with session(lenient, token, WS, target) as peer:
        output = peer.hears(word.encode())
    assert (f"terminal-{word}".encode() in output) is (tag == "tty")
    recording = recorded(lenient, f"-{word}\\r")
    assert recording[0]["tags"] == [tag]


@pytest.mark.parametrize("way", [WS, SP, replace(WS, headers=(*WEBSOCKET, "Origin: https://api.cluster.test"))])
@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/namespaces/NS/pods?watch=true",
        "/api/v1/watch/namespaces/NS/secrets",
        "/api/v1/namespaces/NS/pods/NAME/log?follow=true",
        "/api/v1/namespaces/NS/secrets",
        "/api/v1/namespaces/NS/secrets/any",
    ],
)
def test_b35_nothing_but_a_session_changes_the_protocol(
    way: Way, target: str, lenient: GatewayEnv, token: str, pod: str, lenient_oracle: Oracle
) -> None:
    namespace, _, name = pod.partition("/")
    whole = replace(way, method="GET").bytes(lenient, token, target.replace("NS", namespace).replace("NAME", name))
    answer = ask(lenient, whole, seconds=1)
    assert answer.status == 400, answer
    assert "only exec, attach, port-forward and proxy may change the protocol" in answer.message
    assert lenient_oracle.arrived() == []


def test_b40_what_follows_a_refused_upgrade_is_a_request_of_its_own(caller: Caller, pod: str) -> None:
    """The pattern of CVE-2018-1002105: two requests in one write, the first a refused upgrade."""
    first = WS.bytes(caller.gateway, caller.token, WS.target(pod, command=["date"]))
    second = request(caller.gateway, "/api/v1/namespaces/kube-system/secrets", token="")
    answer = ask(caller.gateway, first + second, seconds=2)
    assert answer.status == 403
    rest = answer.raw.partition(b"HTTP/1.1 401 ")
    assert rest[1], "without a token it is 401, whoever sent what came before"
    assert caller.oracle.arrived() == []


def test_b40_bytes_before_the_switch_are_frames_and_nothing_else(
    lenient: GatewayEnv, token: str, pod: str, lenient_oracle: Oracle
) -> None:
    """A request hidden behind an upgrade reaches nobody as a request: it is no frame, and ends the session."""
    hidden = request(lenient, "/api/v1/namespaces/kube-system/secrets", token=token)
    way = replace(WS, protocols=("v4.channel.k8s.io",))
    whole = way.bytes(lenient, token, way.target(pod, command=["sleep", "5"], stdin="true"))
    ask(lenient, whole + hidden, seconds=3)
    assert not [each for each in lenient_oracle.arrived() if "secrets" in each]


def test_b40_early_frames_arrive_in_their_turn(lenient: GatewayEnv, token: str, pod: str) -> None:
    from tests.core.wires.ends import Socket

    word = secrets.token_hex(6)
    way = replace(WS, protocols=("v4.channel.k8s.io",))
    whole = way.bytes(lenient, token, way.target(pod, command=["head", "-n1"], stdin="true"))
    answer = ask(lenient, whole + Socket(client=True).message(b"\x00" + f"early-{word}\n".encode()), seconds=5)
    assert answer.status == 101
    assert f"early-{word}\n".encode() in answer.raw
    recording = recorded(lenient, f"early-{word}\\n")
    assert f"early-{word}\n" in "".join(text for _, code, text in recording[1:] if code == "i")


@pytest.mark.parametrize("way", [WS, SP], ids=["websocket", "spdy"])
def test_b42_a_client_that_is_gone_at_once_leaves_a_whole_record(
    way: Way, lenient: GatewayEnv, token: str, pod: str
) -> None:
    from addons.core.spdy import Data, SynStream

    word = secrets.token_hex(6)
    target = way.target(pod, command=["sh"], stdin="true")
    with session(lenient, token, way, target) as peer:
        typed = f"echo did-{word}\n".encode()
        if way.spdy:
            opening = peer.writer.write(SynStream(7, (("streamtype", "stdin"),)))
            peer.send(opening + peer.writer.write(Data(7, typed)))
        else:
            peer.send(peer.types(typed))
    recording = recorded(lenient, f"echo did-{word}")
    assert f"echo did-{word}\n" in "".join(text for _, code, text in recording[1:] if code == "i")
