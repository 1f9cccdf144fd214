"""The real cluster that tests share: one for all parts of a check, else one per session; one namespace per test.

A test that asks for `cluster`, `kubectl` or `namespace` carries the marker `cluster`; `-m "not cluster"` runs the rest.
"""

import gc
import json
import os
import secrets
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import configuration, settings

from scripts.devenv import streaming_kubelet, tools
from scripts.devenv.cluster import SHARED, Cluster, start, stop
from scripts.devenv.old_kubectl import find_old_kubectl
from scripts.devenv.places import cache
from tests.support import postgresql
from tests.support.kubernetes import Administrator, Kubectl, own_namespace
from tests.support.stores import Place, in_postgresql, in_sqlite

# What is imported and collected stays until the end: to look through it for garbage takes a fifth of the time.
gc.disable()

# How long one example takes is the machine's business: it may run much else at the same time.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
# What it knows of our sources, which takes a second to find, and examples that failed, are for all clones.
configuration.set_hypothesis_home_dir(cache() / "hypothesis")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: needs the real cluster (added by itself)")
    config.addinivalue_line("markers", "alone: measures time, so that nothing else may run meanwhile")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(500_000, 20, 20)
    # The first build takes minutes: outside of any test, so that no test's time limit has to allow for it.
    if session.config.option.collectonly:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        if any(item.get_closest_marker("cluster") for item in session.items):
            tools.ensure_tools()
        used = {name for item in session.items for name in getattr(item, "fixturenames", ())}
        if "helm" in used:
            tools.ensure_helm()
        if "kubelet" in used:
            streaming_kubelet.program()
        if "old_kubectl" in used:
            find_old_kubectl()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of the check that runs these tests, begun by whoever needs it first, or the session's own.

    It ends with that process even if that is killed.
    """
    if shared := os.environ.get(SHARED):
        yield start(Path(shared), owner_pid=os.getppid())
        return
    state = tmp_path_factory.mktemp("cluster")
    yield start(state, owner_pid=os.getpid())
    stop(state)


@pytest.fixture(scope="session")
def helm() -> Path:
    """The helm command."""
    return tools.ensure_helm()


@pytest.fixture(scope="session")
def old_kubectl() -> Path:
    """A kubectl that speaks SPDY and nothing else."""
    return find_old_kubectl()


@pytest.fixture(scope="session")
def admin_http(cluster: Cluster) -> Iterator[httpx.Client]:
    """The administrator without kubectl, where a process each would take too long."""
    user = json.loads(Path(cluster.admin_kubeconfig).read_text())["users"][0]["user"]
    context = ssl.create_default_context(cafile=cluster.api_ca)
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    with httpx.Client(base_url=cluster.api_url, verify=context, trust_env=False, timeout=30) as http:
        yield http


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster, admin_http: httpx.Client) -> Kubectl:
    """kubectl straight to the API server as its administrator, in namespace `default`."""
    return Administrator(path=cluster.kubectl, kubeconfig=cluster.admin_kubeconfig, http=admin_http)


@pytest.fixture
def namespace(kubectl: Kubectl, admin_http: httpx.Client) -> Kubectl:
    """The administrator's kubectl in a fresh namespace of this test alone; its name is `namespace.namespace`."""
    return kubectl.within(own_namespace(admin_http, f"test-{secrets.token_hex(4)}"))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.Server]:
    """A real server that tests share; each has a database of its own. Who stops it starts it again."""
    with postgresql.server() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a store can be: whoever uses this, is tested on both databases."""
    if request.param == "sqlite":
        return in_sqlite(tmp_path)
    return in_postgresql(request.getfixturevalue("postgresql_server"))


_configure = structlog.configure


def _uncached(**options: Any) -> None:
    _configure(**{**options, "cache_logger_on_first_use": False})


# A logger that is cached would keep the stream of the test that ran a command.
setattr(structlog, "configure", _uncached)  # noqa: B010 - mypy takes no narrower function


def _reset_logs() -> None:
    """As the gateway's own: a pretty traceback takes longer than most tests, and shows local variables."""
    structlog.reset_defaults()
    console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], console])


_reset_logs()


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """What a command that ran in this process said of logs holds for its own test alone."""
    yield
    _reset_logs()
