"""The demo as a new user runs it: it tells the truth, says so if it cannot, and leaves nothing running."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.devenv import forkserver
from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_conf import AGENT_HOST
from scripts.devenv.places import REPOSITORY
from scripts.devenv.processes import is_running
from scripts.devenv.state import recorded_children
from tests.support.kubernetes import Kubectl

SECONDS = 150
AWS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "development"}
# What an EKS kubeconfig has instead of `aws`: it prints a token of a role in the form kubectl asks for.
AWS_PROGRAM = """#!{python}
import json, sys
sys.path.insert(0, {repository!r})
from scripts.devenv import eks
credentials = eks.assume_role({sts!r}, {region!r}, {role!r}, "a-person")
status = {{"token": eks.token(credentials, {region!r}, {name!r})}}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""


def command(state: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "scripts.devenv.demo", "--state", str(state), *arguments]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **more}


def demo(state: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """As on a terminal, but that its commands in Python are forked."""
    return forkserver.run(
        command(state, *arguments), timeout=SECONDS, cwd=state.parent, env=environment(**env), merged=True
    )


def still_running(state: Path) -> list[str]:
    """Names of processes that were started for this folder; a moment is granted to those that are about to end."""
    deadline = time.monotonic() + 10
    while True:
        children = [child for name in ("cluster", "gateway", "oidc") for child in recorded_children(state / name)]
        running = [child.name for child in children if is_running(child)]
        if not running or time.monotonic() > deadline:
            return running
        time.sleep(0.1)


@pytest.mark.cluster
def test_a_kept_demo_can_be_used_and_ended(tmp_path: Path) -> None:
    state, env_file = tmp_path / "demo", tmp_path / "env.json"
    played = demo(state, "--keep", "--env-file", str(env_file))
    try:
        assert played.returncode == 0, played.stdout
        assert "facts are as told" in played.stdout
        assert "\x1b" not in played.stdout, "colours are for terminals"
        known = json.loads(env_file.read_text())
        assert env_file.stat().st_mode & 0o777 == 0o600
        assert known.keys() >= {
            *("gateway_url", "gateway_ca", "api_url", "agent_token", "approver_token"),
            *("admin_kubeconfig", "state_dir", "connection"),
        }
        assert known["api_url"].startswith(f"https://{AGENT_HOST}:")
        assert list(Path(known["state_dir"]).glob("sessions/*/audit.jsonl"))
        (tmp_path / "nobody").write_text("{}")
        agent = Kubectl(path=known["kubectl"], kubeconfig=str(tmp_path / "nobody"), namespace="shop")
        arguments = [f"--server={known['api_url']}", f"--certificate-authority={known['gateway_ca']}"]
        direct = agent.run("get", "pods", *arguments, f"--token={known['agent_token']}")
        assert direct.returncode != 0, "the name must exist only behind the gateway"
        through = subprocess.run(
            agent.command("get", "pods", *arguments, f"--token={known['agent_token']}"),
            env={**agent.environment(), "HTTPS_PROXY": known["gateway_url"]},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert "web" in through.stdout, through.stderr
        exports = [line.split() for line in played.stdout.splitlines() if line.startswith("  export KUBECONFIG=")]
        kubeconfig = exports[0][1].partition("=")[2]
        assert "web" in Kubectl(path=known["kubectl"], kubeconfig=kubeconfig, namespace="shop")("get", "pods")
        again = demo(state)
        assert again.returncode == 1
        assert "stop it with scripts/demo --down --state" in again.stdout
        assert demo(state, "--env", "--env-file", str(env_file)).returncode == 0
        assert json.loads(env_file.read_text())["agent_token"] != known["agent_token"]
    finally:
        ended = demo(state, "--down")
    assert (ended.returncode, ended.stdout.strip()) == (0, "gateway stopped, cluster stopped")
    assert still_running(state) == []
    assert not env_file.exists()
    assert "no demo is kept" in demo(state, "--env").stdout
    assert list(state.glob("gateway/state/sessions/*/*.cast")), "the evidence must outlive it"


@pytest.mark.cluster
def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    state = tmp_path / "demo"
    process = subprocess.Popen(
        command(state),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whoever runs the tests may ignore it
    )
    with process:
        assert process.stdout is not None
        # While the agent's kubectl waits for an approval, everything that can run does.
        assert any("kubectl exec" in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(SECONDS) == 130, rest
    assert still_running(state) == []
    assert not (state / "demo.json").exists()
    assert not list(state.glob("gateway/*.kubeconfig")), "tokens must not stay"


def test_somebodys_own_cluster_whose_role_may_too_little(cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> None:
    aws, kubeconfig = tmp_path / "aws", tmp_path / "kubeconfig"
    region, name = cluster.sts_region, cluster.eks_cluster_name
    places = {"python": sys.executable, "repository": str(REPOSITORY), "sts": cluster.sts_endpoint_url}
    aws.write_text(AWS_PROGRAM.format(**places, region=region, role=cluster.role_arns["admin"], name=name))
    aws.chmod(0o700)
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "interactiveMode": "Never",
        "command": str(aws),
        "args": ["--region", region, "eks", "get-token", "--cluster-name", name],
    }
    document = {
        "clusters": [{"name": "c", "cluster": {"server": cluster.api_url, "certificate-authority": cluster.api_ca}}],
        "users": [{"name": "u", "user": {"exec": plugin}}],
        "contexts": [{"name": "mine", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "mine",
    }
    kubeconfig.write_text(json.dumps(document))
    own = ["--kubeconfig", str(kubeconfig), "--sts-endpoint", cluster.sts_endpoint_url]
    played = demo(tmp_path / "demo", *own, "--role-arn", cluster.role_arns["view"], **AWS)
    assert played.returncode == 1
    assert "✓ the password is not, neither" in played.stdout, played.stdout
    assert "DIFFERS: 4. It runs a command in a pod, once a human agrees" in played.stdout
    assert still_running(tmp_path / "demo") == []
    left = [
        each for each in kubectl.get("namespaces")["items"] if each["metadata"]["name"].startswith("chaperone-demo")
    ]
    assert [each for each in left if each["status"]["phase"] != "Terminating"] == []


def test_somebodys_own_cluster_that_is_not_eks(cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> None:
    """With nothing but a kubeconfig, here one with a client certificate, everything is as told."""
    played = demo(tmp_path / "demo", "--kubeconfig", cluster.admin_kubeconfig)
    assert played.returncode == 0, played.stdout
    assert "your cluster takes the role of service account" in played.stdout
    assert still_running(tmp_path / "demo") == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["--role-arn", "arn:x"], "--role-arn goes with --kubeconfig", id="own-flag-alone"),
        pytest.param(["--kubeconfig", "none"], "none cannot be read as a kubeconfig", id="no-such-kubeconfig"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_started(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    done = demo(tmp_path / "demo", *arguments)
    assert done.returncode == 1
    [said] = done.stdout.splitlines()
    assert said.startswith("demo: error: ")
    assert sentence in said


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = demo(tmp_path)
    assert done.returncode == 1
    assert "holds other files (thesis.txt)" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_help_says_what_it_does_to_somebodys_own_cluster(tmp_path: Path) -> None:
    text = demo(tmp_path / "demo", "--help").stdout
    for promise in ("creates one namespace", "deletes that namespace", "--role-arn", "--down", "--env-file"):
        assert promise in text
