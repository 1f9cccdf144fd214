"""`chaperone ship` as a process: it follows a log that grows, and loses nothing when it is killed, again and again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from addons.cli.ship import ship
from addons.core.problem import InvalidConfiguration
from scripts.devenv.forkserver import CHAPERONE, run, spawn
from scripts.devenv.processes import Child, is_running
from tests.edge.pipelines import SECRET, append, denial, record
from tests.support.receiver import Receiver, receiver

_SECONDS = 120.0
"""A process that starts on a machine that is busy takes its time."""
PIPELINE = "apiVersion: chaperone/v1\nkind: Pipeline\nmetadata: {name: NAME}\nspec: {SPEC}\n---\n"


def configured(folder: Path, **specs: str) -> Path:
    """A `mitm.conf` whose rules hold these pipelines and nothing else."""
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules" / "secret").write_text(SECRET)
    documents = "".join(PIPELINE.replace("NAME", name).replace("SPEC", spec) for name, spec in specs.items())
    (folder / "rules" / "p.yaml").write_text(documents)
    (folder / "mitm.conf").write_text("rules: [rules]\nstate: state\n")
    return folder / "mitm.conf"


def hook(siem: Receiver, more: str = "") -> str:
    return f"webhook: {{url: '{siem.url}', secretFile: secret}}{more}"


@contextmanager
def shipping(conf: Path) -> Iterator[Child]:
    """The process, ready."""
    log = conf.with_name("ship.log")
    log.unlink(missing_ok=True)
    child = spawn("ship", [*CHAPERONE, "ship", "--conf", conf], log)
    try:
        until("it is ready", lambda: '"ready"' in log.read_text())
        yield child
    finally:
        end(child, signal.SIGKILL)


def end(child: Child, how: signal.Signals) -> None:
    """Returns when it has ended."""
    if is_running(child):
        os.kill(child.pid, how)
        until("it has ended", lambda: not is_running(child))


def until(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def ids(siem: Receiver) -> list[str]:
    return [event["auditID"] for sent in siem.sent for event in sent.document["events"]]


@pytest.mark.timeout(600)
def test_killed_again_and_again_it_loses_nothing(tmp_path: Path) -> None:
    state, written = tmp_path / "state", 0
    with receiver() as siem:
        conf = configured(tmp_path, all=hook(siem), alerts=hook(siem, ", send: alerts"))
        for round_ in range(3):
            with shipping(conf) as process:
                seen = len(siem.sent)
                for _ in range(40):
                    append(state, f"s{written % 3}", [denial(written)])
                    written += 1
                    time.sleep(0.002)
                siem.until(seen + 1, _SECONDS)
                time.sleep(0.05 * round_)
                end(process, signal.SIGKILL)
        with shipping(conf) as process:
            until("all came", lambda: len(set(ids_of(siem, "all"))) == written)
            end(process, signal.SIGTERM)
    for session in range(3):
        of_session = [int(each) for each in ids_of(siem, "all") if int(each) % 3 == session]
        first = list(dict.fromkeys(of_session))
        assert first == sorted(first), "in order, but for what was sent again"
    keys = {
        alert["key"] for sent in siem.sent if sent.document["pipeline"] == "alerts" for alert in sent.document["events"]
    }
    assert len(keys) == 1, "all of these events are of one session"


def ids_of(siem: Receiver, pipeline: str) -> list[str]:
    batches = [sent.document for sent in siem.sent if sent.document["pipeline"] == pipeline]
    return [event["auditID"] for document in batches for event in document["events"]]


@pytest.mark.timeout(600)
def test_changed_pipelines_count_at_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with receiver() as one, receiver() as other:
        conf = configured(tmp_path, a=hook(one))
        append(state, "s", [record(1)])
        with shipping(conf) as process:
            one.until(1, _SECONDS)
            configured(tmp_path, a=hook(other), b=hook(other, ", send: alerts"))
            os.kill(process.pid, signal.SIGHUP)
            until("they are loaded", lambda: "policy loaded" in (tmp_path / "ship.log").read_text())
            append(state, "s", [record(2), denial(3)])
            until("both", lambda: {sent.document["pipeline"] for sent in other.sent} == {"a", "b"})
            (tmp_path / "rules" / "p.yaml").write_text("apiVersion: nonsense\n")
            os.kill(process.pid, signal.SIGHUP)
            append(state, "s", [record(4)])
            until("it goes on", lambda: "4" in ids_of(other, "a"))
    assert ids(one)[0] == "1"
    assert {"1", "2", "3", "4"} == {*ids_of(one, "a"), *ids_of(other, "a")}


def test_standard_output_holds_events_alone(tmp_path: Path) -> None:
    append(tmp_path / "state", "s", [record(1), record(2)])
    conf = configured(tmp_path, out="stdout: {}")
    ended = run([*CHAPERONE, "ship", "--conf", conf, "--once"], timeout=_SECONDS)
    assert ended.returncode == 0, ended.stderr
    assert [json.loads(line)["auditID"] for line in ended.stdout.splitlines()] == ["1", "2"]


def test_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append(tmp_path / "state", "s", [record(1)])
    with receiver(lambda _: (503, {}, b"")) as down, receiver() as up:
        conf = configured(tmp_path, down=hook(down), up=hook(up))
        assert ship(conf=conf, once=True) == 1
        assert ids(up) == ["1"]
        assert ship(conf=conf, once=True, only=["up"]) == 0
        assert ship(conf=conf, check=True) == 0
    assert "no problems; pipelines: down, up" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("specs", "only", "problem"),
    [
        ({}, [], "no Pipeline document in any rules folder"),
        ({"a": "stdout: {}"}, ["b"], "there is no pipeline b"),
        ({"a": "stdout: {}, x: 1"}, [], "p.yaml:4: x: Extra inputs are not permitted"),
        ({"a": "webhook: {url: 'https://x', secretFile: nowhere}"}, [], "p.yaml:4: webhook.secretFile: "),
    ],
)
def test_mistakes(tmp_path: Path, specs: dict[str, str], only: list[str], problem: str) -> None:
    with pytest.raises(InvalidConfiguration) as raised:
        ship(conf=configured(tmp_path, **specs), only=only, check=True)
    assert problem in str(raised.value)


def test_two_processes_do_not_share_a_pipeline(tmp_path: Path) -> None:
    with receiver() as siem:
        conf = configured(tmp_path, a=hook(siem))
        with shipping(conf), pytest.raises(OSError, match="another `chaperone ship` runs the pipeline a"):
            ship(conf=conf, once=True)
