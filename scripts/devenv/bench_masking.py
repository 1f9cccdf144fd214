"""How long masking takes, without a network or a proxy: a list of 500 Secrets, and a megabyte of a log.

What is masked is checked first: nothing that was put in may come out, or its speed would be worth nothing.
"""

from __future__ import annotations

import base64
import json
import statistics
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from addons.core.identity import Identity
from addons.core.masking import Masker, MaskPlan
from addons.core.masking.codec import decode_json
from addons.core.reading import read_request
from addons.core.session import Session
from scripts.devenv.bench_decision import nothing_to_collect
from scripts.devenv.bench_scenarios import WrongAnswers

SECRETS, LOG_BYTES, CHUNK = 500, 1_000_000, 65_536
AIMS_MS = {"list": 12, "walk": 3, "log": 5}
TITLES = {"list": "a list of 500 Secrets", "walk": "of that, the walk", "log": "1 MB of a log"}
TURNS = 5
_WORDS = (
    "GET /api/v1/users 200 error: connection refused http://shop:8080/cart user=alice level=info ts=2026-01-01"
    ' com.acme.Cart.add(Cart.java:12) java.lang.IllegalStateException {"level":"info","token_count":12,"path":"/a/b"}'
    " trace_id=4bf92f3577b34da6a3ce929d0e0e4736 duration=12ms"
).split(" ")
_EVERY = 60
"""Lines of the log for each that holds two secrets."""


def secrets(random: Random) -> tuple[bytes, list[bytes]]:
    """A SecretList as the API server writes it, of about 850 bytes and two values each; and the values."""
    values = [base64.b64encode(random.randbytes(size)) for _ in range(SECRETS) for size in (12, 24)]
    items = [_secret(number, *map(bytes.decode, values[2 * number : 2 * number + 2])) for number in range(SECRETS)]
    listed = {"kind": "SecretList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}
    return json.dumps(listed, separators=(",", ":")).encode() + b"\n", values


def _secret(number: int, user: str, password: str) -> dict[str, Any]:
    fields = {"f:data": {".": {}, "f:password": {}, "f:user": {}}, "f:metadata": {"f:labels": {".": {}, "f:app": {}}}}
    managed = {"manager": "kubectl-create", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z"}
    helm = {"app.kubernetes.io/name": "shop", "app.kubernetes.io/managed-by": "Helm", "app": "shop"}
    written = {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "team-a", "team": "platform-shop"}
    return {
        "metadata": {
            "name": f"shop-database-{number}",
            "namespace": "team-a",
            "uid": f"5f0c2f0e-9c43-4a52-9d4f-{number:012d}",
            "resourceVersion": f"{100000 + number}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {**helm, "helm.sh/chart": "shop-1.2.3", "app.kubernetes.io/instance": "shop"},
            "annotations": {**written, "example.com/purpose": "the database of the shop"},
            "managedFields": [{**managed, "fieldsType": "FieldsV1", "fieldsV1": {**fields, "f:type": {}}}],
        },
        "data": {"password": password, "user": user},
        "type": "Opaque",
    }


def log(random: Random) -> tuple[bytes, list[bytes]]:
    """Lines of many kinds, few of which hold a secret; and the secrets."""
    lines: list[str] = []
    planted: list[bytes] = []
    size = 0
    while size < LOG_BYTES:
        lines.append(" ".join(random.choices(_WORDS, k=12)))
        if len(lines) % _EVERY == 0:
            planted.append(random.randbytes(12).hex().encode())
            lines[-1] += f" password={planted[-1].decode()} postgres://shop:{planted[-1].decode()}@db/shop"
        size += len(lines[-1]) + 1
    return "\n".join(lines).encode(), planted


def measure(masker: Masker, rounds: int) -> dict[str, Any]:
    """Milliseconds of each case, the median of `rounds`. Raises WrongAnswers if something was not masked."""
    random = Random(1)
    listed, values = secrets(random)
    text, planted = log(random)
    session = Session(id="s", identity=Identity(iss="i", sub="s", aud=(), exp=0), connection="c", started_at=0)
    objects = masker.plan(read_request("GET", "/api/v1/secrets", ()), session)
    logs = masker.plan(read_request("GET", "/api/v1/namespaces/a/pods/p/log", ()), session)

    def scan() -> bytes:
        stream = logs.text()
        pieces = [piece for at in range(0, len(text), CHUNK) for piece in stream.feed(text[at : at + CHUNK])]
        return b"".join([*pieces, *stream.finish()])

    def whole() -> bytes:
        return objects.mask_document(listed, "application/json")

    masked, scanned = whole(), scan()
    if any(value in masked for value in values) or any(secret in scanned for secret in planted):
        raise WrongAnswers("what was to be masked was not")
    cases: dict[str, Callable[[], float]] = {
        "list": lambda: _milliseconds(whole),
        "walk": lambda: _walk(objects, listed),
        "log": lambda: _milliseconds(scan),
    }
    with nothing_to_collect():
        taken = {name: list(_turns(case, rounds)) for name, case in cases.items()}
    return {
        "list_bytes": len(listed),
        "values": len(values),
        "log_bytes": len(text),
        "log_secrets": 2 * len(planted),
        "cases": [_report(name, times) for name, times in taken.items()],
    }


def _turns(case: Callable[[], float], rounds: int) -> Iterator[float]:
    for _ in range(rounds):
        yield statistics.median(case() for _ in range(TURNS))


def _milliseconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1000


def _walk(plan: MaskPlan, body: bytes) -> float:
    """Of what is decoded already, and has been searched for what detectors know."""
    value, masker = decode_json(body), plan.objects()
    masker.expect(body)
    return _milliseconds(lambda: masker.mask(value))


def _report(name: str, times: list[float]) -> dict[str, Any]:
    median = round(statistics.median(times), 2)
    return {
        "name": name,
        "title": TITLES[name],
        "ms": median,
        "ms_range": [round(min(times), 2), round(max(times), 2)],
        "aim_ms": AIMS_MS[name],
        "met": median <= AIMS_MS[name],
    }
