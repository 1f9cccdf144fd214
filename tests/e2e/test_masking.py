"""Secret values stay behind, whatever an agent asks for, writes or provokes; keys and everything else are there."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.agent import Agent
from tests.e2e.leaks import core, found
from tests.e2e.secret_objects import MASKED, secret
from tests.support.kubernetes import Kubectl

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


def test_secrets_in_the_environment_of_pods_are_masked(agent: Agent, admin: Kubectl, plant: Callable[[], str]) -> None:
    value = plant()
    container = {"name": "main", "image": "registry.test/web:1", "env": [{"name": "DB_PASSWORD", "value": value}]}
    admin.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "env"}, "spec": {"containers": [container]}})
    for command in ["get pod env -o yaml", "describe pod env", "get pods -o json"]:
        said = agent(*command.split())
        assert "masked:v1:" in said
        assert not found([core(value)], said.encode())


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
