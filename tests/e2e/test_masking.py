"""Secret values stay behind, whatever an agent asks for, writes or provokes; keys and everything else are there."""

from __future__ import annotations

import base64
import itertools
import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent
from tests.e2e.leaks import core, found
from tests.e2e.people import Person, pending
from tests.e2e.records import ApiServer, real_writes
from tests.support.kubernetes import Kubectl

MASKED = base64.b64encode(b"masked:v1:").decode()[:12]
"""How each masked value of `data` begins."""


def secret(name: str, **values: str) -> str:
    metadata = {"name": name, "labels": {"app": "shop"}}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values})


def encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


@pytest.fixture(scope="module")
def password(admin: Kubectl, plant: Callable[[], str]) -> str:
    """The value of Secret `db`, which an administrator applied: last-applied-configuration holds it too."""
    value = plant()
    admin("apply", "-f", "-", stdin=secret("db", password=value))
    assert core(value).decode() in str(admin.get("secret", "db")["metadata"]["annotations"])
    assert base64.b64decode(admin.get("secret", "db")["data"]["password"]).decode() == value
    return value


READS = [
    ("get secret db -o json", MASKED),
    ("get secret db -o yaml", MASKED),
    ("get secrets -o yaml", MASKED),
    ("get secrets -o json --show-managed-fields", MASKED),
    ("get secrets -l app=shop -o json", MASKED),
    ("get secrets --field-selector=metadata.name=db -o json", MASKED),
    ("get secret db -o jsonpath={.data.password}", MASKED),
    ("get secret db -o jsonpath={.metadata.annotations}", "masked:v1:"),
    ("get secret db -o go-template={{.data.password|base64decode}}", "masked:v1:"),
    ("get secret db -o custom-columns=V:.data.password", MASKED),
    ("get secrets", "db"),
    ("get secrets -o wide --show-labels", "app=shop"),
    ("describe secret db", "password:"),
    ("get secret,configmap -o yaml", MASKED),
    ("get --raw /api/v1/namespaces/NAMESPACE/secrets/db", MASKED),
    ("get --raw /api/v1/namespaces/NAMESPACE/secrets?limit=1", MASKED),
    ("get --raw /api/v1/watch/namespaces/NAMESPACE/secrets/db?timeoutSeconds=1", MASKED),
    ("get secrets --server-print=false -o wide", "db"),
    ("label secret db seen=yes --overwrite -o json", MASKED),
    ("annotate secret db seen=yes --overwrite -o yaml", MASKED),
    ('patch secret db --type=merge -p {"metadata":{"labels":{"a":"b"}}} -o json', MASKED),
    ("create secret generic dry --from-literal=a=b --dry-run=server -o yaml", MASKED),
]


@pytest.mark.parametrize(("command", "shown"), READS, ids=[command for command, _ in READS])
def test_no_form_of_an_answer_shows_the_value(command: str, shown: str, agent: Agent, password: str) -> None:
    said = agent(*command.replace("NAMESPACE", agent.namespace).split())
    assert shown in said
    assert not found([core(password)], said.encode())


ACCEPTS = [
    "application/vnd.kubernetes.protobuf",
    "application/yaml",
    "application/cbor",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/json;stream=watch",
    "*/*",
]
QUERIES = ["", "?watch=true&timeoutSeconds=1", "?pretty=true", "?includeObject=Object"]


def test_other_forms_than_json_are_masked_or_not_sent(agent: Agent, password: str) -> None:
    def ask(accept_and_query: tuple[str, str]) -> tuple[int, bytes]:
        accept, query = accept_and_query
        with agent.http(Accept=accept) as http:
            reply = http.get(f"/api/v1/namespaces/{agent.namespace}/secrets{query}")
        return reply.status_code, reply.content

    forms = list(itertools.product(ACCEPTS, QUERIES))
    with ThreadPoolExecutor(8) as pool:
        for form, (status, content) in zip(forms, pool.map(ask, forms, timeout=60), strict=True):
            assert status in (200, 406), form
            assert not found([core(password)], content), form


@pytest.mark.parametrize("output", ["json", "yaml", "jsonpath={.data.password} {.metadata.name}\n", "wide"])
def test_a_watch_shows_changes_and_no_value(
    output: str, agent: Agent, admin: Kubectl, plant: Callable[[], str]
) -> None:
    name = f"watched-{output[:4]}"
    before, after = plant(), plant()
    admin("apply", "-f", "-", stdin=secret(name, password=before))
    with agent.stream("get", "secret", name, "-w", "-o", output) as watch:
        watch.until(name)
        admin("apply", "-f", "-", stdin=secret(name, password=after))
        watch.until(name, 3)
        admin("delete", "secret", name)
        watch.until(name, 3)
        said = "".join(watch.lines).encode()
    assert not found([core(before), core(after)], said)


