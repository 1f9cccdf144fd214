"""Builds the cluster's programs and helm, or waits for a process that does.  A process of its own for scripts/check."""

import signal
import sys

from scripts.devenv.places import DevelopmentProblem
from scripts.devenv.tools import ensure_helm, ensure_tools


def main() -> int:
    """The exit code."""
    # Being told to end must end the compiler too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        ensure_tools()
        ensure_helm()
    except DevelopmentProblem as problem:
        print(f"cluster: error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
