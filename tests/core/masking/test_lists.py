"""Lists in pieces: any chunking gives what masking the whole gives, early, and what was cut off has no end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addons.core.masking import Unmaskable
from addons.core.masking.lists import ListMasker, NotWhole
from tests.core.masking.support import AWS, compact, delivered, request, secret

NS = "/api/v1/namespaces/team-a"
COLUMNS = [{"name": name, "type": "string", "description": '],"rows":[{'} for name in ("Name", "Odd")]


def bare(number: int) -> dict[str, Any]:
    return {"metadata": {"name": f"s{number}", "uid": f"u{number}"}, "data": {"password": "aHVudGVyMg=="}}


def claims(number: int) -> dict[str, Any]:
    """A StatefulSet, within which something begins as an item does; its braces do not add up."""
    template = {"metadata": {"name": "c"}, "spec": {"note": "}},{"}}
    annotations = {"x": f'{{"odd": "}}" , {AWS if number % 2 else ""}'}
    return {
        "metadata": {"name": f"s{number}", "annotations": annotations},
        "spec": {"volumeClaimTemplates": [template] * 3},
    }


def custom(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "x.io/v1",
        "kind": "Thing",
        "metadata": {"name": f"t{number}"},
        "spec": {"u": f"amqp://a:b{number}@c"},
    }


def row(number: int, shown: bool) -> dict[str, Any]:
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": f"s{number}"}}
    return {"cells": [f"s{number}", "hidden"], "object": partial if shown else None}


def listed(kind: str, version: str, items: list[Any], **more: Any) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": "1"}, **more, "items": items}


def table(rows: list[Any], **more: Any) -> dict[str, Any]:
    whole = listed("Table", "meta.k8s.io/v1", rows, **more)
    return {("rows" if key == "items" else key): value for key, value in whole.items()}


SECRETS = f"GET {NS}/secrets"
CUSTOM = {
    "apiVersion": "x.io/v1",
    "items": [custom(n) for n in range(4)],
    "kind": "ThingList",
    "metadata": {"continue": ""},
}
SERVICES = [{"metadata": {"name": f"s{n}"}, "spec": {"ports": [{"port": 1}, {"port": 2}]}} for n in range(9)]
LISTS: dict[str, tuple[str, dict[str, Any]]] = {
    "secrets": (SECRETS, listed("SecretList", "v1", [bare(n) for n in range(5)])),
    "nothing to mask": ("GET /api/v1/services", listed("ServiceList", "v1", SERVICES)),
    "nested": ("GET /apis/apps/v1/statefulsets", listed("StatefulSetList", "apps/v1", [claims(n) for n in range(4)])),
    "custom": ("GET /apis/x.io/v1/things", CUSTOM),
    "mixed": (SECRETS, listed("List", "v1", [secret(f"s{n}") for n in range(3)])),
    "plain table": ("GET /api/v1/pods", table([row(n, False) for n in range(9)], columnDefinitions=COLUMNS)),
    "table": (SECRETS, table([row(n, n % 2 > 0) for n in range(5)], columnDefinitions=COLUMNS)),
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "one": (SECRETS, listed("SecretList", "v1", [bare(1)])),
    "none": (SECRETS, listed("SecretList", "v1", [])),
    "a table without columns": ("GET /api/v1/pods", table([row(1, True)])),
    "odd first keys": (SECRETS, listed("SecretList", "v1", [bare(1), {"data": {"a": "eA=="}}, bare(2)])),
    "no list": (SECRETS, listed("Secret", "v1", [{"a": 1}])),
    "a Status": (SECRETS, {"kind": "Status", "apiVersion": "v1", "message": 'no "value"'}),
}


def stream(target: str) -> ListMasker:
    made = delivered().plan(request(target)).list()
    assert isinstance(made, ListMasker)
    return made


def fed(masker: ListMasker, body: bytes, *cuts: int) -> Iterator[bytes]:
    begins = 0
    for cut in (*sorted(cuts), len(body)):
        yield from masker.feed(body[begins:cut])
        begins = cut
    yield from masker.finish()


@pytest.mark.parametrize("name", [*LISTS, *OTHERS])
@settings(max_examples=60)
@given(data=st.data())
def test_any_chunking_gives_what_masking_the_whole_gives(name: str, data: st.DataObject) -> None:
    target, value = {**LISTS, **OTHERS}[name]
    body = json.dumps(value, indent=2).encode() if data.draw(st.integers(0, 9)) == 0 else compact(value)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=12))
    whole = delivered().plan(request(target)).mask_document(body, "application/json")
    pieces = list(fed(stream(target), body, *cuts))
    assert json.loads(b"".join(pieces)) == json.loads(whole)
    assert all(pieces)


@pytest.mark.parametrize("name", LISTS)
def test_items_are_passed_on_as_they_come_and_not_kept(name: str) -> None:
    target, value = LISTS[name]
    masker, body = stream(target), compact(value)
    kept = []
    for at in range(len(body)):
        masker.feed(body[at : at + 1])
        kept.append(len(masker._buffer))
    assert max(kept) < len(body) * 0.7
    assert masker.finish()


@pytest.mark.parametrize("name", LISTS)
def test_what_is_cut_off_is_not_ended(name: str) -> None:
    target, value = LISTS[name]
    body = compact(value)
    for end in (len(body) - 3, len(body) // 2 + 30):
        with pytest.raises(Unmaskable):
            list(fed(stream(target), body[:end], len(body) // 2))
    assert stream(target).failure("x") == b"\n"


@pytest.mark.parametrize("more", [{"rows": [1]}, {"rows": []}, {"extra": 1}])
def test_a_list_that_holds_more_is_not_ended(more: dict[str, Any]) -> None:
    _, value = LISTS["secrets"]
    with pytest.raises(Unmaskable, match="more than items"):
        list(fed(stream(f"GET {NS}/secrets"), compact({**value, **more})))


def test_a_head_that_is_no_json_is_left_to_the_end() -> None:
    masker = stream(SECRETS)
    assert masker.feed(b'{"kind":x,"items":[{"metadata":{}},{"metadata":{}}]}') == []
    with pytest.raises(Unmaskable):
        masker.finish()


def test_an_item_that_cannot_be_masked_ends_it_at_once() -> None:
    body = b'{"kind":"Table","apiVersion":"v1","rows":[{"cells":7},{"cells":[1]}'
    with pytest.raises(Unmaskable) as caught:
        stream(f"GET {NS}/secrets").feed(body)
    assert not isinstance(caught.value, NotWhole)


def test_an_endless_item_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.core.masking.lists.MAX_ITEM", 100)
    with pytest.raises(Unmaskable, match="larger than 100"):
        stream(f"GET {NS}/secrets").feed(b'{"kind":"SecretList","apiVersion":"v1","items":[{"metadata":' + b"x" * 200)


def test_not_every_guess_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.core.masking.lists._MAX_TRIES", 1)
    target, value = LISTS["nested"]
    body = compact(value)
    assert json.loads(b"".join(fed(stream(target), body, len(body) - 60)))["items"]


def test_nothing_is_nothing() -> None:
    assert list(fed(stream(f"GET {NS}/secrets"), b"")) == []


@pytest.mark.parametrize("name", ["no list", "a Status", "none"])
def test_what_is_no_list_of_items_is_kept_and_masked_in_the_end(name: str) -> None:
    target, value = OTHERS[name]
    masker, body = stream(target), compact(value)
    assert masker.feed(body) == []
    assert masker.finish() == [delivered().plan(request(target)).mask_document(body, "application/json")]
