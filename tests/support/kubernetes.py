"""kubectl for tests: the real program against the real cluster."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import httpx

TIMEOUT_SECONDS = 60.0
SHORT_LIVED = {"GOGC": "off", "GOMEMLIMIT": "256MiB"}
"""A kubectl ends before a collection of its garbage would pay: a fifth of its processor time."""


class KubectlFailed(AssertionError):
    """kubectl ended with an error where the test did not expect one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """One identity's kubectl; calling it returns what it printed, `run` returns everything."""

    path: str
    kubeconfig: str
    namespace: str = "default"
    env: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = TIMEOUT_SECONDS) -> str:
        """The standard output; raises KubectlFailed with the error output if it fails."""
        done = self.run(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode != 0:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def run(
        self, *arguments: str, stdin: str | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Exit code, output and error output, whatever they are."""
        return subprocess.run(
            self.command(*arguments),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=self.environment(),
        )

    def command(self, *arguments: str) -> list[str]:
        """The whole command line, for tests that run it themselves; `--` and what follows it stay last."""
        return [self.path, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]

    def environment(self) -> dict[str, str]:
        """This process's environment without proxies of its own, and with `env`."""
        inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        # Discovery documents of one server must not be taken for another's that reuses its port.
        return {**inherited, **SHORT_LIVED, "KUBECACHEDIR": f"{self.kubeconfig}.cache", **self.env}

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get … -o json`, decoded."""
        found: dict[str, Any] = json.loads(self("get", *arguments, "-o", "json"))
        return found

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Applies these objects."""
        self("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def run_pod(self, name: str = "web", **spec: Any) -> str:
        """Starts a pod, waits until it is ready, and returns its name."""
        container = {"name": "main", "image": "registry.test/web:1"}
        metadata = {"name": name, "labels": {"app": name}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], **spec}}
        self.apply(pod)
        self("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=30s")
        return name

    def within(self, namespace: str) -> Self:
        """The same for another namespace."""
        return replace(self, namespace=namespace)


@contextmanager
def own_namespace(admin: httpx.Client, name: str) -> Iterator[str]:
    """A new namespace in which pods can be made; it is deleted in the end."""
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    admin.post("/api/v1/namespaces", json=made).raise_for_status()
    # Pods are refused until the controller has made the account that they run as.
    account, deadline = f"/api/v1/namespaces/{name}/serviceaccounts/default", time.monotonic() + TIMEOUT_SECONDS
    while admin.get(account).status_code != httpx.codes.OK:
        assert time.monotonic() < deadline, f"no service account in {name}"
        time.sleep(0.02)
    yield name
    admin.delete(f"/api/v1/namespaces/{name}").raise_for_status()
