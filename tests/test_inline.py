"""Hooks run where they come up, in mitmproxy's order; bytes to one peer are one write, and the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.connection import Client, Connection, ConnectionState
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.commands import Command, Log, SendData, StartHook
from mitmproxy.proxy.events import Event, HookCompleted, Start
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import ConnectionIO
from mitmproxy.proxy.server_hooks import ClientConnectedHook
from mitmproxy.test import tflow

from addons.inline import Handler, Outermost
from addons.master import make_master
from addons.refusal import settled
from tests.support.proxy import OPTIONS

COMMANDS = st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=20_000)) | st.just(("log", b"")), max_size=12)


class Inner:
    """A layer that answers events with the commands it is given, one list for each, and notes what it sees."""

    context: Any = None

    def __init__(self, *answers: Sequence[Command], notes: list[str] | None = None) -> None:
        self.answers, self.notes = iter(answers), [] if notes is None else notes

    def handle_event(self, event: Event) -> Iterator[Command]:
        """The next answer."""
        self.notes.append(type(event).__name__)
        yield from next(self.answers, ())


def outermost(inner: Any, over: bool = True) -> Outermost:
    def start(_: StartHook) -> bool:
        inner.notes.append("hook")
        return over

    return Outermost(inner, start)


@given(COMMANDS)
def test_joined_writes_carry_the_same_bytes_in_the_same_order(plan: list[tuple[str, bytes]]) -> None:
    peers: dict[str, Connection] = {"a": tflow.tclient_conn(), "b": tflow.tserver_conn()}
    commands: list[Command] = [SendData(peers[to], data) if to in peers else Log("x") for to, data in plan]
    joined = list(outermost(Inner(commands)).handle_event(Start()))
    assert told(joined) == told(commands)
    assert len(joined) <= len(commands)


def told(commands: Sequence[Command]) -> list[tuple[str, bytes]]:
    """What each peer gets between two other commands."""
    told: list[tuple[str, bytes]] = []
    for command in commands:
        who = command.connection.id if isinstance(command, SendData) else "log"
        data = command.data if isinstance(command, SendData) else b""
        if told and who != "log" and told[-1][0] == who:
            told[-1] = (who, told[-1][1] + data)
        else:
            told.append((who, data))
    return told


def hook(blocking: bool = True) -> StartHook:
    made = HttpRequestHook(tflow.tflow())
    made.blocking = blocking
    return made


def test_the_end_of_a_hook_comes_after_what_else_the_event_brought() -> None:
    client = tflow.tclient_conn()
    inner = Inner([SendData(client, b"1"), hook(), Log("after"), hook()], [SendData(client, b"2")], [Log("last")])
    seen = []
    for command in outermost(inner).handle_event(Start()):
        seen.append(type(command).__name__)
        inner.notes.append(f"gave {type(command).__name__}")
    assert seen == ["SendData", "Log", "SendData", "Log"]
    # What was sent before a hook is written before it runs.
    assert inner.notes[:4] == ["Start", "gave SendData", "hook", "gave Log"]
    assert [note for note in inner.notes if note[:4] != "gave"] == ["Start", "hook", "hook"] + ["HookCompleted"] * 2


@pytest.mark.parametrize(("over", "blocking"), [(False, True), (True, False), (False, False)])
def test_no_end_is_told_of_a_hook_that_waits_or_that_nobody_waits_for(over: bool, blocking: bool) -> None:
    inner = Inner([hook(blocking)])
    assert list(outermost(inner, over).handle_event(Start())) == []
    assert inner.notes == ["Start", "hook"]


def test_an_end_is_not_lost_with_the_event_that_fails() -> None:
    class Breaks(Inner):
        def handle_event(self, event: Event) -> Iterator[Command]:
            yield from super().handle_event(event)
            if self.notes == ["Start", "hook"]:
                raise ValueError

    inner = Breaks([hook()])
    outer = outermost(inner)
    with pytest.raises(ValueError):
        list(outer.handle_event(Start()))
    assert list(outer.handle_event(Start())) == []
    assert inner.notes == ["Start", "hook", "HookCompleted", "Start"]


class Judge:
    """An addon: `requestheaders` never waits, `request` does, until `go`."""

    def __init__(self) -> None:
        self.go, self.tasks = asyncio.Event(), list[asyncio.Task[Any] | None]()

    def client_connected(self, _: Client) -> None:
        self.tasks.append(asyncio.current_task())

    async def request(self, flow: HTTPFlow) -> None:
        self.tasks.append(asyncio.current_task())
        if flow.comment == "broken":
            raise ValueError
        await self.go.wait()
        if flow.comment == "held":
            flow.intercept()


async def handler(judge: Judge) -> tuple[Handler, list[Event]]:
    class Writer:
        def get_extra_info(self, _: str, default: object = None) -> object:
            return ("127.0.0.1", 1)

    ends: list[Event] = []
    master = make_master(lambda _: [judge], OPTIONS, 1 << 20)
    made = Handler(master, None, Writer(), master.options, ProxyMode.parse("regular"))  # type: ignore[no-untyped-call]

    async def note(event: Event) -> None:
        ends.append(event)

    made.server_event = note  # type: ignore[method-assign]
    return made, ends


async def test_what_never_waits_is_over_without_a_task() -> None:
    judge = Judge()
    running, ends = await handler(judge)
    assert running.start(ClientConnectedHook(tflow.tclient_conn()))
    assert judge.tasks == [asyncio.current_task()]
    assert ends == []


async def test_nothing_goes_on_at_once_behind_a_hook_that_ended_the_connection() -> None:
    """Its end is reported by a task, as mitmproxy does it: what it would lead to finds the connection closed."""

    class Ends(Judge):
        def client_connected(self, client: Client) -> None:
            client.state = ConnectionState.CLOSED  # as `disconnect` does

    running, ends = await handler(Ends())
    over = ClientConnectedHook(running.client)
    assert not running.start(over)
    await asyncio.sleep(0)
    assert [event.command for event in ends if isinstance(event, HookCompleted)] == [over]


async def test_what_waits_has_a_task_of_its_own_from_its_first_step() -> None:
    judge = Judge()
    running, ends = await handler(judge)
    asked = HttpRequestHook(tflow.tflow())
    assert not running.start(asked)
    await asyncio.sleep(0)
    assert judge.tasks[0] is not asyncio.current_task()
    assert running.timeout_watchdog.blocker == 1
    assert ends == []
    judge.go.set()
    await asyncio.sleep(0.01)
    assert [event.command for event in ends if isinstance(event, HookCompleted)] == [asked]
    assert running.timeout_watchdog.blocker == 0


async def test_a_held_flow_ends_its_hook_when_it_is_resumed() -> None:
    judge = Judge()
    running, ends = await handler(judge)
    flow = tflow.tflow()
    flow.comment = "held"
    assert not running.start(HttpRequestHook(flow))
    judge.go.set()
    await asyncio.sleep(0.01)
    assert ends == []
    flow.resume()
    await asyncio.sleep(0.01)
    assert len(ends) == 1


async def test_a_flow_that_is_held_already_is_waited_for() -> None:
    running, ends = await handler(Judge())
    flow = tflow.tflow()
    flow.intercept()
    assert not running.start(ClientConnectedHook(cast(Any, flow)))
    await asyncio.sleep(0.01)
    assert ends == []
    flow.resume()
    await asyncio.sleep(0.01)
    assert len(ends) == 1


async def test_a_fault_in_what_waits_refuses_the_request() -> None:
    judge = Judge()
    running, ends = await handler(judge)
    flow = tflow.tflow()
    flow.comment = "broken"
    assert not running.start(HttpRequestHook(flow))
    await asyncio.sleep(0.01)
    assert settled(flow)
    assert len(ends) == 1


class Transport:
    """Of a peer: what it has not taken yet, and whether it is read."""

    def __init__(self, unsent: int = 0) -> None:
        self.unsent, self.is_read, self.taken = unsent, True, asyncio.Event()
        self.transport = self  # as its writer

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    async def drain(self) -> None:
        if self.unsent:
            await self.taken.wait()


async def receiver(peer: Transport) -> tuple[Any, Inner]:
    """A handler, and its layer, that only notes."""
    made, _ = await handler(Judge())
    del made.server_event
    inner = Inner()
    made.layer = cast(Any, inner)
    made.client.state = ConnectionState.OPEN
    made.transports = {made.client: ConnectionIO(writer=cast(Any, peer))}
    return made, inner


async def test_what_arrives_is_handled_at_once() -> None:
    peer = Transport()
    made, inner = await receiver(peer)
    made._received(made.client, peer, b"1")
    assert inner.notes == ["DataReceived"]
    assert peer.is_read


async def test_what_arrives_behind_an_event_that_waits_is_handled_after_it() -> None:
    peer = Transport()
    made, inner = await receiver(peer)
    await made._server_event_lock.acquire()
    waits = asyncio.create_task(made.server_event(Start()))
    await asyncio.sleep(0)
    made._received(made.client, peer, b"1")
    assert inner.notes == []
    assert not peer.is_read
    made._server_event_lock.release()
    await waits
    await asyncio.sleep(0.01)
    assert inner.notes == ["Start", "DataReceived"]
    assert peer.is_read
    made._received(made.client, peer, b"2")
    assert len(inner.notes) == 3


async def test_what_waited_is_not_handled_once_the_connection_is_closed() -> None:
    peer = Transport()
    made, inner = await receiver(peer)
    made._turns = 1
    made.client.state = ConnectionState.CLOSED
    made._received(made.client, peer, b"1")
    await asyncio.sleep(0.01)
    assert inner.notes == []


async def test_no_more_is_read_while_a_peer_is_slow() -> None:
    peer = Transport(unsent=65 * 1024)
    made, inner = await receiver(peer)
    made._received(made.client, peer, b"1")
    await asyncio.sleep(0.01)
    assert inner.notes == ["DataReceived"]
    assert not peer.is_read
    peer.taken.set()
    await asyncio.sleep(0.01)
    assert peer.is_read


async def test_an_event_that_waits_for_nobody_is_a_fault() -> None:
    peer = Transport()
    made, _ = await receiver(peer)
    await made._server_event_lock.acquire()
    with pytest.raises(RuntimeError, match="nobody has a turn"):
        made._received(made.client, peer, b"1")
