"""The examples people start from must load, together, without a mistake."""

from __future__ import annotations

from pathlib import Path

from addons.core.access import AccessPolicy, compile_access, cross_check
from addons.core.connection import compile_connections
from addons.core.documents import Document, parse_documents
from addons.core.guardrails import compile_guardrails
from addons.core.guardrails.freeze import compile_windows
from addons.core.identity import Identity
from addons.core.identity_provider import compile_identity
from addons.core.pipelines.pipeline import compile_pipelines
from addons.core.refusal import Refusal
from addons.core.session import Session

RULES = Path(__file__).parents[1] / "rules"
NOW = 1_800_000_000.0


def documents() -> list[Document]:
    found: list[Document] = []
    for folder in ("connections", "identity", "access"):
        for file in sorted((RULES / folder).glob("*.example")):
            parsed, problems = parse_documents(file.read_text(), str(file))
            assert not problems
            found += parsed
    return found


def role(intent: str) -> str:
    connections, _ = compile_connections(documents())
    providers, _ = compile_identity(documents())
    rules, _ = compile_access(documents())
    who = Identity(iss=providers[0].issuer, sub="agent-7", aud=("chaperone",), exp=NOW + 60, groups=("web-agents",))
    (name,) = connections
    session = Session(id="s", identity=who, connection=name, started_at=NOW, intent=intent)
    grants = AccessPolicy(rules, providers).grants(session, NOW)
    assert not isinstance(grants, Refusal)
    return grants[0].role


def test_the_guardrail_loads_and_passes_its_tests() -> None:
    found, problems = parse_documents((RULES / "guardrails" / "registries.yaml.example").read_text(), "r")
    assert problems + compile_guardrails(found)[1] == []


def test_the_freeze_windows_load() -> None:
    documents, problems = parse_documents((RULES / "freeze" / "change-freeze.yaml.example").read_text(), "f")
    windows, mistakes = compile_windows(documents)
    assert problems + mistakes == []
    assert [window.name for window in windows] == ["year-end", "nights-and-weekends"]


def test_the_pipelines_load() -> None:
    for name, pipelines in (("siem", ["siem", "on-call"]), ("otel", ["otel-logs", "otel-traces"])):
        found, problems = parse_documents((RULES / "pipelines" / f"{name}.yaml.example").read_text(), "p")
        compiled, mistakes = compile_pipelines(found, ["prod"])
        assert problems + mistakes == []
        assert [pipeline.name for pipeline in compiled] == pipelines


def test_the_examples_load() -> None:
    connections, problems = compile_connections(documents())
    providers, more = compile_identity(documents())
    rules, most = compile_access(documents())
    assert problems + more + most + cross_check(connections, providers, rules) == []
    assert list(connections) == ["prod"] and len(providers) == 8 and len(rules) == 4


def test_the_examples_do_what_they_say() -> None:
    assert role("").endswith("agent-view")
    assert role("INC-42 restart web").endswith("agent-edit")
