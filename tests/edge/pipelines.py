"""Pipelines and logs for tests: events as the gateway writes them, in the files it writes them to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from addons.core.audit import Call, Stage, event, line
from addons.core.documents import parse_documents
from addons.core.pipelines.pipeline import Pipeline, compile_pipelines
from addons.edge.shipper import Logs, Shipper
from tests.core.pipelines.events import DENIED, RECEIVED_AT, REFUSED, call

SECRET = "0123456789abcdef0123456789abcdef"


def pipeline(folder: Path, spec: str, name: str = "p") -> Pipeline:
    """The pipeline of a `spec` in flow style; the secret of its webhook is in the file `secret`."""
    (folder / "secret").write_text(SECRET)
    text = f"apiVersion: chaperone/v1\nkind: Pipeline\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    documents, problems = parse_documents(text, str(folder / "p.yaml"))
    (found,), mistakes = compile_pipelines(documents, ["prod"])
    assert [*problems, *mistakes] == []
    return found


def record(number: int, of: Call | None = None, stage: Stage = Stage.RESPONSE_COMPLETE, code: int = 200) -> bytes:
    """A line of the log; its audit id is the number."""
    made = replace(of or call(), id=str(number))
    return line(event(made, stage, RECEIVED_AT + number, code))


def denial(number: int) -> bytes:
    """A line with an alert: the same whenever it is of the same session."""
    return record(number, call(decision=DENIED, refusal=REFUSED), code=403)


def append(state: Path, session: str, lines: Iterable[bytes]) -> Path:
    """Lines, at the end of a session's log."""
    folder = state / "sessions" / session
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "audit.jsonl").open("ab") as file:
        file.write(b"".join(lines))
    return folder / "audit.jsonl"


@asynccontextmanager
async def shipping(of: Pipeline, state: Path) -> AsyncIterator[Shipper]:
    """The pipeline, running."""
    shipper = Shipper(of, state, Logs(state))
    task = asyncio.ensure_future(shipper.run())
    try:
        yield shipper
    finally:
        await shipper.stop(task)


async def ship_once(of: Pipeline, state: Path) -> None:
    """All there is. Raises OSError if it could not be sent."""
    shipper = Shipper(of, state, Logs(state))
    task = asyncio.ensure_future(shipper.run(once=True))
    try:
        await task
    finally:
        await shipper.stop(task)
