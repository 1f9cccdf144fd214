"""What the pages for operators say is there: commands, options, settings, log events, rules, numbers, ids, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons import gateway
from addons.cli import app
from addons.core.documents import parse_documents
from addons.core.identity_provider import IdentityProviderSpec
from addons.edge import authority, facts, jwks, probes
from addons.settings import Settings
from scripts.bypasses_page import bypasses
from tests.test_conventions import ALL, ROOT

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
THREATS = (ROOT / "docs" / "threat-model.md").read_text()
PAGES = [
    ROOT / name
    for name in (
        *("README.md", "docs/operations.md", "docs/threat-model.md", "deploy/README.md", "deploy/eks.md"),
        *("deploy/compose.yaml", "deploy/chart/templates/NOTES.txt"),
    )
]
PROSE = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*.md")])
GROUPS = {"approvals", "audit", "sessions", "rules"}
COMMANDS = GROUPS | {"up", "doctor", "status", "watch", "explain", "mask"}


def shown() -> dict[tuple[str, ...], set[str]]:
    """Every `chaperone` command that a page shows, by its words, with the options it is shown with."""
    found: dict[tuple[str, ...], set[str]] = {}
    for page in PAGES:
        for text in re.findall(r"(?:^|[`$ /])chaperone ([a-z][^`\n#|]*)", page.read_text(), re.MULTILINE):
            words = re.split(r"[^\w-]*\s", f"{text} ")
            if words[0] in COMMANDS:
                path = tuple(words[: 2 if words[0] in GROUPS and not words[1].startswith("--") else 1])
                found.setdefault(path, set()).update(word for word in words if word.startswith("--"))
    return found


def test_pages_show_commands() -> None:
    assert {path[0] for path in shown()} >= COMMANDS - {"mask"}


@pytest.mark.parametrize(("path", "options"), shown().items(), ids=map(" ".join, shown()))
def test_a_command_that_is_shown_exists_with_its_options(
    path: tuple[str, ...], options: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        app([*path, "--help"])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert f"chaperone {' '.join(path)}" in said
    assert [option for option in options if option not in said] == []


def log_events() -> Iterator[str]:
    """A pattern for the first argument of every call of a logger."""
    for text in (text for path in ALL if "log." in (text := (ROOT / path).read_text())):
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log")), args=[first, *_]):
                    parts = first.values if isinstance(first, ast.JoinedStr) else [first]
                    yield "".join(
                        re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in parts
                    )


def test_every_log_event_is_explained() -> None:
    table = OPERATIONS.partition("| `event` |")[2].partition("\n\n")[0]
    explained = set(re.findall(r"`([^`]+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:])))
    logged = set(log_events())
    assert [pattern for pattern in logged if not any(re.fullmatch(pattern, event) for event in explained)] == []
    assert [event for event in explained if not any(re.fullmatch(pattern, event) for pattern in logged)] == []


def test_settings_that_are_named_exist() -> None:
    named = set(re.findall(r"`(?!chaperone_)([a-z]+_[a-z_]+)", OPERATIONS)) | {"workers", "certs", "state"}
    assert named <= set(Settings.model_fields)
    assert {"approval_seconds", "body_size_limit", "health_port"} <= named


def test_metrics_that_are_named_are_explained() -> None:
    explained = (ROOT / "docs" / "configuration.md").read_text()
    named = set(re.findall(r"`(chaperone_[a-z_]+)", OPERATIONS))
    assert len(named) >= 4
    assert [metric for metric in named if f"| `{metric}` |" not in explained] == []


def test_rules_of_refusals_that_are_named_exist() -> None:
    code = "".join((ROOT / path).read_text() for path in ALL)
    named = re.findall(r"rule\s+`([a-z-]+)`", OPERATIONS)
    assert len(named) >= 4
    assert [rule for rule in named if f'"{rule}"' not in code] == []


def test_the_numbers_are_the_codes() -> None:
    for words, true in [
        ("valid for three years", authority._AUTHORITY_DAYS == 3 * 365),
        ("warns a month before", probes.CERTIFICATE_SOON.days == 30),
        ("fetched every five minutes", jwks.REFRESH_AFTER == 300),
        ("Known keys count for an hour", IdentityProviderSpec.model_fields["keys_max_age_seconds"].default == 3600),
        ("within three seconds", gateway._DRAIN_SECONDS == 3),
        ("up to 256 KiB each way", facts.MAX_BODY == 256 * 1024),
    ]:
        assert words in " ".join(OPERATIONS.split()), words
        assert true, words


def test_files_that_are_named_are_made() -> None:
    code = "".join((ROOT / path).read_text() for path in ALL)
    for name in (
        "audit.jsonl",
        "approvals.sqlite",
        "fingerprint.key",
        "ledger.jsonl",
        "signing.key",
        "gateway-ca.pem",
        "gateway-ca-key.pem",
    ):
        assert name in OPERATIONS
        assert f'"{name}"' in code, name


def test_ids_of_the_threat_model_exist() -> None:
    known = {each.id for _, entries in bypasses().values() for each in entries}
    assert set(re.findall(r"\bB-[0-9][0-9A-Z]a?\b", THREATS)) <= known
    covered: set[str] = set()
    for file in (ROOT / "rules" / "guardrails").glob("*.yaml"):
        for document in parse_documents(file.read_text(), file.name)[0]:
            covered |= set(document.spec.get("covers", ()))
    assert set(re.findall(r"\b[A-Z]{3}-\d\d\b", THREATS)) <= covered


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        if "://" in file:
            continue
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target
