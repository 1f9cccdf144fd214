from __future__ import annotations

import re
from dataclasses import replace

import pytest

from addons.core.connection import by_target, compile_connections, moved, resolve_path
from addons.core.decision import Thresholds
from addons.core.documents import Document, parse_documents
from addons.core.profile import THRESHOLDS, Profile

FULL = """
apiVersion: chaperone/v1
kind: Connection
metadata: {name: prod}
spec:
  host: api.prod.example:443
  address: 10.0.0.7:6443
  serverName: kubernetes.default
  caFile: ca/prod.pem
  eks: {cluster: prod, region: eu-central-1, stsEndpoint: "https://vpce-1.sts.eu-central-1.vpce.amazonaws.com"}
  thresholds: {warn: 10, approve: 20, deny: 101}
"""
SMALL = """
apiVersion: chaperone/v1
kind: Connection
metadata: {name: dev}
spec:
  host: "[fd00::1]:6443"
  caFile: /etc/ca.pem
  eks: {cluster: dev, region: us-gov-west-1}
"""
OTHER = "apiVersion: chaperone/v1\nkind: Access\nmetadata: {name: x}\nspec: {}\n"


def documents(*texts: str, file: str = "/rules/connections/a.yaml") -> list[Document]:
    found, problems = parse_documents("---\n".join(texts), file)
    assert not problems
    return found


def test_every_field() -> None:
    connections, problems = compile_connections(documents(FULL, SMALL, OTHER))
    assert not problems
    prod, dev = connections["prod"], connections["dev"]
    assert (prod.host, prod.port, prod.address) == ("api.prod.example", 443, ("10.0.0.7", 6443))
    assert (prod.server_name, prod.ca_file) == ("kubernetes.default", "/rules/connections/ca/prod.pem")
    assert (prod.eks_cluster, prod.region) == ("prod", "eu-central-1")
    assert prod.sts_endpoint_url == "https://vpce-1.sts.eu-central-1.vpce.amazonaws.com"
    assert prod.thresholds == Thresholds(warn=10, approve=20, deny=101)
    assert (dev.host, dev.port, dev.address, dev.server_name) == ("fd00::1", 6443, ("fd00::1", 6443), "fd00::1")
    assert (dev.ca_file, dev.sts_endpoint_url, dev.thresholds) == ("/etc/ca.pem", "", Thresholds())
    assert by_target(connections) == {("api.prod.example", 443): prod, ("fd00::1", 6443): dev}


ACCOUNTS = """
apiVersion: chaperone/v1
kind: Connection
metadata: {name: kind}
spec:
  host: kind.test:6443
  caFile: ca.pem
  serviceAccount: {kubeconfig: gateway.kubeconfig, context: kind, audiences: [a]}
"""


def test_a_cluster_that_is_not_eks() -> None:
    connections, problems = compile_connections(documents(ACCOUNTS, SMALL))
    assert not problems
    kind = connections["kind"]
    assert (kind.kind, connections["dev"].kind) == ("serviceAccount", "eks")
    assert kind.kubeconfig == "/rules/connections/gateway.kubeconfig"
    assert (kind.kubeconfig_context, kind.audiences) == ("kind", ("a",))


def test_a_cluster_where_the_gateway_impersonates() -> None:
    text = re.sub("serviceAccount: .*", "impersonate: {kubeconfig: /own, context: c}", ACCOUNTS)
    connections, problems = compile_connections(documents(text))
    assert not problems
    kind = connections["kind"]
    assert (kind.kind, kind.kubeconfig, kind.kubeconfig_context) == ("impersonate", "/own", "c")


@pytest.mark.parametrize("more", ["eks: {cluster: a, region: eu-west-1}", ""])
def test_one_way_to_credentials(more: str) -> None:
    text = ACCOUNTS.replace("serviceAccount: {", "eks: {cluster: a, region: eu-west-1}\n  serviceAccount: {")
    text = text if more else re.sub("  serviceAccount.*", "", ACCOUNTS)
    (problem,) = compile_connections(documents(text))[1]
    assert "give one of eks, serviceAccount, impersonate" in problem.message


