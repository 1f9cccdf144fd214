"""How to use a demo that is left running: for people as lines to paste, for programs as JSON."""

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scripts.devenv import demo_record, demo_stage
from scripts.devenv.demo_narrator import Narrator
from scripts.devenv.demo_stage import INTENT, PODS, Stage
from scripts.devenv.gateway_env import GatewayEnv, load_gateway
from scripts.devenv.places import DevelopmentProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A running gateway and two callers' tokens, which are good for an hour."""

    folder: Path
    gateway: GatewayEnv
    admin_kubeconfig: str
    namespace: str
    agent_token: str
    approver_token: str

    @classmethod
    def of(cls, stage: Stage) -> Self:
        """That of a stage that was just set."""
        return cls(
            folder=stage.folder,
            gateway=stage.gateway,
            admin_kubeconfig=stage.admin.kubeconfig,
            namespace=stage.namespace,
            agent_token=stage.agent_token,
            approver_token=stage.approver_token,
        )

    @classmethod
    def kept(cls, folder: Path) -> Self | None:
        """That of a demo that was left running, with new tokens; None if there is none."""
        record, gateway = demo_record.kept_record(folder), load_gateway(folder / "gateway")
        if not record or gateway is None:
            return None
        agent_token, approver_token = demo_stage.tokens(gateway.issuer)
        return cls(
            folder=folder,
            gateway=gateway,
            admin_kubeconfig=record["admin"]["kubeconfig"],
            namespace=record["namespace"],
            agent_token=agent_token,
            approver_token=approver_token,
        )

    def as_json(self) -> dict[str, str]:
        """Every address, path and token."""
        gateway = self.gateway
        return {
            "gateway_url": gateway.gateway_url,
            "gateway_ca": str(gateway.gateway_ca),
            "api_url": gateway.api_url,
            "agent_token": self.agent_token,
            "approver_token": self.approver_token,
            "admin_kubeconfig": self.admin_kubeconfig,
            "state_dir": str(gateway.state_dir),
            "connection": gateway.connection,
            "conf": str(gateway.conf),
            "namespace": self.namespace,
            "kubectl": gateway.kubectl_path,
        }

    def write_json(self, file: Path) -> None:
        """Writes that to `file`, for nobody else to read; `take_down` removes it.  Raises DevelopmentProblem."""
        demo_record.remember_file(self.folder, file.resolve())
        _write_private(file, json.dumps(self.as_json(), indent=2) + "\n")

    def tell(self, narrator: Narrator, state_argument: str) -> None:
        """How to go on as the agent and as the approver, and how to end it."""
        conf = shlex.quote(str(self.gateway.conf))
        token = self.folder / "gateway" / "approver.token"
        _write_private(token, self.approver_token)
        for line in [
            "As the agent, for the next hour:",
            f"  export KUBECONFIG={shlex.quote(str(self._kubeconfig()))}",
            f'  export PATH={shlex.quote(str(self._kubectl_folder()))}:"$PATH"',
            f"  kubectl get pods; kubectl exec {PODS[0]} -- date",
            "",
            "As the one who approves:",
            f"  scripts/chaperone approvals list --conf {conf}",
            f"  scripts/chaperone approvals approve ID --token-file {shlex.quote(str(token))} --conf {conf}",
            f"  scripts/chaperone watch --conf {conf}    # mitmweb: what waits, what runs, what is over",
            "",
            "Any other client of the cluster:",
            f"  export HTTPS_PROXY={self.gateway.gateway_url}",
            f"  # server {self.gateway.api_url}, CA {self.gateway.gateway_ca}",
            "",
            f"New tokens: scripts/demo --env{state_argument}    The end: scripts/demo --down{state_argument}",
        ]:
            narrator.line(line)

    def _kubectl_folder(self) -> Path:
        """A folder with kubectl alone: where it really is, there may be other programs that a person has, too."""
        folder = self.folder / "gateway" / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "kubectl").unlink(missing_ok=True)
        (folder / "kubectl").symlink_to(self.gateway.kubectl_path)
        return folder

    def _kubeconfig(self) -> Path:
        return self.gateway.agent_kubeconfig(
            self.agent_token, name="you-as-the-agent", namespace=self.namespace, intent=INTENT, proxy=True
        )


def _write_private(file: Path, text: str) -> None:
    unfinished = file.with_name(f".{file.name}.new")
    try:
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(text)
        unfinished.replace(file)
    except OSError as error:
        raise DevelopmentProblem(f"{file} cannot be written: {error.strerror}") from None
