"""Everything a measurement needs running: the API server's stand-in, an identity provider, STS, and the two gateways.

Chaperone is started as anybody starts it, with the repository's own guardrails and masking rules and no step left out.
mitmproxy is its own `mitmdump` with default options, no addons, and the upstream's CA: it verifies as Chaperone does.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scripts.devenv import oidc, processes
from scripts.devenv.bench_load import Target
from scripts.devenv.bench_machine import Cores, pinned
from scripts.devenv.bench_scenarios import HOST
from scripts.devenv.certificates import Authority
from scripts.devenv.places import REPOSITORY, DevelopmentProblem
from scripts.devenv.processes import Child
from scripts.devenv.state import record_children

READY_SECONDS = 60.0
LOOPBACK = "127.0.0.1"
ARMS = ("direct", "mitmproxy", "chaperone")
_AWS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "development",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_GROUP = "bench"
_RULES = """\
apiVersion: chaperone/v1
kind: Connection
metadata: {{name: bench}}
spec:
  host: {host}:443
  address: {address}
  caFile: {ca_file}
  eks: {{cluster: bench, region: us-east-1, stsEndpoint: "{sts}"}}
---
apiVersion: chaperone/v1
kind: IdentityProvider
metadata: {{name: bench}}
spec: {{issuer: "{issuer}", audiences: [chaperone]}}
---
apiVersion: chaperone/v1
kind: Access
metadata: {{name: bench}}
spec:
  groups: [{group}]
  connections: [bench]
  role: arn:aws:iam::123456789012:role/agent-view
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to the cluster. `child` is the process in between, None where there is none."""

    name: str
    target: Target
    child: Child | None = None
    masks: bool = False
    """Also: the cluster sees the gateway's EKS token and never the caller's."""


class Bench:
    """The processes of one measurement, all in `folder`; a context manager that ends them."""

    def __init__(self, folder: Path, load: Path, cores: Cores) -> None:
        self._folder, self._load, self.cores = folder, load, cores
        self._children: list[Child] = []
        self._upstream, self.control_port, self._moto, self._issuer = processes.free_ports(4)
        authority = Authority(folder / "pki")
        self._ca = authority.pair.certificate
        self._certificate = authority.issue("upstream", "kube-apiserver", hosts=[HOST, LOOPBACK])
        self.token, self._identified = "nobody checks this one", False

    def __enter__(self) -> Self:
        try:
            # Ends the children should this process be ended in a way that it cannot see coming.
            self._python("watcher", "scripts.devenv.watcher", self._folder, str(os.getpid()))
            certificate, key = self._certificate.certificate, self._certificate.key
            ports = ["-port", str(self._upstream), "-control", str(self.control_port)]
            server = self._spawn("upstream", [self._load, "upstream", "-certificate", certificate, "-key", key, *ports])
            self._wait(server, self._upstream)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends everything."""
        processes.stop(self._children)

    def caller(self) -> str:
        """The token of another agent: one alone may not ask for as many lists a minute as are measured."""
        if not self._identified:
            return self.token
        name = f"bench-agent-{secrets.token_hex(4)}"
        return oidc.mint(f"http://{LOOPBACK}:{self._issuer}", name, groups=[_GROUP])

    def direct(self) -> Arm:
        """No gateway."""
        target = Target(authority=HOST, ca_file=self._ca, dial=f"{LOOPBACK}:{self._upstream}")
        return Arm(name="direct", target=target)

    def mitmproxy(self, *arguments: str | Path) -> Arm:
        """mitmproxy as it is, but for further arguments.

        It dials what the client names, so the client names an address: no name is looked up.
        """
        folder, (port,) = self._folder / "mitmproxy", processes.free_ports(1)
        options = {"confdir": folder, "ssl_verify_upstream_trusted_ca": self._ca, "flow_detail": 0}
        sets = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
        mitmdump = Path(sys.executable).with_name("mitmdump")
        with pinned(self.cores.gateway):
            child = self._spawn(
                "mitmproxy", [mitmdump, "-q", "--listen-host", LOOPBACK, "-p", str(port), *sets, *arguments]
            )
        self._wait(child, port)
        authority = f"{LOOPBACK}:{self._upstream}"
        ca_file = folder / "mitmproxy-ca-cert.pem"
        return Arm(
            name="mitmproxy",
            target=Target(authority=authority, ca_file=ca_file, proxy=f"http://{LOOPBACK}:{port}"),
            child=child,
        )

    def chaperone(self, http2: bool, module: str = "addons.cli") -> Arm:
        """The gateway with every step on; the first call also starts STS and the identity provider and gets a token.

        Another `module` is one that takes the command's place, to measure what something costs.
        """
        self._start_identities()
        (port,) = processes.free_ports(1)
        name = "chaperone-h2" if http2 else "chaperone" if module == "addons.cli" else module.rpartition(".")[2]
        folder = self._folder / name
        (folder / "rules").mkdir(parents=True)
        rules = _RULES.format(
            host=HOST,
            address=f"{LOOPBACK}:{self._upstream}",
            ca_file=self._ca,
            sts=f"http://{LOOPBACK}:{self._moto}",
            issuer=f"http://{LOOPBACK}:{self._issuer}",
            group=_GROUP,
        )
        (folder / "rules" / "bench.yaml").write_text(rules)
        shipped = [str(REPOSITORY / "rules" / kind) for kind in ("guardrails", "masking")]
        configuration = folder / "mitm.conf"
        # JSON is YAML.
        settings = {"listen_port": port, "health_port": 0, "http2": http2, "rules": ["rules", *shipped]}
        configuration.write_text(json.dumps(settings))
        with pinned(self.cores.gateway):
            child = self._python(name, module, "up", "--conf", configuration, env=_AWS)
        self._wait(child, port)
        ca_file = folder / "certs" / "gateway-ca.pem"
        target = Target(authority=HOST, ca_file=ca_file, proxy=f"http://{LOOPBACK}:{port}")
        return Arm(name=name.removesuffix("-h2"), target=target, child=child, masks=True)

    def _start_identities(self) -> None:
        if (self._folder / "moto.log").exists():
            return
        moto = self._python("moto", "moto.server", "-H", LOOPBACK, "-p", str(self._moto))
        issuer = self._python("oidc", "oidc_provider_mock", "-p", str(self._issuer))
        self._wait(moto, self._moto)
        self._wait(issuer, self._issuer)
        self._identified = True
        self.token = self.caller()

    def _python(self, name: str, module: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Child:
        return self._spawn(name, [sys.executable, "-u", "-m", module, *arguments], env)

    def _spawn(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Child:
        child = processes.spawn(name, argv, self._folder / f"{name}.log", env)
        self._children.append(child)
        record_children(self._folder, self._children)
        return child

    def _wait(self, child: Child, port: int) -> None:
        wait_for(lambda: processes.listens(port), child)


def wait_for(ready: Callable[[], bool], child: Child) -> None:
    """Returns once `ready` says so; raises ChildExited, or DevelopmentProblem after READY_SECONDS."""
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        processes.require_running([child])
        if time.monotonic() > deadline:
            raise DevelopmentProblem(f"{child.name} did not get ready within {READY_SECONDS:.0f} s: see {child.log}")
        time.sleep(0.02)
    processes.require_running([child])
