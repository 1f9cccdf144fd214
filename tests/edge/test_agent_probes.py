"""What doctor finds where an agent runs; with a gateway, tests/e2e/test_agent_side.py."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from addons.edge.agent_probes import examine_agent
from addons.edge.probes import Finding
from tests.support.receiver import receiver


def kubeconfig(folder: Path, **cluster: Any) -> Path:
    file = folder / "kubeconfig"
    found = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"} | cluster}],
    }
    file.write_text(json.dumps(found))
    return file


def examined(file: Path, environment: dict[str, str] | None = None) -> dict[str, Finding]:
    found = examine_agent(file, "", environment or {}, account=file.parent / "account")
    return {each.what: each for each in found}


def test_no_way_around_and_no_other_credential(tmp_path: Path) -> None:
    found = examined(kubeconfig(tmp_path))
    assert not found["proxy"].ok and found["proxy"].remedy
    assert found["way around the gateway to 127.0.0.1:1"].ok
    assert found["other credentials"].ok
    (tmp_path / "account").write_text("token")
    assert not examined(kubeconfig(tmp_path))["other credentials"].ok


def test_the_cluster_that_a_pod_runs_in_is_tried_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        inside = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
        assert not examined(kubeconfig(tmp_path), inside)[f"way around the gateway to 127.0.0.1:{port}"].ok


def test_where_the_server_is_the_gateway_the_cluster_is_not_known(tmp_path: Path) -> None:
    found = examined(kubeconfig(tmp_path, server="https://127.0.0.1:1/clusters/prod"))
    assert found["proxy"].ok and "is the gateway" in found["proxy"].detail
    assert "try it: curl" in found["way around the gateway"].detail


def test_what_answers_may_be_another_proxy(tmp_path: Path) -> None:
    with receiver(lambda _: (200, {}, b"hello")) as other:
        found = examined(kubeconfig(tmp_path, **{"proxy-url": other.url}))["gateway"]
    assert not found.ok and found.remedy