def test_a_change_of_a_value_shows_and_equal_values_do_not(
    agent: Agent, admin: Kubectl, plant: Callable[[], str]
) -> None:
    value = plant()
    admin("apply", "-f", "-", stdin=secret("first", a=value, b=value))
    admin("apply", "-f", "-", stdin=secret("second", a=value))
    first, second = agent.get("secret", "first")["data"], agent.get("secret", "second")["data"]
    assert len({first["a"], first["b"], second["a"]}) == 3, "equal values must not show"
    assert agent.get("secret", "first")["data"] == first, "the same value looks the same again"
    admin("apply", "-f", "-", stdin=secret("first", a=plant(), b=value))
    changed = agent.get("secret", "first")["data"]
    assert (changed["a"] != first["a"], changed["b"] == first["b"]) == (True, True)


def test_applying_a_secret_works_and_is_answered_masked(agent: Agent, admin: Kubectl, plant: Callable[[], str]) -> None:
    first, second = plant(), plant()
    said = agent("apply", "-f", "-", "-o", "yaml", stdin=secret("mine", password=first))
    assert "last-applied-configuration" in said
    assert MASKED in said
    said += agent("apply", "-f", "-", "-o", "json", stdin=secret("mine", password=second))
    assert admin.get("secret", "mine")["data"] == {"password": encoded(second)}
    said += agent("apply", "view-last-applied", "secret", "mine")
    assert not found([core(first), core(second)], said.encode())


CREATES = [
    ["create", "secret", "generic", "generic", "--from-literal=password={value}"],
    ["create", "secret", "docker-registry", "pull", "--docker-username=u", "--docker-password={value}"],
]


@pytest.mark.parametrize("command", CREATES, ids=[command[2] for command in CREATES])
def test_creating_a_secret_works_and_is_answered_masked(
    command: list[str], agent: Agent, admin: Kubectl, plant: Callable[[], str]
) -> None:
    value = plant()
    said = agent(*(word.format(value=value) for word in command), "-o", "json")
    assert MASKED in said
    assert not found([core(value)], said.encode())
    stored = "".join(base64.b64decode(each).decode() for each in admin.get("secret", command[3])["data"].values())
    assert core(value).decode() in stored


def test_the_rest_of_a_secret_can_be_edited(agent: Agent, admin: Kubectl, password: str, tmp_path: Path) -> None:
    """kubectl sends what changed, so the masked value that the editor shows does no harm."""
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/app: shop/app: store/" "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    agent.setting(KUBE_EDITOR=str(editor))("edit", "secret", "db")
    after = admin.get("secret", "db")
    assert (after["metadata"]["labels"]["app"], after["data"]) == ("store", {"password": encoded(password)})
    admin("label", "secret", "db", "app=shop", "--overwrite")


WRITE_BACKS = [["replace", "-f", "-"], ["apply", "-f", "-"], ["apply", "--server-side", "--force-conflicts", "-f", "-"]]


@pytest.mark.parametrize("command", WRITE_BACKS, ids=[" ".join(command) for command in WRITE_BACKS])
def test_a_masked_value_is_never_written_back(
    command: list[str], agent: Agent, admin: Kubectl, password: str, api_server: ApiServer
) -> None:
    shown = yaml.safe_load(agent("get", "secret", "db", "-o", "yaml"))
    for name in ("managedFields", "uid", "creationTimestamp", "resourceVersion", "annotations"):
        shown["metadata"].pop(name, None)
    shown["metadata"]["labels"]["written"] = "back"
    mark = api_server.mark()
    said = agent.refused(*command, stdin=yaml.safe_dump(shown))
    assert "masked-value-written" in said
    assert "leave masked fields out" in said
    assert real_writes(api_server.about(mark, agent.namespace)) == []
    assert admin.get("secret", "db")["data"] == {"password": encoded(password)}


def test_a_masked_value_cannot_be_written_elsewhere(agent: Agent, admin: Kubectl, password: str) -> None:
    shown = agent("get", "secret", "db", "-o", "go-template={{.data.password|base64decode}}")
    assert "masked-value-written" in agent.refused("create", "secret", "generic", "copy", f"--from-literal=a={shown}")
    assert "NotFound" in admin.run("get", "secret", "copy").stderr


PROBES = [
    '[{{"op":"copy","from":"/data/password","path":"/metadata/labels/x"}}]',
    '[{{"op":"copy","from":"/data/password","path":"/metadata/annotations/x"}}]',
    '[{{"op":"move","from":"/data/password","path":"/metadata/labels/x"}}]',
    '[{{"op":"test","path":"/data/password","value":"{right}"}}]',
    '[{{"op":"test","path":"/data/password","value":"wrong"}}]',
    '[{{"OP":"test","PATH":"/data/password","value":"wrong"}}]',
    '[{{"op":"replace","path":"/data/password","value":7}}]',
    '[{{"op":"add","path":"/metadata/labels","value":"7"}}]',
    '[{{"op":"remove","path":"/kind"}}]',
]