def test_thresholds_take_precedence_over_those_of_the_profile() -> None:
    text = FULL.replace("thresholds: {warn: 10, approve: 20, deny: 101}", "profile: strict\n  thresholds: {deny: 80}")
    connections, problems = compile_connections(documents(text, SMALL))
    assert not problems
    assert connections["prod"].profile is Profile.STRICT
    assert connections["prod"].thresholds == replace(THRESHOLDS[Profile.STRICT], deny=80)
    assert connections["dev"].profile is Profile.STANDARD


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("thresholds:", "profile: observe\n  thresholds:", []),
        ("warn: 10", "warn: 11", []),
        ("address: 10.0.0.7:6443", "address: 10.0.0.8:6443", [5]),
        ("cluster: prod", "cluster: other", [5]),
        ("caFile: ca/prod.pem", "caFile: ca/other.pem", [5]),
        ("name: prod", "name: new", []),
    ],
)
def test_a_name_stands_for_one_cluster(old: str, new: str, lines: list[int]) -> None:
    before, _ = compile_connections(documents(FULL))
    changed = documents(FULL.replace(old, new), OTHER)
    after, problems = compile_connections(changed)
    assert not problems
    assert [problem.line for problem in moved(changed, after, before)] == lines
    assert moved(changed, {}, before) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        pytest.param("host: api.prod.example:443", "host: api.prod.example", 6, "host", id="no port"),
        pytest.param("host: api.prod.example:443", "host: https://api.prod.example:443", 6, "host", id="a URL"),
        pytest.param("host: api.prod.example:443", "host: API.prod.example:443", 6, "host", id="upper case"),
        pytest.param("host: api.prod.example:443", "host: api.prod.example.:443", 6, "host", id="trailing dot"),
        pytest.param("host: api.prod.example:443", "host: api.prod.example:0", 6, "host", id="port 0"),
        pytest.param(
            "host: api.prod.example:443", "host: api.prod.example:65536", 6, "below 65536", id="port too high"
        ),
        pytest.param("address: 10.0.0.7:6443", "address: 10.0.0.7:70000", 7, "below 65536", id="address port too high"),
        pytest.param("serverName: kubernetes.default", "serverName: '*.default'", 8, "serverName", id="wildcard name"),
        pytest.param("caFile: ca/prod.pem", "caFile: ''", 9, "caFile", id="no CA file"),
        pytest.param("  caFile: ca/prod.pem\n", "", 5, "caFile", id="CA missing"),
        pytest.param("region: eu-central-1", "region: Frankfurt", 10, "region", id="region"),
        pytest.param("cluster: prod", "cluster: 'a b'", 10, "cluster", id="cluster name"),
        pytest.param("https://vpce", "http://vpce", 10, "stsEndpoint", id="STS in clear"),
        pytest.param("warn: 10", "warn: 21", 11, "ordered", id="thresholds out of order"),
        pytest.param("warn: 10, approve: 20, deny: 101", "warn: 51", 11, "ordered", id="also with the profile's"),
        pytest.param("thresholds:", "profile: lax\n  thresholds:", 11, "profile", id="unknown profile"),
        pytest.param("deny: 101", "deny: 102", 11, "deny", id="threshold too high"),
        pytest.param("deny: 101", "dney: 101", 11, "dney", id="unknown key"),
    ],
)
def test_mistakes_have_their_line(old: str, new: str, line: int, message: str) -> None:
    assert old in FULL
    _, problems = compile_connections(documents(FULL.replace(old, new)))
    assert [problem.line for problem in problems] == [line]
    assert message in problems[0].message


def test_all_mistakes_at_once_and_nothing_twice() -> None:
    again = FULL.replace("prod}", "copy}")
    broken = FULL.replace("prod}", "broken}").replace("host: api", "hots: api")
    _, problems = compile_connections(documents(FULL, FULL, again, broken))
    messages = [problem.message for problem in problems]
    assert messages == [
        "two connections are named prod",
        "api.prod.example:443 is already the host of connection prod",
        "host: Field required",
        "hots: Extra inputs are not permitted",
    ]


@pytest.mark.parametrize(
    ("file", "path", "result"),
    [
        ("/rules/a.yaml", "ca.pem", "/rules/ca.pem"),
        ("/rules/a.yaml", "/ca.pem", "/ca.pem"),
        ("rules/a.yaml", "../ca.pem", "rules/../ca.pem"),
        ("a.yaml", "ca.pem", "ca.pem"),
    ],
)
def test_paths_are_taken_from_the_folder_of_the_file(file: str, path: str, result: str) -> None:
    assert resolve_path(file, path) == result
