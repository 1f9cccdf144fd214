"""No copy of this process's memory on a disk: credentials are in it, and a crash is no reason to write them down.

Sources: core(5); PR_SET_DUMPABLE in prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """From now on a crash leaves no core file. Raises OSError if that cannot be had.

    Linux hands a core to a program (`core_pattern`) whatever the limit is: there the process also says that it may not
    be dumped, so that nobody but root can read its memory either.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
