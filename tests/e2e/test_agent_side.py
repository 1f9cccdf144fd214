"""What agents are given: a kubeconfig that leads through the gateway, and a command that leads other clients there."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from scripts.devenv import forkserver, plain_http
from scripts.devenv.cluster import Cluster
from scripts.devenv.forkserver import CHAPERONE
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.places import REPOSITORY
from tests.e2e.agent import eventually
from tests.e2e.people import chaperone
from tests.e2e.records import gateway_events

COMMAND = f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m addons.cli "$@"\n'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, mint: Callable[..., str]) -> Path:
    """An agent's, with the command on its path and its token in a file."""
    folder = tmp_path_factory.mktemp("agent-home")
    (folder / "chaperone").write_text(COMMAND)
    (folder / "chaperone").chmod(0o755)
    (folder / "token").write_text(mint("agent-at-home", groups=["agents"]))
    return folder


def run(home: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """As the agent, who has no configuration of a gateway and no proxy."""
    inherited = _environment(home) | env
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=inherited, cwd=home)


def run_forked(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """As `run` of the command on the agent's path, where how that starts is not what is tested."""
    inherited = _environment(home) | {"PYTHONPATH": str(REPOSITORY)} | env
    return forkserver.run([*CHAPERONE, *arguments], timeout=60, env=inherited, cwd=home)


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": f"{home}:{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(home)}


@pytest.fixture(scope="module")
def kubeconfig(gateway: GatewayEnv, home: Path) -> str:
    """Made by whoever runs the gateway."""
    options = (f"--gateway={gateway.gateway_url}", f"--token-file={home}/token", "--namespace=default")
    done = chaperone(gateway, "kubeconfig", gateway.connection, *options)
    assert done.returncode == 0, done.stderr
    (home / "kubeconfig").write_text(done.stdout)
    return str(home / "kubeconfig")


def test_kubectl_needs_nothing_else(kubeconfig: str, home: Path, gateway: GatewayEnv) -> None:
    done = run(home, gateway.kubectl_path, f"--kubeconfig={kubeconfig}", "get", "configmaps")
    assert done.returncode == 0, done.stderr
    assert "kube-root-ca.crt" in done.stdout


def test_the_token_may_come_from_the_environment(gateway: GatewayEnv, home: Path) -> None:
    made = chaperone(gateway, "kubeconfig", gateway.connection, f"--gateway={gateway.gateway_url}").stdout
    (home / "plugin").write_text(made)
    command = [gateway.kubectl_path, f"--kubeconfig={home}/plugin", "get", "configmaps"]
    assert run(home, *command, CHAPERONE_TOKEN=(home / "token").read_text()).returncode == 0
    without = run(home, *command)
    assert (without.returncode, "put your OIDC token in CHAPERONE_TOKEN" in without.stderr) == (1, True)


def test_a_person_signs_in_once(gateway: GatewayEnv, home: Path, mint: Callable[..., str], cluster: Cluster) -> None:
    mint("carol", groups=["agents"])
    named, carol = ["--issuer", cluster.oidc_issuer, "--client-id", "chaperone"], f"{cluster.oidc_issuer}#carol"
    made = chaperone(gateway, "kubeconfig", gateway.connection, f"--gateway={gateway.gateway_url}", *named).stdout
    (home / "person").write_text(made)
    command = [gateway.kubectl_path, f"--kubeconfig={home}/person", "get", "configmaps"]
    before = run(home, *command)
    assert (before.returncode, "chaperone login --issuer" in before.stderr) == (1, True), before.stderr
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    login = [str(home / "chaperone"), "login", "--no-browser", *named]
    with subprocess.Popen(login, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as running:
        assert running.stderr is not None
        url = running.stderr.readline().rpartition(" ")[2].strip()
        plain_http.post(url, data={"sub": "carol"}, follow_redirects=True).raise_for_status()
        assert running.wait(30) == 0
    assert run(home, *command).returncode == 0
    eventually("her request", lambda: carol in {each["user"]["username"] for each in gateway_events(gateway)})


def test_other_clients_are_led_the_same_way(kubeconfig: str, home: Path, gateway: GatewayEnv) -> None:
    """Python's own, which knows nothing of a kubeconfig: it takes proxy and CA from the environment."""
    script = (
        "import os, urllib.request as u\n"
        f"r = u.Request('{gateway.api_url}/version', headers={{'Authorization': 'Bearer ' + open('token').read()}})\n"
        "print(u.urlopen(r).status, os.environ['NODE_EXTRA_CA_CERTS'][-3:])"
    )
    done = run(home, "chaperone", "run", f"--kubeconfig={kubeconfig}", "--", sys.executable, "-c", script)
    assert (done.returncode, done.stdout) == (0, "200 pem\n"), done.stderr


def test_what_it_is_for_is_on_record(kubeconfig: str, home: Path, gateway: GatewayEnv) -> None:
    about = ("--connection=development", "--intent=INC-42 full disk")
    get = (gateway.kubectl_path, "get", "endpointslices")
    done = run_forked(home, "run", *about, "--", *get, KUBECONFIG=kubeconfig)
    assert done.returncode == 0, done.stderr
    (event, *_) = [each for each in gateway_events(gateway) if "endpointslices" in each["requestURI"]]
    assert event["annotations"]["chaperone.dev/intent"] == "INC-42 full disk"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["sh", "-c", "exit 7"], 7, ""),
        (["sh", "-c", "kill -9 $$"], 137, ""),
        (["no-such-command"], 127, "there is no command 'no-such-command'"),
        ([], 1, "say what to run, after --"),
    ],
)
def test_it_ends_as_the_command_does(command: list[str], code: int, said: str, kubeconfig: str, home: Path) -> None:
    done = run_forked(home, "run", f"--kubeconfig={kubeconfig}", "--", *command)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_signal_is_passed_on(kubeconfig: str, home: Path) -> None:
    script = "trap 'echo stopped; exit 5' TERM; echo begun; while true; do sleep 0.1; done"
    command = [str(home / "chaperone"), "run", f"--kubeconfig={kubeconfig}", "--", "sh", "-c", script]
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        running.terminate()
        assert running.stdout.read() == "stopped\n"
        assert running.wait(10) == 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "broken is no kubeconfig: no YAML, line 1"),
        ("text", "broken is no kubeconfig"),
        ("kind: Config", "no context"),
    ],
)
def test_a_kubeconfig_that_is_none(content: str, said: str, home: Path) -> None:
    (home / "broken").write_text(content)
    done = run_forked(home, "run", "--kubeconfig=broken", "--", "true")
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--gateway=http://g:1"], "there is no connection 'nowhere'; there is: development"),
        (["development", "--gateway=g:1"], "give a URL such as http://"),
    ],
)
def test_what_cannot_be_made(arguments: list[str], said: str, gateway: GatewayEnv) -> None:
    done = chaperone(gateway, "kubeconfig", *arguments)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_the_kubeconfig_holds_no_secret(kubeconfig: str) -> None:
    document = yaml.safe_load(Path(kubeconfig).read_text())
    assert set(document["users"][0]["user"]) == {"tokenFile"}


