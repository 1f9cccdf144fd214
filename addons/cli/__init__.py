"""The `chaperone` command: one file per noun, imported only when it is used."""

from __future__ import annotations

import sys

from cyclopts import App

from addons.core.problem import InvalidConfiguration

app = App(
    name="chaperone",
    help="Just-in-time, supervised access to Kubernetes for autonomous agents.",
    version="0.1.0",
)
app.command("addons.cli.up:up", name="up")
app.command("addons.cli.explain:explain", name="explain")
app.command("addons.cli.mask:mask", name="mask")
app.command("addons.cli.rules:app", name="rules")
app.command("addons.cli.approvals:app", name="approvals")
app.command("addons.cli.sessions:app", name="sessions")
app.command("addons.cli.watch:watch", name="watch")
app.command("addons.cli.doctor:doctor", name="doctor")


def main() -> None:
    """Run the command line; a mistake people can mend is a message and exit status 1, never a traceback."""
    try:
        result = app()
    except InvalidConfiguration as error:
        print(error, file=sys.stderr)
        print(f"{len(error.problems)} problem(s); nothing was started", file=sys.stderr)
        sys.exit(1)
    except (OSError, LookupError, ValueError, PermissionError) as error:
        print(f"chaperone: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    if isinstance(result, int):
        sys.exit(result)
