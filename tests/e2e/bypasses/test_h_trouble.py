"""Section H, trouble: clocks that differ, and a record that is slow. Nothing is let through because of it."""

from __future__ import annotations

import fcntl
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.devenv.bench_machine import forget_peak, usage
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.places import REPOSITORY
from tests.e2e.agent import eventually
from tests.e2e.bypasses.sessions import Way, session
from tests.e2e.gateways import Gateways
from tests.e2e.raw import ask, request
from tests.e2e.records import gateway_events
from tests.e2e.wiretap import Wiretap

PATH = "/api/v1/namespaces/default/configmaps"
ROOM_MEGABYTES = 60
CLOCK = """
import ctypes, datetime, time
import botocore.auth


class Method(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("call", ctypes.c_void_p)]


class Function(ctypes.Structure):
    _fields_ = [("head", ctypes.c_byte * object.__basicsize__), ("method", ctypes.POINTER(Method))]


wrong = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p)(
    lambda *_: time.time_ns() / 1e9 + {seconds}
)
Function.from_address(id(time.time)).method.contents.call = ctypes.cast(wrong, ctypes.c_void_p).value
botocore.auth.get_current_datetime = lambda *_, **__: datetime.datetime.fromtimestamp(time.time(), datetime.UTC)
"""
"""What a process does first that is on a machine whose clock is wrong. Whoever uses `time.time` may have it already: it
becomes another function inside.
"""


def shifted(gateways: Gateways, wire: Wiretap, folder: Path, seconds: int) -> GatewayEnv:
    """A gateway whose clock differs from everybody else's."""
    (folder / "sitecustomize.py").write_text(CLOCK.format(seconds=seconds))
    env = {**wire.upstream.env, "PYTHONPATH": f"{folder}:{REPOSITORY}"}
    return gateways.start(f"clock{seconds:+}", replace(wire.upstream, env=env))


@pytest.mark.parametrize(
    ("seconds", "code", "why"),
    [
        (-7200, 401, "in the future (iat): one of the clocks is wrong"),
        (7200, 401, "it expired "),
        (1200, 503, "the cluster did not accept the credential of the granted role; your own token is fine"),
        (-20, 200, ""),
    ],
    ids=["two hours late", "two hours early", "longer than a signature lasts", "within what is allowed for"],
)
def test_b80_a_clock_that_is_wrong_opens_nothing(
    seconds: int, code: int, why: str, gateways: Gateways, wire: Wiretap, mint: Callable[..., str], tmp_path: Path
) -> None:
    """Tokens and credentials have times; whoever is wrong, the answer says what does not fit."""
    gateway = shifted(gateways, wire, tmp_path, seconds)
    answer = ask(gateway, request(gateway, PATH, token=mint("punctual", groups=["agents"])))
    assert answer.status == code, answer
    assert why in answer.body.decode()


@pytest.fixture(scope="module")
def slow(gateways: Gateways, wire: Wiretap) -> GatewayEnv:
    """A gateway whose record is going to be slow."""
    return gateways.start("slow-record", replace(wire.upstream, profile="observe"))


@contextmanager
def record_held(gateway: GatewayEnv, subject: str) -> Iterator[None]:
    """What is written of this caller waits meanwhile, as for a disk that does not answer."""
    (folder,) = (f.parent for f in gateway.state_dir.glob("sessions/*/session.json") if f'"{subject}"' in f.read_text())
    with (folder / "audit.jsonl").open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(log, fcntl.LOCK_UN)


def test_b80_while_the_record_waits_so_do_requests(
    slow: GatewayEnv, wire: Wiretap, mint: Callable[..., str], executor: Executor
) -> None:
    token, name = mint("slowly", groups=["agents"]), f"never-{secrets.token_hex(4)}"
    assert ask(slow, request(slow, PATH, token=token)).status == 200
    whole = request(slow, f"{PATH}/{name}", token=token)
    mark = wire.mark()
    with record_held(slow, "slowly"):
        asked = executor.submit(ask, slow, whole)
        time.sleep(1)
        assert not asked.done()
        assert name.encode() not in wire.since(mark)
    assert asked.result(10).status == 404
    assert name.encode() in wire.since(mark)
    assert [event for event in gateway_events(slow) if name in event["requestURI"]]


def test_b41_while_the_record_waits_so_does_what_runs(slow: GatewayEnv, mint: Callable[..., str], pod: str) -> None:
    """No more is passed on than can be remembered until the disk answers."""
    token, way = mint("chatterbox", groups=["agents"]), Way(protocols=("v4.channel.k8s.io",))
    assert ask(slow, request(slow, PATH, token=token)).status == 200
    with session(slow, token, way, way.target(pod, command=["sh", "-c", "yes 'no secret'"])) as peer:
        peer.hears(b"no secret")
        forget_peak(slow.child.pid)
        before, got = usage(slow.child.pid), 0
        with record_held(slow, "chatterbox"):
            assert ask(slow, request(slow, PATH, token=token), seconds=1).raw == b"", "its turn has not come"
            peer.connection.settimeout(2)
            with suppress(TimeoutError):
                while data := peer.connection.recv(1 << 20):
                    got += len(data)
        assert got < ROOM_MEGABYTES * 1_000_000
        after = usage(slow.child.pid)
        assert before is not None
        assert after is not None
        assert after.peak_mb - before.peak_mb < ROOM_MEGABYTES
        eventually("more of it", lambda: peer.connection.recv(1 << 20))
