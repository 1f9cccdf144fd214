"""The development cluster does what the tests of the gateway rely on."""

import json
import secrets
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import jwt
import pytest
from botocore.exceptions import ClientError

from scripts.devenv import cluster as lifecycle
from scripts.devenv import eks, oidc, plain_http
from scripts.devenv.cluster import Cluster
from scripts.devenv.places import DevelopmentProblem
from scripts.devenv.processes import Child, is_running
from scripts.devenv.state import recorded_children
from tests.support.kubernetes import Kubectl
from tests.support.listeners import listening
from tests.support.timing import quickest

REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


def eks_token(cluster: Cluster, role: str, session_name: str = "agent-7", cluster_name: str | None = None) -> str:
    arn, region = cluster.role_arns[role], cluster.sts_region
    credentials = eks.assume_role(cluster.sts_endpoint_url, region, arn, session_name)
    return eks.token(credentials, region, cluster_name or cluster.eks_cluster_name)


def who_am_i(cluster: Cluster, token: str) -> httpx.Response:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    verify = ssl.create_default_context(cafile=cluster.api_ca)
    with httpx.Client(base_url=cluster.api_url, verify=verify, trust_env=False) as client:
        return client.post(path, json=REVIEW, headers={"Authorization": f"Bearer {token}"})


def ended(children: list[Child]) -> bool:
    deadline = time.monotonic() + 15
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(map(is_running, children))


@pytest.mark.alone
def test_a_cluster_is_ready_in_ten_seconds_and_ends_with_its_owner(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    try:

        def start_anew() -> None:
            lifecycle.stop(tmp_path)
            lifecycle.start(tmp_path, owner_pid=owner.pid)

        assert quickest(start_anew, 10) < 10
        children = recorded_children(tmp_path)
        assert lifecycle.load(tmp_path) is not None
        assert children
    finally:
        owner.kill()
        owner.wait()
    assert ended(children)
    assert lifecycle.load(tmp_path) is None


def test_the_commands_start_describe_and_stop_a_second_cluster(cluster: Cluster, tmp_path: Path) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "scripts.devenv.cli", *arguments, "--state", str(tmp_path)]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)

    missing = command("env")
    assert missing.returncode == 1
    assert "start it with scripts/cluster up --state" in missing.stderr
    assert command("up").returncode == 0
    children = recorded_children(tmp_path)
    described = json.loads(command("env", "-o", "json").stdout)
    assert described["state_dir"] == str(tmp_path)
    assert described["api_url"] != cluster.api_url
    assert Path(described["api_ca"]).read_bytes() != Path(cluster.api_ca).read_bytes()
    assert f"export KUBECONFIG={described['admin_kubeconfig']}" in command("env").stdout
    assert command("status").returncode == 0
    assert "already up" in command("up").stderr
    assert recorded_children(tmp_path) == children
    assert command("down").returncode == 0
    assert ended(children)
    assert command("status").returncode == 1
    assert lifecycle.load(Path(cluster.state_dir)) == cluster, "another cluster was touched"


