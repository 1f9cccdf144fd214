"""Which masked values compare: the same field of the same object on the same cluster, and nothing else (B-73)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from addons.core.identity import Identity
from addons.core.masking.placeholder import MARKER, Fingerprints
from addons.core.session import Session
from tests.core.masking.support import AWS, KEY, b64, compact, delivered, request, secret

WHO = Identity(iss="https://idp", sub="agent", aud=("c",), exp=1.0)
ENCODED = re.compile(r"bWFza2VkOnYxO[A-Za-z0-9+/=]*|masked:v1:[0-9a-f]{16}")


def session(connection: str = "prod", name: str = "s1") -> Session:
    return Session(id=name, identity=WHO, connection=connection, started_at=0.0)


def marks(target: str, value: Any, of: Session) -> list[str]:
    """The placeholders in a masked reply, in order."""
    plan = delivered().plan(request(target), of)
    return ENCODED.findall(plan.mask_document(compact(value), "application/json").decode())


def stored(uid: str = "u1", **more: Any) -> dict[str, Any]:
    made = secret(**more)
    made["metadata"]["uid"] = uid
    return made


SECRET = "GET /api/v1/namespaces/team-a/secrets/db"


@pytest.mark.parametrize(
    ("changed", "of", "same"),
    [
        (stored(), session(), True),
        (stored(), session(name="s2"), True),
        (stored(value="another-value"), session(), False),
        (stored(uid="u2"), session(), False),
        (stored(), session("staging"), False),
        (stored(name="db2"), session(), False),
    ],
    ids=["nothing", "the session", "the value", "an object made anew", "the cluster", "the name"],
)
def test_what_else_may_differ(changed: dict[str, Any], of: Session, same: bool) -> None:
    first, again = marks(SECRET, stored(), session()), marks(SECRET, changed, of)
    assert len(first) == len(again) == 2, "the value, and its copy in last-applied-configuration"
    assert [one == other for one, other in zip(first, again, strict=True)] == [same, same]
    assert first[0] != first[1]


def test_what_is_found_in_texts_of_objects_is_bound_to_its_place() -> None:
    def config(uid: str, key: str) -> dict[str, Any]:
        metadata = {"name": "c", "namespace": "a", "uid": uid}
        return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {key: f"key {AWS}"}}

    target = "GET /api/v1/namespaces/a/configmaps/c"
    (first,) = marks(target, config("u1", "a"), session())
    assert marks(target, config("u1", "a"), session(name="s2")) == [first]
    assert marks(target, config("u2", "a"), session()) != [first]
    assert marks(target, config("u1", "b"), session()) != [first]


def test_rows_of_a_table_do_not_compare() -> None:
    columns = [{"name": "Name"}, {"name": "Odd"}]
    rows: list[dict[str, Any]] = [{"cells": [name, "same"], "object": None} for name in ("a", "b")]
    objects = [{"kind": "PartialObjectMetadata", "metadata": {"uid": uid, "name": "n"}} for uid in ("u1", "u2")]
    rows += [{"cells": ["n", "same"], "object": each} for each in objects]
    table = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": columns, "rows": rows}
    found = marks("GET /api/v1/namespaces/a/secrets", table, session())
    assert len(found) == len(set(found)) == 4


@pytest.mark.parametrize(
    ("of", "same"),
    [(session(), True), (session(name="s2"), False), (session("staging"), False)],
    ids=["the same", "another session", "another cluster"],
)
def test_what_is_found_in_free_text_compares_within_a_session(of: Session, same: bool) -> None:
    def log(whose: Session) -> bytes:
        masker = delivered().plan(request("GET /api/v1/namespaces/a/pods/p/log"), whose).text()
        return b"".join([*masker.feed(f"key {AWS}\n".encode()), *masker.finish()])

    assert MARKER.encode() in log(of)
    assert (log(session()) == log(of)) == same


def test_text_and_objects_do_not_compare() -> None:
    fingerprints = Fingerprints(KEY)
    assert fingerprints.of("object", "prod").placeholder("a", "v") != fingerprints.of("text", "prod").placeholder(
        "a", "v"
    )
    assert fingerprints.of("ab", "c").placeholder("a", "v") != fingerprints.of("a", "bc").placeholder("a", "v")


def test_dry_runs_stay_silent() -> None:
    silent = Fingerprints(KEY).silent()
    assert silent.of("object", "prod").placeholder("a", "v") == silent.placeholder("a", "other")


def test_base64_stays_base64() -> None:
    plan = delivered().plan(request(SECRET), session())
    masked = json.loads(plan.mask_document(compact(stored()), "application/json"))
    assert masked["data"]["password"] != b64("hunter2-hunter2")
    assert ENCODED.fullmatch(masked["data"]["password"])