def test_doctor_looks_from_the_agents_side(kubeconfig: str, home: Path, gateway: GatewayEnv, cluster: Cluster) -> None:
    look = ("doctor", "-o", "json", "--kubeconfig")

    def findings(done: subprocess.CompletedProcess[str], code: int = 1) -> dict[str, tuple[bool, str]]:
        assert done.returncode == code, done.stdout + done.stderr
        return {each["what"]: (each["ok"], each["detail"] + each["remedy"]) for each in json.loads(done.stdout)}

    found = findings(run(home, "chaperone", *look, kubeconfig, AWS_PROFILE="dev"), 0)
    assert found["proxy"][0] and gateway.gateway_url in found["proxy"][1]
    assert found["gateway"] == (True, "it is reached, its CA is trusted, and it refuses a request without a token")
    assert found["other credentials"] == (True, "AWS_PROFILE: an identity that no cluster may know")
    ((around, (ok, why)),) = [each for each in found.items() if each[0].startswith("way around the gateway")]
    assert (around, ok) == (f"way around the gateway to {urlsplit(gateway.api_url).netloc}", True), why

    whole = yaml.safe_load(Path(kubeconfig).read_text())
    (entry,) = whole["clusters"]
    wrong = {
        "no gateway": {"proxy-url": "http://127.0.0.1:1"},
        "no connection": {"server": "https://elsewhere.test"},
        "another CA": {"certificate-authority-data": base64.b64encode(Path(cluster.api_ca).read_bytes()).decode()},
        "no CA": {"certificate-authority-data": "AAAA"},
        "no check": {"insecure-skip-tls-verify": True},
    }
    said = {}
    for name, change in wrong.items():
        (home / "wrong").write_text(
            yaml.safe_dump(whole | {"clusters": [entry | {"cluster": entry["cluster"] | change}]})
        )
        ok, said[name] = findings(run_forked(home, *look, str(home / "wrong")))["gateway"]
        assert not ok
    assert "is the gateway up" in said["no gateway"]
    assert "403" in said["no connection"] and "have a connection for elsewhere.test" in said["no connection"]
    assert "must be the gateway's, not the cluster's" in said["another CA"]
    assert "cannot be read" in said["no CA"] and "anybody could answer" in said["no check"]
    env = {"HTTPS_PROXY": gateway.gateway_url, "NO_PROXY": "127.0.0.0/8"}
    straight = findings(run_forked(home, *look, cluster.admin_kubeconfig, **env))
    assert straight["proxy"][1].startswith("NO_PROXY excepts 127.0.0.1 (127.0.0.0/8) from HTTPS_PROXY")
    assert "gateway" not in straight
    api_server = urlsplit(cluster.api_url).netloc
    assert straight[f"way around the gateway to {api_server}"] == (
        False, "it is open: the API server is reached directlylet the network admit the gateway alone:"
        " docs/threat-model.md, A way around",
    )  # fmt: skip
