from __future__ import annotations

from typing import Any

import pytest

from addons.core.agent_route import credentials, excepting, route
from addons.core.kubeconfig import UnusableKubeconfig

GATEWAY = "http://gateway.internal:8080"
NONE = "the kubeconfig has no proxy-url, and HTTPS_PROXY is not set"
HERE = "is this machine: Go clients never use HTTPS_PROXY for it"


def document(server: str = "https://api.example:6443", **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "prod"}}],
        "clusters": [{"name": "prod", "cluster": {"server": server, **cluster}}],
    }


@pytest.mark.parametrize(
    ("cluster", "environment", "proxy", "astray"),
    [
        ({"proxy-url": GATEWAY}, {}, GATEWAY, ""),
        ({"proxy-url": GATEWAY}, {"NO_PROXY": "*", "HTTPS_PROXY": "http://other"}, GATEWAY, ""),
        ({}, {"HTTPS_PROXY": GATEWAY}, GATEWAY, ""),
        ({}, {"https_proxy": "gateway.internal:8080"}, GATEWAY, ""),
        ({}, {}, "", NONE),
        ({}, {"HTTP_PROXY": GATEWAY}, "", NONE),
        ({}, {"HTTPS_PROXY": GATEWAY, "NO_PROXY": "a,.example"}, "",
         "NO_PROXY excepts api.example (.example) from HTTPS_PROXY"),
        ({}, {"https_proxy": GATEWAY, "no_proxy": "*"}, "", "no_proxy excepts api.example (*) from https_proxy"),
        ({"server": "https://127.0.0.1:6443"}, {"HTTPS_PROXY": GATEWAY}, "", f"127.0.0.1 {HERE}"),
        ({"server": "https://localhost"}, {"HTTPS_PROXY": GATEWAY}, "", f"localhost {HERE}"),
        ({"server": "https://gateway.internal/clusters/prod"}, {}, "", ""),
    ],
)  # fmt: skip
def test_the_way(cluster: dict[str, Any], environment: dict[str, str], proxy: str, astray: str) -> None:
    found = route(document(**cluster), "", environment)
    assert (found.proxy, found.astray, found.ambiguous) == (proxy, astray, "")


def test_what_else_is_known() -> None:
    found = route(document("https://Api.Example/", **{"tls-server-name": "kubernetes"}), "c", {"HTTPS_PROXY": GATEWAY})
    assert (found.host, found.port) == ("api.example", 443)
    assert (found.server, found.server_name) == ("https://Api.Example", "kubernetes")
    assert route(document("https://gateway.internal/clusters/prod"), "", {}).by_path


@pytest.mark.parametrize("names", [("HTTPS_PROXY", "https_proxy"), ("NO_PROXY", "no_proxy")])
def test_clients_may_disagree(names: tuple[str, str]) -> None:
    environment = {"HTTPS_PROXY": GATEWAY} | dict(zip(names, ("http://one", "http://two"), strict=True))
    found = route(document(), "", environment)
    assert found.ambiguous == f"{names[0]} and {names[1]} differ: some clients read the one, some the other"
    same = {"HTTPS_PROXY": GATEWAY} | dict.fromkeys(names, GATEWAY)
    assert route(document(), "", same).ambiguous == ""


@pytest.mark.parametrize("server", ["http://api.example", "", "https://", "https://api.example:x", "https://[::1"])
def test_no_address(server: str) -> None:
    with pytest.raises(UnusableKubeconfig, match="no https:// address"):
        route(document(server), "", {})


def test_no_such_context() -> None:
    with pytest.raises(UnusableKubeconfig, match="no context 'other'"):
        route(document(), "other", {})


@pytest.mark.parametrize(
    ("host", "exceptions", "found"),
    [
        ("api.example", "", ""),
        ("api.example", "api.example", "api.example"),
        ("api.example", " API.Example ,b", "API.Example"),
        ("api.example", "example", "example"),
        ("api.example", ".example", ".example"),
        ("api.example", "*.example", "*.example"),
        ("example", ".example", ""),
        ("example", "*.example", ""),
        ("notexample", "example", ""),
        ("api.example", "xample", ""),
        ("api.example", "api.example:6443", "api.example:6443"),
        ("api.example", "api.example:443", ""),
        ("api.example", ".,*.,:1", ""),
        ("api.example", "*", "*"),
        ("10.0.3.4", "10.0.0.0/16", "10.0.0.0/16"),
        ("10.0.3.4", "10.1.0.0/16", ""),
        ("10.0.3.4", "10.0.3.4", "10.0.3.4"),
        ("10.0.3.4", "10.0.3.4:6443", "10.0.3.4:6443"),
        ("10.0.3.4", "3.4", ""),
        ("fd00::1", "[fd00::1]:6443", "[fd00::1]:6443"),
        ("fd00::1", "[fd00::1]:1", ""),
        ("fd00::1", "fd00::1", "fd00::1"),
        ("fd00::1", "fd00::/8", "fd00::/8"),
        ("fd00::1", "10.0.0.0/8", ""),
    ],
)
def test_what_no_proxy_excepts(host: str, exceptions: str, found: str) -> None:
    assert excepting(host, 6443, exceptions) == found


def test_other_credentials() -> None:
    assert credentials({"AWS_PROFILE": "x", "AWS_ACCESS_KEY_ID": "", "HOME": "/"}) == ["AWS_PROFILE"]
