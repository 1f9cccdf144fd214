"""What is asked of every arm: the request, the protocol, and how connections are used."""

from __future__ import annotations

from dataclasses import dataclass

HOST = "bench.cluster.test"
"""What the load calls the cluster; nothing resolves it, so nothing but the proxy can be what answers."""
_NAMESPACE = "/api/v1/namespaces/default"
TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


class WrongAnswers(RuntimeError):
    """What was measured did not do what was asked of it, so its speed is worth nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A GET as kubectl sends it. `contains` is in every reply; `secret` only in replies that nobody masked."""

    name: str
    title: str
    path: str
    accept: str
    contains: str
    secret: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One request, asked again and again."""

    name: str
    title: str
    request: Request
    http2: bool
    connections: int
    streams: int = 1
    new_connections: bool = False
    rate: int = 0
    """Requests a second at most; 0: as fast as they are answered."""


REQUESTS = (
    Request(
        name="get",
        title="get a pod (Table, 5 kB)",
        path=f"{_NAMESPACE}/pods/web-7d9f8c6b5-00000",
        accept=TABLE,
        contains="web-7d9f8c6b5-00000",
    ),
    Request(
        name="list",
        title="list 500 pods (Table, 1.4 MB, compressed 39 kB)",
        path=f"{_NAMESPACE}/pods?limit=500",
        accept=TABLE,
        contains="web-7d9f8c6b5-00499",
    ),
    Request(
        name="secrets",
        title="list 100 Secrets (JSON, 119 kB)",
        path=f"{_NAMESPACE}/secrets?limit=500",
        accept="application/json",
        contains="database-099",
        secret="Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ",
    ),
)
HEADLINE = "get-h1-20"
"""The scenario whose numbers are at the top level of the JSON."""
QUICK = (HEADLINE, "get-h1-1", "get-h1-new", "secrets-h1-20")
STANDARD = tuple(
    f"{request}-{protocol}-{mode}"
    for protocol in ("h1", "h2")
    for request, mode in (
        ("get", "20"),
        ("get", "1"),
        ("get", "new"),
        # One at a time: twenty lists in flight would measure how long a queue is.
        ("list", "1"),
        ("list", "new"),
        ("secrets", "20"),
        ("secrets", "new"),
    )
)


def every_scenario() -> dict[str, Scenario]:
    """All scenarios by name, the standard ones first and in their order."""
    names = [
        f"{request.name}-{protocol}-{mode}" for request in REQUESTS for protocol in ("h1", "h2") for mode in _MODES
    ]
    return {name: _scenario(name) for name in [*STANDARD, *(name for name in names if name not in STANDARD)]}


_MODES = ("20", "1", "new")


def _scenario(name: str) -> Scenario:
    request_name, protocol, mode = name.split("-")
    request = next(request for request in REQUESTS if request.name == request_name)
    http2 = protocol == "h2"
    # Twenty requests at once are twenty connections in HTTP/1.1, and in HTTP/2 one with twenty streams, as in Go.
    shape, how = {
        "1": ((1, 1), "one connection"),
        "20": ((1, 20), "one connection, 20 streams") if http2 else ((20, 1), "20 connections"),
        "new": ((4, 1), "a new connection per request, 4 at a time"),
    }[mode]
    return Scenario(
        name=name,
        title=f"{request.title}, {'HTTP/2' if http2 else 'HTTP/1.1'}, {how}",
        request=request,
        http2=http2,
        connections=shape[0],
        streams=shape[1],
        new_connections=mode == "new",
    )
