from __future__ import annotations

import json
from typing import Any

import pytest

from addons.core.kubeconfig import UnusableKubeconfig
from addons.core.own_user import Plugin, PluginAnswer, is_kept, own_user, plugin_answer

VERSION = "client.authentication.k8s.io/v1"
SECRET = "hunter2"
EXEC = {"apiVersion": VERSION, "command": "aws"}


def kubeconfig(user: Any) -> dict[str, Any]:
    contexts = [{"name": "c", "context": {"cluster": "x", "user": "u"}}]
    return {"users": [{"name": "u", "user": user}], "contexts": contexts, "current-context": "c"}


def exec_of(**fields: Any) -> dict[str, Any]:
    return {"exec": {**EXEC, **fields}}


def plugin(**fields: Any) -> Plugin:
    return Plugin.model_validate({**EXEC, **fields})


def test_whose_context() -> None:
    document = kubeconfig({"token": SECRET})
    user = own_user(document, "", "/etc/k")
    assert (user.token, user.title) == (SECRET, "/etc/k: user u")
    assert user == own_user(document, "c", "/etc/k")
    assert SECRET not in repr(user)
    with pytest.raises(UnusableKubeconfig, match="no context 'x'"):
        own_user(document, "x", "/etc/k")


def test_paths_are_taken_from_the_folder_of_the_kubeconfig() -> None:
    names = {"tokenFile": "t", "client-certificate": "/c", "client-key": "keys/k"}
    user = own_user(kubeconfig(names), "", "/etc/own/k")
    assert (user.token_file, user.certificate, user.key) == ("/etc/own/t", "/c", "/etc/own/keys/k")


@pytest.mark.parametrize(("command", "found"), [("./p", "/etc/./p"), ("bin/p", "/etc/bin/p"), ("p", "p"), ("/p", "/p")])
def test_a_command_with_a_slash_is_a_path(command: str, found: str) -> None:
    user = own_user(kubeconfig(exec_of(command=command)), "", "/etc/k")
    assert user.exec is not None and user.exec.command == found


def told(cluster: dict[str, Any]) -> dict[str, Any]:
    document = {**kubeconfig(exec_of(provideClusterInfo=True)), "clusters": [{"name": "x", "cluster": cluster}]}
    found = own_user(document, "", "/etc/k").exec
    assert found is not None
    spec: dict[str, Any] = json.loads(found.environment["KUBERNETES_EXEC_INFO"])["spec"]
    return spec


def test_a_plugin_that_wants_to_is_told_of_its_cluster() -> None:
    """As that of GKE does."""
    place = {"server": "https://a:6443", "certificate-authority-data": "Q0E=", "tls-server-name": "a"}
    config = {"audience": "a", 7: "b"}
    extensions = [{"name": "another"}, {"name": "client.authentication.k8s.io/exec", "extension": config}]
    assert told({**place, "other": 1}) == {"interactive": False, "cluster": place}
    assert told({**place, "extensions": extensions})["cluster"] == {**place, "config": {"audience": "a", "7": "b"}}


@pytest.mark.parametrize(
    ("cluster", "said"),
    [({"certificate-authority": "ca.pem"}, "write the cluster's certificate-authority-data"), ("x", "no cluster 'x'")],
)
def test_a_cluster_that_a_plugin_cannot_be_told_of(cluster: Any, said: str) -> None:
    with pytest.raises(UnusableKubeconfig, match=f"/etc/k: .*{said}"):
        told(cluster)


def test_what_is_null_or_unknown_is_not_there() -> None:
    """kubectl writes null where there are no arguments."""
    user = own_user(
        kubeconfig(exec_of(args=None, env=None, provideClusterInfo=False, unknown=7) | {"token": None}), "", "k"
    )
    assert user.exec == plugin()


def test_what_a_plugin_is_told() -> None:
    told = plugin(env=[{"name": "WHO", "value": SECRET}, {"name": "EMPTY"}])
    info = told.environment.pop("KUBERNETES_EXEC_INFO")
    assert json.loads(info) == {"apiVersion": VERSION, "kind": "ExecCredential", "spec": {"interactive": False}}
    assert (told.environment["WHO"], told.environment["EMPTY"]) == (SECRET, "")
    assert SECRET not in repr(told)


