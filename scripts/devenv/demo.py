"""`scripts/demo`: sets the stage, plays, and leaves nothing behind but the evidence, or with --keep everything."""

import argparse
import fcntl
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from scripts.devenv import demo_record, demo_stage
from scripts.devenv.demo_environment import Environment
from scripts.devenv.demo_narrator import Narrator
from scripts.devenv.demo_own_cluster import Choices, examine
from scripts.devenv.demo_play import Play
from scripts.devenv.places import DevelopmentProblem, default_state

_ABOUT = """\
Starts a Kubernetes cluster, an identity provider and the gateway, then plays an agent with an unmodified kubectl: a
list, a masked Secret, a refused cluster-admin binding, an exec that waits until a second person approves it, the replay
of that exec, the audit events.  Everything it tells is checked; it ends with 1 and names whatever differed.

Takes half a minute.  The very first run builds the cluster's programs, which takes minutes."""

_OWN = """\
what happens in your own cluster:
  With --kubeconfig, the gateway stands in front of your cluster instead of a local one.

  EKS, or a cluster with aws-iam-authenticator: cluster name and region come from the kubeconfig where it signs in by
  `aws eks get-token`.  The gateway assumes the role --role-arn with the AWS credentials of your shell; the role's trust
  policy must allow sts:AssumeRole, sts:TagSession and sts:SetSourceIdentity, and in the cluster the role must be mapped
  to the right to get and list pods and Secrets and to exec into pods of the namespace.

  Any other cluster (kind, minikube, GKE): the agent gets a service account, whose tokens the gateway has made by your
  user; no other flag is needed.

  Your own user creates one namespace, chaperone-demo-<random>, in it one Secret with a made-up password, two busybox
  pods that sleep and, where it is not EKS, that service account and a role of the namespace, and deletes that namespace
  at the end (with --keep: at `scripts/demo --down`).  Nothing else is changed.  The agent tries to create a
  ClusterRoleBinding to cluster-admin; the gateway refuses it, and the demo looks whether it is there, so your user must
  be allowed to read those.
"""


def main() -> int:
    """The exit code of the command line."""
    options = _parser().parse_args()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    narrator = Narrator()
    try:
        options.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        demo_record.require_ours(options.state)
        with _alone(options.state.resolve()) as folder:
            if options.down:
                return _down(folder, narrator)
            if options.env:
                return _env(folder, options.env_file, narrator)
            return _demo(folder, options, narrator)
    except DevelopmentProblem as problem:
        print(f"demo: error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description=_ABOUT,
        epilog=_OWN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = _default_folder()
    parser.add_argument("--keep", action="store_true", help="leave all running and print the environment to use it")
    parser.add_argument("--env-file", type=Path, metavar="F", help="write that environment to F as JSON, mode 0600")
    parser.add_argument("--down", action="store_true", help="stop what --keep left running")
    parser.add_argument("--env", action="store_true", help="print the environment of a kept demo, with fresh tokens")
    parser.add_argument("--state", type=Path, default=default, metavar="DIR", help=f"state folder (default {default})")
    own = parser.add_argument_group("your own cluster")
    own.add_argument("--kubeconfig", type=Path, metavar="F", help="use the cluster of this kubeconfig")
    own.add_argument("--context", default="", metavar="NAME", help="this context of it")
    own.add_argument("--role-arn", default="", metavar="ARN", help="the IAM role the agent gets")
    own.add_argument("--eks-cluster", default="", metavar="NAME", help="the cluster's name in its tokens")
    own.add_argument("--region", default="", metavar="R", help="the region whose STS signs them")
    own.add_argument("--sts-endpoint", default="", metavar="URL", help="another STS endpoint for AssumeRole")
    return parser


def _demo(folder: Path, options: argparse.Namespace, narrator: Narrator) -> int:
    own = _choices(options)
    if demo_record.kept_record(folder):
        down = f"scripts/demo --down{_state_argument(folder)}"
        raise DevelopmentProblem(f"a demo is kept running in {folder}: stop it with {down}, or name another --state")
    demo_record.take_down(folder)  # what is left of one that was killed
    kept = False
    try:
        narrator.heading("Chaperone: an agent works on a cluster, supervised")
        stage = demo_stage.set_up(folder, own, None if options.keep else os.getpid(), narrator)
        environment = Environment.of(stage)
        if options.env_file:
            environment.write_json(options.env_file)
        differences = Play(stage, narrator).run()
        if options.keep:
            demo_record.keep(folder)
            kept = True
    finally:
        if not kept:
            _clean_up(folder, narrator)
    _conclude(differences, stage.gateway.state_dir, narrator)
    if kept:
        narrator.heading("It is all still running")
        environment.tell(narrator, _state_argument(folder))
    return 1 if differences else 0


def _choices(options: argparse.Namespace) -> Choices | None:
    own = ("context", "role_arn", "eks_cluster", "region", "sts_endpoint")
    if options.kubeconfig is None:
        if given := [name for name in own if getattr(options, name)]:
            raise DevelopmentProblem(f"--{given[0].replace('_', '-')} goes with --kubeconfig (see --help)")
        return None
    choices = Choices(kubeconfig=options.kubeconfig, **{name: getattr(options, name) for name in own})
    examine(choices)  # before anything is started
    return choices


def _conclude(differences: Sequence[str], evidence: Path, narrator: Narrator) -> None:
    narrator.line(f"\nThe evidence is in {evidence}, until the next demo.")
    if not differences:
        narrator.line(f"All {narrator.facts} facts are as told.  {narrator.elapsed:.0f} s in all.", "green")
    for difference in differences:
        narrator.line(f"DIFFERS: {difference}", "red")


def _clean_up(folder: Path, narrator: Narrator) -> None:
    """Without being interrupted, since half of it would be worse than a second of patience."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    narrator.heading("Cleaning up")
    with narrator.doing("all that was started is stopped, the evidence stays"):
        demo_record.take_down(folder)


def _down(folder: Path, narrator: Narrator) -> int:
    done = demo_record.take_down(folder)
    narrator.line(", ".join(done) if done else f"nothing runs in {folder}")
    return 0


def _env(folder: Path, env_file: Path | None, narrator: Narrator) -> int:
    environment = Environment.kept(folder)
    if environment is None:
        raise DevelopmentProblem(f"no demo is kept in {folder}: start one with scripts/demo --keep")
    if env_file:
        environment.write_json(env_file)
    environment.tell(narrator, _state_argument(folder))
    return 0


def _state_argument(folder: Path) -> str:
    return "" if folder == _default_folder().resolve() else f" --state {shlex.quote(str(folder))}"


def _default_folder() -> Path:
    return default_state().parent / "demo"


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """The folder, locked for as long as this runs."""
    with (folder / demo_record.LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DevelopmentProblem(f"another demo runs in {folder}: wait for it, or name another --state") from None
        yield folder


if __name__ == "__main__":
    raise SystemExit(main())
