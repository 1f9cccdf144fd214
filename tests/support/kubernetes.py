"""kubectl for tests: the real program against the real cluster."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import httpx

TIMEOUT_SECONDS = 60.0
SHORT_LIVED = {"GOGC": "off", "GOMEMLIMIT": "256MiB", "LC_ALL": "fr_FR.UTF-8"}
"""It ends before a collection of its garbage would pay. The words of its language are packed and unpacked at every
start; French has next to none, and messages stay English. That spares nearly half the processor time of a start.
"""


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
        self.apply(pod_of(name, spec))
        self("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=30s")
        return name

    def within(self, namespace: str) -> Self:
        """The same for another namespace."""
        return replace(self, namespace=namespace)


def pod_of(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A pod with one container, unless `spec` says otherwise."""
    container = {"name": "main", "image": "registry.test/web:1"}
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], **spec}}


_DISCOVERY = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator(Kubectl):
    """Who makes what tests need, and looks at what became of it: without a process for what is asked most."""

    http: httpx.Client
    paths: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By every name of a kind: what comes before the namespace, and its plural; "" before that of no namespace."""

    def get(self, *arguments: str) -> dict[str, Any]:
        """As kubectl says it: without managed fields."""
        if any(word.startswith("-") for word in arguments) or (path := self._path(*arguments)) is None:
            return Kubectl.get(self, *arguments)
        reply = self.http.get(path)
        if reply.is_error:
            raise KubectlFailed(f"get {' '.join(arguments)}: {reply.text}")
        found: dict[str, Any] = reply.json()
        for each in found.get("items", [found]):
            each["metadata"].pop("managedFields", None)
        return found

    def run_pod(self, name: str = "web", **spec: Any) -> str:
        """As above; one that is there already is taken as it is."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not _is_ready((found := self.http.get(f"{path}/{name}")).json()):
            if (
                found.status_code == httpx.codes.NOT_FOUND
            ):  # not there yet, or no more: one may have been on its way out
                self.http.post(path, json=pod_of(name, spec)).raise_for_status()
            assert time.monotonic() < deadline, f"pod {name} does not get ready: {found.text}"
            time.sleep(0.02)
        return name

    def _path(self, kind: str, *names: str) -> str | None:
        if kind not in self.paths:
            self.paths.update(_paths(self.http))
        if kind not in self.paths:
            return None
        root, plural = self.paths[kind]
        within = f"{root}/namespaces/{self.namespace}/{plural}" if root else plural
        return "/".join([within, *names])


def _is_ready(pod: Mapping[str, Any]) -> bool:
    """False for a pod that is on its way out, and for what is no pod."""
    if pod["kind"] != "Pod" or "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _paths(http: httpx.Client) -> dict[str, tuple[str, str]]:
    """Of every kind that is served, in the version that its group prefers; the first group has a name."""
    found: dict[str, tuple[str, str]] = {}
    for root in ("/api", "/apis"):
        for group in http.get(root, headers=_DISCOVERY).raise_for_status().json()["items"]:
            version = group["versions"][0]
            base = "/".join(filter(None, [root, group["metadata"].get("name", ""), version["version"]]))
            for each in version["resources"]:
                named = [each["resource"], each["singularResource"], *each.get("shortNames", [])]
                namespaced = each["scope"] == "Namespaced"
                place = (base, each["resource"]) if namespaced else ("", f"{base}/{each['resource']}")
                found = {**dict.fromkeys(named, place), **found}
    return found


def own_namespace(admin: httpx.Client, name: str) -> str:
    """A new namespace in which pods can be made. It goes with the cluster: to delete one takes a tenth of a second."""
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    admin.post("/api/v1/namespaces", json=made).raise_for_status()
    # Pods are refused until the controller has made the account that they run as.
    account, deadline = f"/api/v1/namespaces/{name}/serviceaccounts/default", time.monotonic() + TIMEOUT_SECONDS
    while admin.get(account).status_code != httpx.codes.OK:
        assert time.monotonic() < deadline, f"no service account in {name}"
        time.sleep(0.02)
    return name
