"""The configuration that is written for a cluster is one that the gateway accepts, whole."""

from pathlib import Path

import pytest

from addons.core.access_rule import compile_access, cross_check
from addons.core.connection import compile_connections
from addons.core.identity_provider import compile_identity
from addons.edge.rulefiles import read_rules
from addons.settings import load_settings
from scripts.devenv.gateway_conf import GROUPS, Upstream, write_configuration

ROLES = {group: f"arn:aws:iam::123456789012:role/agent-{role}" for group, role in GROUPS.items()}


def an_upstream(tmp_path: Path) -> Upstream:
    return Upstream(
        host="api.cluster.test:6443",
        address="127.0.0.1:6443",
        server_name="api.cluster.test",
        ca_file=str(tmp_path / "ca.crt"),
        eks_cluster="development",
        region="us-east-1",
        sts_endpoint="http://127.0.0.1:5000",
        issuer="http://127.0.0.1:5001",
        roles=ROLES,
        kubectl="kubectl",
    )


def test_every_document_is_accepted(tmp_path: Path) -> None:
    conf, workers = write_configuration(an_upstream(tmp_path), tmp_path / "gateway", None, {})
    settings = load_settings(conf)
    documents, problems = read_rules(settings.rules)
    connections, wrong_connections = compile_connections(documents)
    providers, wrong_providers = compile_identity(documents)
    access, wrong_access = compile_access(documents)
    dangling = cross_check(connections, providers, access)
    assert [*problems, *wrong_connections, *wrong_providers, *wrong_access, *dangling] == []
    connection = connections["development"]
    assert (connection.host, connection.address) == ("api.cluster.test", ("127.0.0.1", 6443))
    assert {rule.name: rule.role for rule in access} == ROLES
    assert workers == settings.workers == 1
    assert settings.listen_port == 0
    assert any(document.kind == "Guardrail" for document in documents), "the shipped rules are missing"


@pytest.mark.parametrize("workers", [1, 2])
def test_settings_and_rules_can_be_added(tmp_path: Path, workers: int) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    changes = {"workers": workers, "hold_seconds": 1}
    conf, count = write_configuration(an_upstream(tmp_path), tmp_path / "gateway", extra, changes)
    settings = load_settings(conf)
    assert (settings.workers, settings.hold_seconds) == (workers, 1)
    assert count == workers
    assert str(extra) in settings.rules


def test_nobody_else_reads_the_folder(tmp_path: Path) -> None:
    write_configuration(an_upstream(tmp_path), tmp_path / "gateway", None, {})
    for name in ("gateway", "gateway/state", "gateway/certs"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
