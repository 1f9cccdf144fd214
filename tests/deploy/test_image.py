"""The image's steps, replayed without a container engine: what they install works without the repository."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from addons.edge.authority import CERTIFICATE_FILE, KEY_FILE, open_authority
from addons.settings import read_settings
from scripts.devenv.places import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
PREFIX = "/opt/chaperone"


def instructions() -> list[list[tuple[str, str]]]:
    """The stages of the Dockerfile, as pairs of instruction and argument."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages: list[list[tuple[str, str]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, argument = line.partition(" ")
        if word == "FROM":
            stages.append([])
        if stages:
            stages[-1].append((word, argument))
    return stages


def pins(file: Path) -> dict[str, str]:
    """Each requirement of a lock with its hashes."""
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE))
    return {entry.split()[0]: entry for entry in entries if "==" in entry}


@dataclass(frozen=True)
class Installed:
    """What the build stage leaves in PREFIX."""

    prefix: Path
    home: Path

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """The command, far from the repository."""
        env = {"PATH": f"{self.prefix / 'bin'}:/usr/bin:/bin", "HOME": str(self.home), "PYTHONSAFEPATH": "1"}
        command = [self.prefix / "bin" / "chaperone", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.home, env=env)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The build stage, every COPY and RUN of it in its order, in folders of its own; packages that uv has are not
    fetched again, and not compiled.
    """
    folder = tmp_path_factory.mktemp("image")
    source, prefix, home = folder / "src", folder / "opt", folder / "home"
    for each in (source, home):
        each.mkdir()
    python = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    packages = os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))
    env = {**os.environ, "PATH": python, "PYTHONPATH": "", "HOME": str(home), "UV_CACHE_DIR": packages}
    for word, argument in instructions()[0]:
        if word == "COPY":
            *names, target = argument.split()
            for name in names:
                copy(REPOSITORY / name, source / target)
        elif word == "RUN":
            command = argument.replace(PREFIX, str(prefix))
            shell = ["sh", "-c", command]
            done = subprocess.run(shell, cwd=source, capture_output=True, text=True, check=False, env=env)
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return Installed(prefix, home)


def copy(what: Path, where: Path) -> None:
    """As COPY does: the content of a folder, or a file into one."""
    if what.is_dir():
        shutil.copytree(what, where, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pem"))
    else:
        shutil.copy(what, where)


@pytest.mark.timeout(600)
def test_the_installed_command_works_without_the_repository(installed: Installed) -> None:
    done = installed.run("--help")
    assert done.returncode == 0, done.stderr
    assert "Just-in-time, supervised access" in done.stdout
    assert installed.run("--version").stdout.strip() == "0.1.0"
    assert not (installed.prefix / "bin" / "pip").exists()


@pytest.mark.timeout(600)
def test_the_console_has_its_files_and_the_player(installed: Installed) -> None:
    (console,) = installed.prefix.glob("lib/python*/site-packages/addons/console")
    assert {path.name for path in (console / "static").iterdir()} == {"live.js", "session.css", "timeline.js"}
    assert (console / "player" / "asciinema-player.min.js").stat().st_size > 100_000
    assert (console / "player" / "LICENSE").is_file()


@pytest.mark.timeout(600)
def test_the_installed_examples_and_rules_pass_the_check(installed: Installed, tmp_path: Path) -> None:
    share = installed.prefix / "share" / "chaperone"
    rules = tmp_path / "rules"
    for example in (share / "examples" / "rules").glob("*/*.example"):
        target = rules / example.parent.name / example.name.removesuffix(".example")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(example, target)
    open_authority(tmp_path / "cluster-ca", datetime.datetime.now(datetime.UTC))
    shutil.copy(tmp_path / "cluster-ca" / CERTIFICATE_FILE, rules / "connections" / "prod-ca.pem")
    conf = tmp_path / "mitm.conf"
    example = yaml.safe_load((share / "examples" / "mitm.conf").read_text())
    conf.write_text(yaml.safe_dump({**example, "rules": [str(share / "rules"), "rules"], "listen_port": 0}))
    done = installed.run("up", "--check", "--health-port", "0", "--conf", conf)
    assert done.returncode == 0, done.stderr
    assert re.search(r"no problems; connections: prod\b.*; \d\d+ guardrails", done.stdout), done.stdout
    assert {path.name for path in (tmp_path / "certs").iterdir()} == {CERTIFICATE_FILE, KEY_FILE}
    (rules / "connections" / "prod-ca.pem").unlink()
    refused = installed.run("up", "--check", "--health-port", "0", "--conf", conf)
    assert (refused.returncode, "prod-ca.pem cannot be read" in refused.stderr) == (1, True)


def test_the_lock_is_the_repositorys_without_its_tools() -> None:
    ours, all_pins = pins(DEPLOY / "requirements.lock"), pins(REPOSITORY / "requirements.lock")
    make = re.search(r"uv pip compile .*", (DEPLOY / "requirements.lock").read_text())
    assert make is not None
    assert ours.items() <= all_pins.items(), f"make it again: {make.group()}"
    wanted = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[\[>=<]", each)[0].lower() for each in wanted}
    assert names <= {pin.partition("==")[0].lower() for pin in ours}, f"make it again: {make.group()}"
    assert "pytest" not in {pin.partition("==")[0] for pin in ours}
    assert all("--hash=sha256:" in entry for entry in ours.values())


def test_the_base_is_pinned_and_the_process_is_nobody() -> None:
    _, final = instructions()
    words = dict(final)
    assert re.search(r"^ARG BASE=python:3\.\d+\.\d+-slim-\w+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", words["USER"])
    assert words["ENTRYPOINT"] == '["chaperone", "up"]'
    assert words["EXPOSE"] == "8080 8443", "for agents, in clear and in TLS"
    assert "/healthz" in words["HEALTHCHECK"]


def test_compose_lets_it_write_its_state_alone() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert {name: service.get("profiles") for name, service in services.items()} == {
        "gateway": None, "ship": ["ship"], "archive": ["archive"],
    }  # fmt: skip
    for service in services.values():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert not any("ports" in services[name] for name in ("ship", "archive"))
    service = services["gateway"]
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    conf = DEPLOY / "compose" / "mitm.conf"
    settings, problems = read_settings(conf)
    assert problems == []
    writable = [Path(volume.split(":")[1]) for volume in service["volumes"] if not volume.endswith(":ro")]
    for folder in (settings.state, settings.certs):
        assert any(Path(folder).is_relative_to(path) for path in writable)
    assert settings.rules == [f"{PREFIX}/share/chaperone/rules", str(conf.parent / "rules")]
    assert (settings.listen_port, settings.health_port) == (8080, 8082)
