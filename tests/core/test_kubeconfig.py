from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from addons.core.kubeconfig import UnusableKubeconfig, environment, exec_credential, kubeconfig, way
from tests.support.flows import CONNECTION

CA = b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
GATEWAY = "http://gateway:8080"
MADE = kubeconfig(CONNECTION, CA, GATEWAY)


def jwt(**claims: object) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.c2ln"


@pytest.mark.parametrize(
    ("host", "port", "server"),
    [
        ("api.prod.example", 443, "https://api.prod.example"),
        ("api.prod.example", 6443, "https://api.prod.example:6443"),
        ("::1", 6443, "https://[::1]:6443"),
        ("::1", 443, "https://[::1]"),
    ],
)
def test_the_clusters_own_address(host: str, port: int, server: str) -> None:
    made = kubeconfig(replace(CONNECTION, host=host, port=port), CA, GATEWAY)
    assert made["clusters"][0]["cluster"]["server"] == server


def test_without_a_proxy_the_gateway_is_the_server() -> None:
    made = kubeconfig(CONNECTION, CA, "https://gw.test:8443/", by_path=True)
    cluster = made["clusters"][0]["cluster"]
    assert cluster["server"] == "https://gw.test:8443/clusters/prod"
    assert base64.b64decode(cluster["certificate-authority-data"]) == CA and "proxy-url" not in cluster
    with pytest.raises(ValueError, match="cannot be part of a path"):
        kubeconfig(replace(CONNECTION, name="a/b"), CA, "https://gw.test:8443", by_path=True)


def test_where_the_token_is() -> None:
    plugin = MADE["users"][0]["user"]["exec"]
    assert (plugin["command"], plugin["args"]) == ("chaperone", ["token"])
    assert kubeconfig(CONNECTION, CA, GATEWAY, "/token")["users"][0]["user"] == {"tokenFile": "/token"}


def test_what_else_there_is_to_say() -> None:
    made = kubeconfig(CONNECTION, CA, GATEWAY, "/token", "web", "INC-1")
    assert made["contexts"][0]["context"]["namespace"] == "web"
    assert made["users"][0]["user"]["as-user-extra"] == {"reason": ["INC-1"]}
    assert made["users"][0]["user"]["as"]


def test_a_kubeconfig_leads_where_it_was_made_for() -> None:
    found = way(MADE, "/home")
    assert (found.gateway, found.ca, found.document) == (GATEWAY, CA, MADE)


def test_one_context_of_several_with_an_intent() -> None:
    other = kubeconfig(replace(CONNECTION, name="other"), CA, "http://elsewhere:1", "token")
    both = {**MADE, **{kind: [*MADE[kind], *other[kind]] for kind in ("clusters", "contexts")}}
    both["users"] = [{"name": "agent", "user": {"tokenFile": "token"}}, "nonsense"]
    found = way(both, "/home", "other", "INC-2")
    assert found.gateway == "http://elsewhere:1"
    assert [entry["name"] for entry in found.document["clusters"]] == ["other"]
    assert found.document["current-context"] == "other"
    (user,) = found.document["users"]
    assert user["user"]["tokenFile"] == "/home/token"
    assert user["user"]["as-user-extra"] == {"reason": ["INC-2"]}


def test_the_way_without_a_proxy() -> None:
    found = way(kubeconfig(CONNECTION, CA, "https://gw.test:8443", "/token", by_path=True), "/home")
    assert (found.gateway, found.server) == ("", "https://gw.test:8443/clusters/prod")
    variables = environment(found, "/k", "/own", "/all")
    assert "KUBECONFIG" in variables and "HTTPS_PROXY" not in variables and "https_proxy" not in variables


def test_an_absolute_path_stays() -> None:
    (user,) = way(kubeconfig(CONNECTION, CA, GATEWAY, "/token"), "/home").document["users"]
    assert user["user"] == {"tokenFile": "/token"}


def without(path: str) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(MADE))
    del changed["clusters"][0]["cluster"][path]
    return changed


@pytest.mark.parametrize(
    ("document", "context", "said"),
    [
        (MADE, "else", "no context 'else'"),
        ({}, "", "no context ''"),
        ({**MADE, "contexts": "x"}, "", "no context 'prod'"),
        ({**MADE, "clusters": []}, "", "no cluster 'prod'"),
        ({**MADE, "users": [{"name": "agent", "user": "x"}]}, "", "no user 'agent'"),
        (without("proxy-url"), "", "no proxy-url"),
        (without("certificate-authority-data"), "", "no certificate-authority-data"),
        (
            {**MADE, "clusters": [{"name": "prod", "cluster": {"proxy-url": "x", "certificate-authority-data": "%"}}]},
            "",
            "no certificate-authority-data",
        ),
    ],
)
def test_a_kubeconfig_that_leads_nowhere(document: dict[str, Any], context: str, said: str) -> None:
    with pytest.raises(UnusableKubeconfig, match=said):
        way(document, "/home", context)


def test_the_variables() -> None:
    env = environment(way(MADE, "/home"), "/k", "/own", "/all")
    assert {env["HTTPS_PROXY"], env["https_proxy"]} == {GATEWAY}
    assert {env[name] for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")} == {
        "/all"
    }
    assert (env["NODE_EXTRA_CA_CERTS"], env["KUBECONFIG"]) == ("/own", "/k")


@pytest.mark.parametrize(
    ("token", "until"),
    [
        (jwt(exp=1000), "1970-01-01T00:16:40Z"),
        (jwt(exp="soon"), None),
        (jwt(), None),
        ("opaque", None),
        ("a.%.b", None),
        ("a.bnVsbA.b", None),
    ],
)
def test_a_credential(token: str, until: str | None) -> None:
    credential = exec_credential(token, 999)
    assert (credential["kind"], credential["status"]["token"]) == ("ExecCredential", token)
    assert credential["status"].get("expirationTimestamp") == until


def test_an_expired_token_is_said_to_be() -> None:
    with pytest.raises(UnusableKubeconfig, match="expired at 1970-01-01T00:16:40Z"):
        exec_credential(jwt(exp=1000), 1000)
