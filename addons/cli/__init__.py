"""The `chaperone` command: one file per noun, imported only when it is used."""

from __future__ import annotations

import sys

from cyclopts import App

from addons.core.problem import InvalidConfiguration
from addons.garbage import look_no_more, look_seldom

app = App(
    name="chaperone",
    help="Just-in-time, supervised access to Kubernetes for autonomous agents.",
    version="0.1.0",
    help_format="markdown",
)
_COMMANDS = {  # imported when used; the help is here so that the overview needs none of them, and yields to their own
    "up": ("addons.cli.up:up", "Start the gateway."),
    "console": ("addons.cli.console:console", "Start the console: session tokens, SAML sign-in."),
    "ship": ("addons.cli.ship:ship", "Send the audit log, alerts and traces elsewhere, and follow it."),
    "doctor": ("addons.cli.doctor:doctor", "Find what is wrong with a set-up."),
    "status": ("addons.cli.status:status", "Say whether the gateway is up, and which rules are in force."),
    "approvals": ("addons.cli.approvals:app", "See, grant and deny what waits for a human."),
    "connections": ("addons.cli.connections:app", "List and check the clusters behind the gateway."),
    "kubeconfig": ("addons.cli.agent:kubeconfig", "Print an agent's kubeconfig for a cluster."),
    "login": ("addons.cli.login:login", "Sign in at an OpenID provider, as a person."),
    "logout": ("addons.cli.login:logout", "Forget a sign-in."),
    "token": ("addons.cli.token:token", "Print an OIDC token for kubectl: a credential plugin."),
    "run": ("addons.cli.agent:run", "Run a command whose way to the cluster is the gateway."),
    "request": ("addons.cli.request:request", "Ask for access: an agent's side."),
    "grants": ("addons.cli.grants:app", "See and decide who is given access on request."),
    "lock": ("addons.cli.locks:lock", "Stop somebody, a cluster or everybody, at once."),
    "locks": ("addons.cli.locks:locks", "List what is locked."),
    "unlock": ("addons.cli.locks:unlock", "Lift a lock."),
    "sessions": ("addons.cli.sessions:app", "Find, show and replay what agents did."),
    "index": ("addons.cli.index:index", "Bring the search index up to date."),
    "audit": ("addons.cli.audit:app", "Verify the audit log, and keep its key."),
    "archive": ("addons.cli.archive:app", "Copy evidence to a bucket, and fetch it from there."),
    "watch": ("addons.cli.watch:watch", "Look at live traffic in mitmweb, which cannot touch it."),
    "explain": ("addons.cli.explain:explain", "Say what the rules make of a request, without sending it."),
    "mask": ("addons.cli.mask:mask", "Show what an agent would see of a reply."),
    "rules": ("addons.cli.rules:app", "Check, test, find and explain rules."),
}
for _name, (_where, _help) in _COMMANDS.items():
    app.command(_where, name=_name, help=None if sys.argv[1:2] == [_name] else _help)


def main() -> None:
    """Run the command line; a mistake people can mend is a message and exit status 1, never a traceback."""
    look_seldom()
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
    finally:
        look_no_more()
    if isinstance(result, int):
        sys.exit(result)