OLD = "client.authentication.k8s.io/v1alpha1"
MALFORMED = {
    "a list": ({"exec": [SECRET]}, "exec: Input should be a valid dictionary"),
    "no command": (exec_of(command=""), "exec.command: String should have at least 1 character"),
    "a number": (exec_of(command=7), "exec.command: Input should be a valid string"),
    "no version": ({"exec": {"command": "x"}}, "exec.apiVersion: Field required"),
    "another version": (exec_of(apiVersion=OLD), "exec.apiVersion: Input should be"),
    "env as a mapping": (exec_of(env={"A": SECRET}), "exec.env: Input should be a valid tuple"),
    "env without names": (exec_of(env=[{"value": SECRET}]), "exec.env.0.name: Field required"),
    "env of text": (exec_of(env=[f"A={SECRET}"]), "exec.env.0: Input should be a valid dictionary"),
    "env with a number": (exec_of(env=[{"name": "A", "value": 1}]), "exec.env.0.value: Input should be a valid string"),
    "args as text": (exec_of(args=SECRET), "exec.args: Input should be a valid tuple"),
    "somebody to ask": (exec_of(interactiveMode="Always"), "exec.interactiveMode: Input should be 'Never' or"),
}  # fmt: skip


@pytest.mark.parametrize(("user", "said"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_named_and_what_to_write(user: Any, said: str) -> None:
    with pytest.raises(UnusableKubeconfig) as caught:
        own_user(kubeconfig(user), "", "/etc/k")
    message = str(caught.value)
    assert message.startswith(f"/etc/k: user u: {said}")
    assert message.endswith("env: [{name: NAME, value: TEXT}], interactiveMode: Never}")
    assert SECRET not in message


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"token": 7}, "token: Input should be a valid string; write it as text, in quotes"),
        ({"username": SECRET}, "has no credential: it needs token, tokenFile,"),
        ({"client-certificate": "c"}, "client-certificate and client-key need each other"),
        ({"client-key-data": SECRET, "token": "t"}, "client-certificate and client-key need each other"),
    ],
)
def test_what_is_no_credential(user: Any, said: str) -> None:
    with pytest.raises(UnusableKubeconfig) as caught:
        own_user(kubeconfig(user), "", "/etc/k")
    assert said in str(caught.value) and SECRET not in str(caught.value)


def answer(version: str = VERSION, **status: Any) -> bytes:
    return json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status}).encode()


@pytest.mark.parametrize(("stamp", "expires"), [("1970-01-01T00:16:40Z", 1000.0), (None, None)])
def test_an_answer(stamp: str | None, expires: float | None) -> None:
    found = plugin_answer(plugin(), answer(token=SECRET, expirationTimestamp=stamp))
    assert found == PluginAnswer(token=SECRET, certificate="", key="", expires_at=expires)
    assert SECRET not in repr(found)


def test_an_answer_with_a_certificate() -> None:
    found = plugin_answer(plugin(), answer(clientCertificateData="c", clientKeyData=SECRET))
    assert (found.certificate, found.key, SECRET in repr(found)) == ("c", SECRET, False)


BETA = "client.authentication.k8s.io/v1beta1"
UNUSABLE = {
    "no JSON": (SECRET.encode(), "no ExecCredential: it: Invalid JSON"),
    "no object": (b'["hunter2"]', "no ExecCredential: it: Input should be"),
    "another kind": (b'{"apiVersion": "v1", "kind": "K", "status": {}}', "kind: Input should be 'ExecCredential'"),
    "no status": (b'{"apiVersion": "v1", "kind": "ExecCredential"}', "status: Field required"),
    "another version": (answer(BETA, token=SECRET), f"another apiVersion than {VERSION}, which the kubeconfig names"),
    "a token that is none": (answer(token=[SECRET]), "status.token: Input should be a valid string"),
    "no token": (answer(token=""), "no status.token, and with no certificate and key"),
    "half a pair": (answer(clientKeyData=SECRET), "they need each other"),
    "no time": (answer(token=SECRET, expirationTimestamp="soon"), "status.expirationTimestamp: Input should be"),
    "no zone": (answer(token=SECRET, expirationTimestamp="1970-01-01T00:16:40"), "should have timezone info"),
}  # fmt: skip


@pytest.mark.parametrize(("output", "said"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_is_no_answer(output: bytes, said: str) -> None:
    with pytest.raises(UnusableKubeconfig) as caught:
        plugin_answer(plugin(), output)
    assert str(caught.value).startswith("the plugin aws answered with ")
    assert said in str(caught.value) and SECRET not in str(caught.value)


@pytest.mark.parametrize(("expires", "kept"), [(None, True), (1061.0, True), (1060.0, False), (900.0, False)])
def test_until_when_an_answer_is_kept(expires: float | None, kept: bool) -> None:
    assert is_kept(PluginAnswer(token="t", certificate="", key="", expires_at=expires), 1000.0) is kept
