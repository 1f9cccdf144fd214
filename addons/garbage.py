"""When Python looks for garbage: seldom while a process starts, as usual once it serves."""

import gc

_USUAL = gc.get_threshold()
_SELDOM = 100_000


def look_seldom() -> None:
    """For a start, and for commands that soon end: what is imported is no garbage, and looking at it takes long."""
    gc.set_threshold(_SELDOM)


def look_as_usual() -> None:
    """For what runs on. What was made until here stays: no collection needs to look at it again, or copies it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_USUAL)


def look_no_more() -> None:
    """For an end: all that was made goes with the process, and looking at it would take a fifth of a short one."""
    gc.freeze()