@pytest.mark.parametrize("patch", PROBES)
def test_no_patch_asks_or_copies_or_provokes_the_value(patch: str, agent: Agent, admin: Kubectl, password: str) -> None:
    right = encoded(password)
    agent.run("patch", "secret", "db", "--type=json", "-p", patch.format(right=right), "-o", "json")
    printed = "".join(agent.transcript.printed[-2:])
    if right in patch:
        printed = printed.replace(right, "")
    assert not found([core(password)], printed.encode())
    assert admin.get("secret", "db")["data"] == {"password": right}
    assert core(password).decode() not in str(agent.get("secret", "db")["metadata"])


def test_a_guess_is_answered_alike_right_or_wrong(agent: Agent, password: str) -> None:
    said = []
    for guess in (encoded(password), encoded("wrong")):
        patch = json.dumps([{"op": "test", "path": "/data/password", "value": guess}])
        text = agent.refused("patch", "secret", "db", "--type=json", "-p", patch)
        said.append(text.partition("reference:")[0])
    assert said[0] == said[1]
    assert "masked-value-probed" in said[0]


ERRORS = [
    ["patch", "secret", "db", "--type=merge", "-p", '{"data": 7}'],
    ["patch", "secret", "db", "--type=merge", "-p", '{"data": {"password": 7}}'],
    ["patch", "secret", "db", "--type=strategic", "-p", '{"metadata": {"labels": 7}}'],
    ["patch", "secret", "db", "--type=merge", "-p", '{"immutable": "yes"}'],
    ["patch", "secret", "db", "--type=merge", "-p", '{"type": "kubernetes.io/tls"}'],
]


@pytest.mark.parametrize("command", ERRORS, ids=[command[-1] for command in ERRORS])
def test_error_messages_do_not_hold_the_value(command: list[str], agent: Agent, password: str) -> None:
    assert not found([core(password)], agent.refused(*command).encode())


def test_a_value_of_the_callers_own_is_not_echoed_in_errors(agent: Agent, plant: Callable[[], str]) -> None:
    """A Secret that the API server refuses is quoted in its message."""
    value = plant()
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "Not A Name"}, "data": {"password": value}}
    said = agent.refused("create", "-f", "-", stdin=json.dumps(body))
    assert not found([core(value)], said.encode())


def test_deleting_secrets_is_answered_masked(agent: Agent, admin: Kubectl, plant: Callable[[], str]) -> None:
    value = plant()
    admin("apply", "-f", "-", stdin=secret("gone", password=value))
    said = agent("delete", "secret", "gone", "-o", "name") + agent("get", "secrets", "-o", "yaml")
    assert not found([core(value)], said.encode())


def test_secrets_in_the_environment_of_pods_are_masked(agent: Agent, admin: Kubectl, plant: Callable[[], str]) -> None:
    value = plant()
    container = {"name": "main", "image": "registry.test/web:1", "env": [{"name": "DB_PASSWORD", "value": value}]}
    admin.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "env"}, "spec": {"containers": [container]}})
    for command in ["get pod env -o yaml", "describe pod env", "get pods -o json"]:
        said = agent(*command.split())
        assert "masked:v1:" in said
        assert not found([core(value)], said.encode())


def test_the_reply_to_deleting_a_collection_is_masked(
    hasty: Agent, impatient: GatewayEnv, oncall: Person, admin: Kubectl, plant: Callable[[], str]
) -> None:
    """The API server answers with what it deleted, whole."""
    value = plant()
    admin("apply", "-f", "-", stdin=secret("doomed", password=value))
    admin("label", "secret", "doomed", "doomed=yes")
    path = f"/api/v1/namespaces/{hasty.namespace}/secrets?labelSelector=doomed%3Dyes"
    with hasty.http() as http:
        assert http.delete(path).status_code == 429
        oncall.approves(impatient, pending(impatient, requester_sub=hasty.user)["id"])
        reply = http.delete(path)
    assert (reply.status_code, reply.json()["kind"]) == (200, "SecretList")
    assert MASKED in reply.text
    assert not found([core(value)], reply.content)
    assert "NotFound" in admin.run("get", "secret", "doomed").stderr


@pytest.mark.parametrize("path", ["secrets?watch=true", "secrets/db", "pods/none/log?follow=true"])
def test_an_upgrade_is_no_way_around(path: str, agent: Agent, password: str) -> None:
    """The API server would send watch events as WebSocket messages."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Origin": "http://localhost",
    }
    with agent.http(**upgrade) as http:
        reply = http.get(f"/api/v1/namespaces/{agent.namespace}/{path}")
    assert reply.status_code in (400, 403, 404), reply.text
    assert reply.json()["kind"] == "Status"
