from __future__ import annotations

import pytest

from addons.core.guardrails.selftest import request_of
from addons.core.proxy_target import ProxyTarget, proxy_target


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nodes/n/proxy", ("", "n", "", "/", "")),
        ("nodes/n/proxy/pods", ("", "n", "", "/pods", "pods")),
        ("nodes/n/proxy/runningpods/", ("", "n", "", "/runningpods", "pods")),
        ("nodes/n:10250/proxy/metrics/cadvisor", ("", "n", "10250", "/metrics/cadvisor", "metrics")),
        ("nodes/https:n:10250/proxy/exec/a/p/c", ("https", "n", "10250", "/exec/a/p/c", "command")),
        ("nodes/n/proxy/containerLogs/a/p/c", ("", "n", "", "/containerLogs/a/p/c", "logs")),
        ("nodes/n/proxy/logs/syslog", ("", "n", "", "/logs/syslog", "logs")),
        ("nodes/n/proxy/stats/summary", ("", "n", "", "/stats/summary", "metrics")),
        ("nodes/n/proxy/configz", ("", "n", "", "/configz", "status")),
        ("nodes/n/proxy/debug/pprof/heap", ("", "n", "", "/debug/pprof/heap", "debug")),
        ("nodes/n/proxy/portForward/a/p", ("", "n", "", "/portForward/a/p", "command")),
        ("nodes/n/proxy/Pods", ("", "n", "", "/Pods", "")),
        ("nodes/n/proxy/podsx", ("", "n", "", "/podsx", "")),
        ("nodes/ftp:n:21/proxy/pods", ("", "", "", "/pods", "pods")),
        ("nodes/:n/proxy/pods", ("", "", "", "/pods", "pods")),
        ("nodes/::/proxy/pods", ("", "", "", "/pods", "pods")),
        ("nodes/:n:1/proxy/pods", ("", "n", "1", "/pods", "pods")),
        ("nodes/a:b:c:d/proxy/pods", ("", "", "", "/pods", "pods")),
        ("namespaces/a/pods/https:p:443/proxy/pods", ("https", "p", "443", "/pods", "")),
        ("namespaces/a/services/s:web/proxy/a/b", ("", "s", "web", "/a/b", "")),
        ("nodes/n", ("", "", "", "", "")),
        ("namespaces/a/pods/p/exec", ("", "", "", "", "")),
    ],
)
def test_where_it_goes(text: str, expected: tuple[str, str, str, str, str]) -> None:
    scheme, name, port, path, kubelet = expected
    target = ProxyTarget(scheme=scheme, name=name, port=port, path=path, kubelet=kubelet)
    assert proxy_target(request_of(f"GET /api/v1/{text}")) == target


def test_a_custom_resource_may_have_a_proxy_of_its_own() -> None:
    assert proxy_target(request_of("GET /apis/example.com/v1/nodes/n/proxy/pods")) == ProxyTarget()
