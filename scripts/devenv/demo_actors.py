"""Who acts in the demo, each with the real program: the agent's kubectl, and people's `chaperone` command."""

import os
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from scripts.devenv import forkserver
from scripts.devenv.demo_narrator import Differs, Narrator
from scripts.devenv.demo_stage import AGENT, APPROVER, INTENT, Stage
from scripts.devenv.places import REPOSITORY

type Done = subprocess.CompletedProcess[str]

SECONDS = 60.0


@dataclass(slots=True)
class Agent:
    """An agent with an unmodified kubectl, which knows the gateway from HTTPS_PROXY and its kubeconfig alone."""

    stage: Stage
    narrator: Narrator

    def kubectl(self, *arguments: str) -> Done:
        """Runs and shows a command."""
        with self.start(*arguments) as process:
            return self.finish(process)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Shows a command and leaves it running."""
        self.narrator.command(AGENT, shlex.join(["kubectl", *arguments]))
        gateway = self.stage.gateway
        kubeconfig = gateway.agent_kubeconfig(
            self.stage.agent_token, name=AGENT, namespace=self.stage.namespace, intent=INTENT
        )
        return subprocess.Popen(
            [gateway.kubectl_path, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=gateway.agent_environment(kubeconfig),
        )

    def finish(self, process: subprocess.Popen[str]) -> Done:
        """Waits for a command and shows what it printed; both outputs are one, as on a terminal."""
        try:
            output, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            trouble = self.stage.gateway.last_error() or "nothing"
            raise Differs(f"kubectl did not end within {SECONDS:.0f} s; the gateway's log says: {trouble}") from None
        except BaseException:
            process.kill()
            raise
        self.narrator.output(output)
        return subprocess.CompletedProcess(process.args, process.returncode, output)


@dataclass(slots=True)
class Person:
    """Somebody with the `chaperone` command, signed in with a token of their own."""

    stage: Stage
    narrator: Narrator
    name: str = APPROVER
    token: str = field(default="", repr=False)

    def chaperone(self, *arguments: str, whole: bool = False) -> Done:
        """Runs and shows a command; `whole` if its output is to be copied."""
        done = self.quietly(*arguments)
        self.show(done, whole)
        return done

    def quietly(self, *arguments: str) -> Done:
        """Runs a command in the gateway's folder, where its mitm.conf is."""
        done = forkserver.run(
            [*forkserver.CHAPERONE, *arguments],
            cwd=self.stage.gateway.folder,
            timeout=SECONDS,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1", "CHAPERONE_TOKEN": self.token},
            merged=True,
            starting=False,
        )
        return subprocess.CompletedProcess(["chaperone", *arguments], done.returncode, done.stdout)

    def show(self, done: Done, whole: bool = False) -> None:
        """Shows a command that was run."""
        self.narrator.command(self.name, shlex.join(done.args))
        self.narrator.output(done.stdout, whole)


def files_holding(place: Path, secret: str) -> list[str]:
    """Every file in a folder, or the file itself, in which this text occurs, in any of its bytes."""
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    return [str(path) for path in files if path.is_file() and secret.encode() in path.read_bytes()]