def test_a_folder_with_other_files_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DevelopmentProblem, match="holds other files"):
        lifecycle.start(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_every_server_listens_on_loopback_only(cluster: Cluster) -> None:
    if not Path("/proc/net/tcp").exists():
        pytest.skip("only Linux tells which process listens where")
    places = {place for child in recorded_children(Path(cluster.state_dir)) for place in listening(child.pid)}
    assert {address for address, _ in places} == {"0100007F"}


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_an_eks_token_is_the_group_of_its_role(cluster: Cluster, role: str) -> None:
    answer = who_am_i(cluster, eks_token(cluster, role))
    user = answer.json()["status"]["userInfo"]
    assert user["username"] == f"arn:aws:sts::123456789012:assumed-role/agent-{role}/agent-7"
    assert f"chaperone:{role}" in user["groups"]


def test_a_token_that_sts_would_refuse_is_401(cluster: Cluster) -> None:
    good = eks_token(cluster, "view", "refused")
    for bad in ["nonsense", good[:-8] + "AAAAAAAA", eks_token(cluster, "view", cluster_name="production")]:
        assert who_am_i(cluster, bad).status_code == httpx.codes.UNAUTHORIZED


def test_a_role_that_does_not_exist_cannot_be_assumed(cluster: Cluster) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        eks.assume_role(cluster.sts_endpoint_url, cluster.sts_region, "arn:aws:iam::123456789012:role/root", "agent-7")


def test_rights_follow_the_role(cluster: Cluster, namespace: Kubectl) -> None:
    def may(role: str, verb: str, resource: str) -> bool:
        token = eks_token(cluster, role)
        arguments = ["auth", "can-i", verb, resource, f"--token={token}", f"--server={cluster.api_url}"]
        config = Path(cluster.state_dir) / "nobody.kubeconfig"
        config.write_text("{}")
        agent = Kubectl(path=cluster.kubectl, kubeconfig=str(config), namespace=namespace.namespace)
        return agent.run(*arguments, f"--certificate-authority={cluster.api_ca}").stdout.strip() == "yes"

    assert may("view", "list", "pods")
    assert may("view", "get", "secrets")
    assert not may("view", "create", "pods/exec")
    assert may("edit", "create", "pods/exec")
    assert not may("edit", "create", "clusterrolebindings")
    assert may("admin", "create", "clusterrolebindings")


def test_a_deployment_rolls_out(namespace: Kubectl) -> None:
    namespace("create", "deployment", "web", "--image=registry.test/web:1", "--replicas=3")
    namespace("rollout", "status", "deployment/web", "--timeout=60s")
    assert namespace.get("deployment", "web")["status"]["readyReplicas"] == 3


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_exec_runs_a_command(namespace: Kubectl, websockets: str) -> None:
    pod = namespace.run_pod()
    both = Kubectl(
        path=namespace.path,
        kubeconfig=namespace.kubeconfig,
        namespace=namespace.namespace,
        env={"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets},
    )
    done = both.run("exec", pod, "--", "sh", "-c", "echo to-stdout; echo to-stderr >&2")
    assert (done.returncode, done.stdout.strip()) == (0, "to-stdout")
    assert "to-stderr" in done.stderr


def test_logs_are_those_of_the_log_file(cluster: Cluster, namespace: Kubectl) -> None:
    pod = namespace.run_pod()
    with Path(cluster.pod_log).open("a") as log:
        log.write("2026-01-01T00:00:01Z stdout F a line of this test\n")
    assert "a line of this test" in namespace("logs", pod)


@contextmanager
def running(kubectl: Kubectl, folder: Path, *arguments: str) -> Iterator[Callable[[Callable[[str], bool]], str]]:
    """Runs kubectl in the background; yields a function that waits until its output satisfies a test and returns it."""
    with (folder / "output").open("wb") as file:
        process = subprocess.Popen(kubectl.command(*arguments), stdout=file, stderr=file, env=kubectl.environment())

    def output(enough: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + 15
        while not enough(text := (folder / "output").read_text()):
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
        return text

    try:
        yield output
    finally:
        process.kill()
        process.wait()


def test_port_forward_reaches_the_web_server(namespace: Kubectl, tmp_path: Path) -> None:
    pod = namespace.run_pod()
    with running(namespace, tmp_path, "port-forward", f"pod/{pod}", ":80", "--address=127.0.0.1") as output:
        port = output(lambda text: "->" in text).split(":")[1].split(" ")[0]
        assert plain_http.get(f"http://127.0.0.1:{port}/").text == "hello from the pod\n"


def test_attach_shows_what_the_pod_writes_from_then_on(cluster: Cluster, namespace: Kubectl, tmp_path: Path) -> None:
    pod = namespace.run_pod()

    def attached(text: str) -> bool:
        with Path(cluster.pod_log).open("a") as log:
            log.write("2026-01-01T00:00:02Z stdout F written while attached\n")
        return "written while attached" in text

    with running(namespace, tmp_path, "attach", pod, "--quiet") as output:
        output(attached)


def test_the_audit_log_tells_who_asked_for_what(cluster: Cluster, namespace: Kubectl) -> None:
    password = secrets.token_hex(16)
    namespace("create", "secret", "generic", "audited", f"--from-literal=password={password}")
    lines = Path(cluster.audit_log).read_text().splitlines()
    events = [json.loads(line) for line in lines if namespace.namespace in line and '"audited"' in line]
    assert {event["verb"] for event in events} >= {"create"}
    assert {event["user"]["username"] for event in events} == {"admin"}
    assert password not in "".join(lines)


def test_the_openid_provider_issues_tokens_that_its_keys_verify(cluster: Cluster) -> None:
    sub = "agent-7@example.com"
    token = oidc.mint(cluster.oidc_issuer, sub, groups=["sre"], claims={"act": {"sub": "planner"}}, aud="chaperone")
    metadata = plain_http.get(f"{cluster.oidc_issuer}/.well-known/openid-configuration").json()
    keys = jwt.PyJWKSet.from_dict(plain_http.get(metadata["jwks_uri"]).json())
    key = next(iter(keys.keys))
    claims = jwt.decode(token, key, algorithms=["RS256"], audience="chaperone", issuer=cluster.oidc_issuer)
    assert (claims["sub"], claims["groups"], claims["act"]) == (sub, ["sre"], {"sub": "planner"})
