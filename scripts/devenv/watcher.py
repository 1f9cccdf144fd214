"""Ends a cluster when the process that it was started for has ended, however that came about.  A process of its own."""

import sys
import time
from pathlib import Path

from scripts.devenv import cluster
from scripts.devenv.processes import start_time

INTERVAL_SECONDS = 0.5


def main() -> None:
    """`watcher STATE_DIR OWNER_PID`"""
    state_dir, owner = Path(sys.argv[1]), int(sys.argv[2])
    started = start_time(owner)
    while start_time(owner) == started is not None:
        time.sleep(INTERVAL_SECONDS)
    cluster.stop(state_dir)


if __name__ == "__main__":
    main()
