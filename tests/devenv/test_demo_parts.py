"""The demo's own reasoning: telling only what was checked, and reading somebody's kubeconfig."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from scripts.devenv.demo_events import of_object, readable
from scripts.devenv.demo_narrator import Differs, Narrator, shortened
from scripts.devenv.demo_own_cluster import Choices, examine, upstream_of
from scripts.devenv.places import DevelopmentProblem

ROLE = "arn:aws:iam::123456789012:role/agent"
EKS_HOST = "ABCDEF.gr7.eu-west-1.eks.amazonaws.com"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_a_fact_that_does_not_hold_is_not_told() -> None:
    stream = io.StringIO()
    narrator = Narrator(stream)
    narrator.fact(True, "water is wet")
    with pytest.raises(Differs, match=r"water is dry; instead: wet \| very"):
        narrator.fact(False, "water is dry", "wet\nvery\n")
    assert narrator.facts == 1
    assert "✓ water is wet" in stream.getvalue()
    assert "✓ water is dry" not in stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "variables", "coloured"),
    [
        pytest.param(io.StringIO(), {"TERM": "xterm"}, False, id="pipe"),
        pytest.param(Terminal(), {"TERM": "xterm"}, True, id="terminal"),
        pytest.param(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False, id="no-color"),
        pytest.param(Terminal(), {"TERM": "dumb"}, False, id="dumb"),
    ],
)
def test_colours_are_for_terminals(
    stream: io.StringIO, variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    Narrator(stream).heading("a heading")
    assert ("\x1b[1m" in stream.getvalue()) is coloured


def test_it_goes_on_when_nobody_reads_any_more() -> None:
    narrator = Narrator(Closed())
    with narrator.doing("something"):
        narrator.output("a\nb")
    narrator.fact(True, "told to nobody")
    assert narrator.facts == 1


def test_what_fails_is_not_told_as_done() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="no"), Narrator(stream).doing("the impossible"):
        raise ValueError("no")
    assert "✗ the impossible" in stream.getvalue()
    assert "✓" not in stream.getvalue()


def test_long_lines_keep_both_ends() -> None:
    short = shortened("begin" + "x" * 1000 + "end")
    assert short.startswith("begin")
    assert short.endswith("end")
    assert len(short) < 250


def an_event(**more: Any) -> dict[str, Any]:
    return {
        "verb": "get",
        "objectRef": {"resource": "pods", "namespace": "shop", "name": "web", "subresource": "exec"},
        "responseStatus": {"code": 101},
        "requestReceivedTimestamp": "2026-01-02T03:04:05.678900Z",
        "annotations": {"chaperone.dev/decision": "require_approval", "chaperone.dev/approver": "http://x#alice"},
        **more,
    }


def test_an_audit_event_is_one_readable_line() -> None:
    assert readable(an_event()) == "03:04:05  require_approval  101  get pods/exec shop/web  approved by alice"


def test_events_are_found_by_object(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_text(f"{json.dumps(an_event())}\n{json.dumps(an_event(verb='list', objectRef=None))}\n" + '{"torn')
    assert [event["verb"] for event in of_object(log)] == ["get", "list"]
    assert len(of_object(log, "get", "pods", "web")) == 1
    assert of_object(log, "get", "pods", "other") == []


def a_kubeconfig(
    tmp_path: Path, arguments: list[str] | None = None, cluster: dict[str, Any] | None = None, **plugin: Any
) -> Path:
    """Like `aws eks update-kubeconfig` writes it; an entry that is None is left out."""
    standard = {
        "server": f"https://{EKS_HOST}",
        "certificate-authority-data": base64.b64encode(b"pem").decode(),
        **(cluster or {}),
    }
    user = {"exec": {"command": "aws", "args": arguments, **plugin}} if arguments is not None else {"token": "x"}
    document = {
        "clusters": [{"name": "c", "cluster": {name: value for name, value in standard.items() if value is not None}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "mine", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "mine",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(document))
    return path


GET_TOKEN = ["--region", "eu-west-1", "eks", "get-token", "--cluster-name", "prod"]


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        pytest.param(GET_TOKEN, {}, id="aws-eks-get-token"),
        pytest.param(["eks", "get-token", "--cluster-name=prod", "--region=eu-west-1"], {}, id="with-equals-signs"),
        pytest.param(["token", "-i", "prod"], {}, id="aws-iam-authenticator-and-region-from-the-host"),
        pytest.param(None, {"eks_cluster": "prod", "region": "eu-west-1"}, id="flags"),
        pytest.param(["--cluster-name", "other"], {"eks_cluster": "prod"}, id="flags-first"),
    ],
)
def test_name_and_region_are_found(arguments: list[str] | None, flags: dict[str, str], tmp_path: Path) -> None:
    kubeconfig = a_kubeconfig(tmp_path, arguments)
    found = examine(Choices(kubeconfig=kubeconfig, role_arn=ROLE, **flags))
    assert (found.eks_cluster, found.region) == ("prod", "eu-west-1")
    assert (found.host, found.port, found.ca) == (EKS_HOST.lower(), 443, b"pem")


def test_the_profile_of_the_kubeconfig_is_the_gateways(tmp_path: Path) -> None:
    variables = [{"name": "AWS_PROFILE", "value": "work"}, {"name": "OTHER", "value": "x"}]
    kubeconfig = a_kubeconfig(tmp_path, GET_TOKEN, env=variables)
    assert examine(Choices(kubeconfig=kubeconfig, role_arn=ROLE)).env == {"AWS_PROFILE": "work"}


def test_what_the_gateway_gets(tmp_path: Path) -> None:
    choices = Choices(kubeconfig=a_kubeconfig(tmp_path, GET_TOKEN), role_arn=ROLE)
    upstream = upstream_of(choices, tmp_path, "http://127.0.0.1:1", Path("kubectl"), {"agents": ROLE})
    assert upstream.host == upstream.address == f"{EKS_HOST.lower()}:443"
    assert upstream.roles == {"agents": ROLE}
    assert Path(upstream.ca_file).read_bytes() == b"pem"


def test_a_cluster_that_is_not_eks_gives_tokens_of_a_service_account(tmp_path: Path) -> None:
    kubeconfig = a_kubeconfig(tmp_path, None, {"server": "https://10.0.0.1:6443"})
    roles = {"agents": "system:serviceaccount:a:b"}
    upstream = upstream_of(Choices(kubeconfig=kubeconfig), tmp_path, "http://127.0.0.1:1", Path("kubectl"), roles)
    assert (upstream.name, upstream.kubeconfig, upstream.eks_cluster) == ("mine", str(kubeconfig), "")


@pytest.mark.parametrize("server", ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443"])
def test_a_cluster_on_this_machine_has_another_name_for_agents(server: str, tmp_path: Path) -> None:
    kubeconfig = a_kubeconfig(tmp_path, GET_TOKEN, {"server": server})
    upstream = upstream_of(
        Choices(kubeconfig=kubeconfig, role_arn=ROLE), tmp_path, "http://127.0.0.1:1", Path("kubectl"), {"agents": ROLE}
    )
    assert upstream.host == "api.cluster.test:6443"
    assert upstream.address == server.removeprefix("https://")


@pytest.mark.parametrize(
    ("arguments", "cluster", "flags", "sentence"),
    [
        pytest.param(GET_TOKEN, {}, {"role_arn": ""}, "with --role-arn ARN", id="no-role"),
        pytest.param(None, {"server": "https://x.test"}, {}, "add --eks-cluster, --region, and if", id="not-eks"),
        pytest.param(["token"], {}, {}, "add --eks-cluster, and if", id="no-name"),
        pytest.param(GET_TOKEN, {}, {"context": "other"}, "has no context 'other'", id="no-such-context"),
        pytest.param(GET_TOKEN, {"server": "http://x.test"}, {}, "no https:// URL", id="no-tls"),
        pytest.param(GET_TOKEN, {"server": None}, {}, "none is named", id="no-server"),
        pytest.param(GET_TOKEN, {"server": "https://x.test/k8s"}, {}, r"below a path \(/k8s\)", id="below-a-path"),
        pytest.param(GET_TOKEN, {"proxy-url": "http://p"}, {}, "another proxy", id="behind-a-proxy"),
        pytest.param(GET_TOKEN, {"certificate-authority-data": None}, {}, "is not named", id="no-ca"),
        pytest.param(
            GET_TOKEN,
            {"certificate-authority-data": None, "certificate-authority": "gone.pem"},
            {},
            "cannot be read",
            id="ca-gone",
        ),
        pytest.param(GET_TOKEN, {"certificate-authority-data": "A"}, {}, "cannot be read", id="ca-garbage"),
    ],
)
def test_what_does_not_say_enough_is_refused(
    arguments: list[str] | None, cluster: dict[str, Any], flags: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    kubeconfig = a_kubeconfig(tmp_path, arguments, cluster)
    with pytest.raises(DevelopmentProblem, match=sentence):
        examine(Choices(**{"kubeconfig": kubeconfig, "role_arn": ROLE, **flags}))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["{", "[]", "", "current-context: x"])
def test_what_is_no_kubeconfig_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(DevelopmentProblem):
        examine(Choices(kubeconfig=file, role_arn=ROLE))
