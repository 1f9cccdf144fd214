"""`scripts/cluster`: up, down, env, status."""

import argparse
import json
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path

from scripts.devenv import cluster
from scripts.devenv.cluster import Cluster
from scripts.devenv.places import DevelopmentProblem, default_state
from scripts.devenv.processes import is_running
from scripts.devenv.state import recorded_children

_ABOUT = """\
A real Kubernetes cluster on this machine's loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
kwok (nodes, pods, exec, logs, attach, port-forward), EKS tokens by aws-iam-authenticator and moto's STS, and an OpenID
provider.  The first start builds these programs from pinned Go modules, which takes minutes; later ones take seconds.

Commands in pods run for real, here, as you.  Every port of every pod is one small web server over the folder pod-files
of the state folder, in which those commands start.  Pods log what is in the file pod.log, in CRI format."""


def main() -> int:
    """The exit code of the command line."""
    options = _parser().parse_args()
    try:
        return {"up": _up, "down": _down, "env": _env, "status": _status}[options.command](options)
    except DevelopmentProblem as problem:
        print(f"cluster: error: {problem}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="scripts/cluster", description=_ABOUT, formatter_class=plain)
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down|env|status")
    for name, text in [
        ("up", "build what is missing, start, and wait until all is ready"),
        ("down", "stop it, and only what it started"),
        ("env", "print where everything is, as shell exports or JSON"),
        ("status", "list its processes; exit code 1 unless all run"),
    ]:
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        default = default_state()
        about = f"state folder (default {default})"
        command.add_argument("--state", type=Path, default=default, metavar="DIR", help=about)
        if name == "env":
            command.add_argument("-o", "--output", choices=["shell", "json"], default="shell")
    return parser


def _up(options: argparse.Namespace) -> int:
    began = time.monotonic()
    running = cluster.load(options.state)
    started = running or cluster.start(options.state)
    state = "already up" if running else f"ready after {time.monotonic() - began:.1f} s"
    print(f"cluster: {state} at {started.api_url}; logs in {started.state_dir}/logs", file=sys.stderr)
    argument = _state_argument(options.state)
    print(f'cluster: eval "$(scripts/cluster env{argument})" points kubectl at it', file=sys.stderr)
    return 0


def _down(options: argparse.Namespace) -> int:
    stopped = options.state.exists() and cluster.stop(options.state)
    print("cluster: stopped" if stopped else f"cluster: none runs in {options.state}", file=sys.stderr)
    return 0


def _env(options: argparse.Namespace) -> int:
    running = _require(options.state)
    if options.output == "json":
        print(json.dumps(asdict(running), indent=2))
        return 0
    flat = {f"CLUSTER_{name.upper()}": value for name, value in asdict(running).items() if isinstance(value, str)}
    flat |= {f"CLUSTER_ROLE_ARN_{role.upper()}": arn for role, arn in running.role_arns.items()}
    flat |= {"KUBECONFIG": running.admin_kubeconfig, **running.aws_env}
    for name, value in flat.items():
        print(f"export {name}={shlex.quote(value)}")
    # The kubectl that fits the server comes first.
    print(f'export PATH={shlex.quote(str(Path(running.kubectl).parent))}:"$PATH"')
    return 0


def _status(options: argparse.Namespace) -> int:
    children = recorded_children(options.state)
    for child in children:
        print(f"{child.name:<24} {'running' if is_running(child) else 'ended':<8} pid {child.pid:<8} {child.log}")
    if not children:
        print(f"no cluster in {options.state}")
    return 0 if cluster.load(options.state) else 1


def _require(state: Path) -> Cluster:
    running = cluster.load(state)
    if running is None:
        argument = _state_argument(state)
        raise DevelopmentProblem(f"no cluster runs in {state}: start it with scripts/cluster up{argument}")
    return running


def _state_argument(state: Path) -> str:
    return "" if state == default_state() else f" --state {shlex.quote(str(state))}"


if __name__ == "__main__":
    raise SystemExit(main())
