"""The cluster's server programs: built from pinned Go modules, once per version, into the cache folder.

Each folder in gomods/ is a module whose go.mod and go.sum pin one program and everything it is made of.  To move one
to another version, run `go get -tool PACKAGE@VERSION` in its folder and change the version below.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.devenv import golang
from scripts.devenv.places import DEVENV, DevelopmentProblem, cache

KUBERNETES = "1.37.2"
REPORT_SECONDS = 20.0

# Without these the API server calls itself v0.0.0-master+$Format:%H$, which clients cannot read.
_KUBERNETES_VERSION = " ".join(
    f"-X k8s.io/component-base/version.{name}={value}"
    for name, value in [
        ("gitVersion", f"v{KUBERNETES}"),
        ("gitMajor", KUBERNETES.split(".")[0]),
        ("gitMinor", KUBERNETES.split(".")[1]),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One program: the Go package that makes it and the folder in gomods/ that pins it."""

    name: str
    version: str
    module: str
    package: str
    link: str = ""


def _kubernetes(name: str) -> Tool:
    package = f"k8s.io/kubernetes/cmd/{name}"
    return Tool(name=name, version=KUBERNETES, module="kubernetes", package=package, link=_KUBERNETES_VERSION)


# The longest build first, so that what follows finds its packages compiled.
TOOLS = (
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    Tool(name="etcd", version="3.7.3", module="etcd", package="go.etcd.io/etcd/server/v3"),
    Tool(name="kwok", version="0.8.0", module="kwok", package="sigs.k8s.io/kwok/cmd/kwok"),
    Tool(
        name="aws-iam-authenticator",
        version="0.7.8",
        module="aws-iam-authenticator",
        package="sigs.k8s.io/aws-iam-authenticator/cmd/aws-iam-authenticator",
    ),
)
# A client that tests use beside kubectl; a cluster needs none.
HELM = Tool(
    name="helm",
    version="4.3.1",
    module="helm",
    package="helm.sh/helm/v4/cmd/helm",
    link="-X helm.sh/helm/v4/internal/version.version=v4.3.1",
)
ALL_TOOLS = (*TOOLS, HELM)


def ensure_tools() -> dict[str, Path]:
    """The path of every program by name; builds, one after the other, those that the cache lacks.

    KUBEBUILDER_ASSETS, if set, is looked into first, as Kubernetes' own test environments do.
    """
    found = {tool.name: path for tool in TOOLS if (path := _existing(tool))}
    if len(found) < len(TOOLS):
        with _build_lock():
            # Whoever held the lock may have built them meanwhile.
            found = {tool.name: _existing(tool) or _build(tool) for tool in TOOLS}
    return found


def ensure_helm() -> Path:
    """The path of helm, built if the cache lacks it."""
    if (found := _existing(HELM)) is None:
        with _build_lock():
            found = _existing(HELM) or _build(HELM)
    return found


def missing_tools(tools: Sequence[Tool] = TOOLS) -> list[str]:
    """The names of the programs that would have to be built: for a cluster, unless others are named."""
    return [tool.name for tool in tools if not _existing(tool)]


def _existing(tool: Tool) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    candidates = [Path(assets) / tool.name] if assets else []
    candidates.append(_cached(tool))
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


def _cached(tool: Tool) -> Path:
    return cache() / "bin" / f"{tool.name}-{tool.version}"


@contextmanager
def _build_lock() -> Iterator[None]:
    folder = cache() / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another build of the cluster's programs")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(tool: Tool) -> Path:
    go = golang.find_go()
    target = _cached(tool)
    unfinished, log = target.with_name(f".{target.name}"), target.with_name(f"{target.name}.log")
    command: list[str | Path] = [go, "build", "-ldflags", f"-s -w {tool.link}", "-o", unfinished, tool.package]
    position = f"{ALL_TOOLS.index(tool) + 1}/{len(ALL_TOOLS)}"
    _say(f"building {tool.name} {tool.version} ({position}; once per version, minutes on a small machine)")
    began = time.monotonic()
    with log.open("wb") as output:
        folder = DEVENV / "gomods" / tool.module
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=golang.environment())
    _watch(process, tool, began)
    if process.returncode != 0:
        raise DevelopmentProblem(
            f"building {tool.name} failed (see {log}): check that this machine reaches a Go module proxy, and try again"
        )
    unfinished.rename(target)
    _say(f"built {tool.name} {tool.version} in {_elapsed(began)}")
    return target


def _watch(process: subprocess.Popen[bytes], tool: Tool, began: float) -> None:
    try:
        while True:
            try:
                process.wait(REPORT_SECONDS)
                return
            except subprocess.TimeoutExpired:
                _say(f"  still building {tool.name}: {_elapsed(began)}")
    except BaseException:
        process.terminate()
        raise


def _elapsed(began: float) -> str:
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    return f"{minutes}:{seconds:02d}"


def _say(message: str) -> None:
    print(f"cluster: {message}", file=sys.stderr, flush=True)
