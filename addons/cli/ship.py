"""`chaperone ship`: the pipelines of the rules, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from addons.core.pipelines.pipeline import Pipeline
from addons.edge.reload import Reload
from addons.edge.rulefiles import Signature, signature
from addons.edge.shipper import Logs, Shipper
from addons.garbage import look_as_usual
from addons.logs import configure_logs
from addons.settings import Settings, load_settings
from addons.shipping import Shipping, load_pipelines, log


def ship(
    *,
    conf: Path = Path("mitm.conf"),
    only: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None,
    once: bool = False,
    check: bool = False,
) -> int:
    """Send the audit log, alerts and traces to where the Pipeline documents in the rules say, and follow the log.

    It reads the state folder of the gateway and is never in the way of a request: while it does not run, nothing is
    lost, and afterwards it goes on where it was. Changed rules count at once. `chaperone status` says how it does.

    Parameters
    ----------
    conf
        The gateway's configuration file.
    only
        Only the pipeline of this name; may be given several times.
    once
        Send what there is, and end; exit status 1 if something could not be sent.
    check
        Only check the pipelines; exit status 1 if there is a mistake.
    """
    settings = load_settings(conf)
    found = signature(settings.rules)
    pipelines = load_pipelines(settings, only or ())
    if check:
        print(f"{conf}: no problems; pipelines: {', '.join(pipeline.name for pipeline in pipelines)}")
        return 0
    configure_logs(settings.log_format, settings.log_level)
    if once:
        return asyncio.run(_once(Path(settings.state), pipelines))
    return asyncio.run(_follow(settings, pipelines, found, tuple(only or ())))


async def _once(state: Path, pipelines: tuple[Pipeline, ...]) -> int:
    logs, failed = Logs(state), 0
    for pipeline in pipelines:
        shipper = Shipper(pipeline, state, logs)
        task = asyncio.ensure_future(shipper.run(once=True))
        await asyncio.wait({task})
        if isinstance(error := task.exception(), OSError):
            log.error("pipeline interrupted", pipeline=pipeline.name, error=str(error))
            failed = 1
        await shipper.stop(task)
    return failed


async def _follow(settings: Settings, pipelines: tuple[Pipeline, ...], found: Signature, only: tuple[str, ...]) -> int:
    shipping = Shipping(Path(settings.state))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await shipping.use(pipelines)
        look_as_usual()
        log.info("ready", pipelines=[pipeline.name for pipeline in pipelines])
        with _reloading(settings, shipping, found, only):
            waiting = [asyncio.ensure_future(event.wait()) for event in (stop, shipping.ended)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
    finally:
        await shipping.close()
    return 1 if shipping.ended.is_set() else 0


@contextlib.contextmanager
def _reloading(settings: Settings, shipping: Shipping, found: Signature, only: tuple[str, ...]) -> Iterator[None]:
    reload = Reload(
        lambda: load_pipelines(settings, only), shipping.use, dict, lambda: signature(settings.rules), found
    )
    watching = asyncio.ensure_future(reload.watch())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload.ask)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        watching.cancel()
