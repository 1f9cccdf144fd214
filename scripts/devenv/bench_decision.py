"""How long a decision takes: one request read, its grant chosen, and judged, without a network, a proxy or a disk.

The same is measured without any rule, by turns, so that what the rules cost is a ratio that other machines share. Every
request has another name than the last: what the gateway remembers of repeated requests does not count here.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import orjson

from addons.core.access import AccessPolicy, choose, compile_access
from addons.core.decision import Decision, Thresholds, Verdict
from addons.core.documents import parse_documents
from addons.core.grant import Grant
from addons.core.guardrails import Facts, GuardrailSet
from addons.core.identity import Identity
from addons.core.identity_provider import compile_identity
from addons.core.reading import read
from addons.core.resources import BUILTIN_AND_OPTIONAL
from addons.core.session import Session
from scripts.devenv.bench_scenarios import TABLE, WrongAnswers

READ_AIM_US, CREATE_AIM_US = 150, 1000
BODY_BYTES = 20_000
WARM_UP = 200
_NAMES = 10_000
"""More than the gateway remembers request lines."""
_ACCESS = """\
apiVersion: chaperone/v1
kind: IdentityProvider
metadata: {name: bench}
spec: {issuer: "https://issuer.test", audiences: [chaperone]}
---
apiVersion: chaperone/v1
kind: Access
metadata: {name: bench}
spec: {groups: [bench], connections: [bench], role: "arn:aws:iam::123456789012:role/agent-edit"}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of request. `{}` in the target is where its name goes; the aim is for the median, in microseconds."""

    name: str
    title: str
    method: str
    target: str
    aim_us: int
    body: bytes = b""

    def targets(self) -> Iterator[str]:
        """Different ones, over and over."""
        return cycle([self.target.format(f"web-{number:05}") for number in range(_NAMES)])


def pod(**security: Any) -> dict[str, Any]:
    """A Pod of a good 20 kB in JSON, as workloads grow them: three containers with many variables and mounts."""
    mounts = [{"name": f"volume-{number}", "mountPath": f"/var/lib/web/{number}"} for number in range(10)]
    env = [{"name": f"SETTING_{number}", "value": f"the value of setting {number} of the web"} for number in range(82)]
    container = {
        "image": "registry.test/web@sha256:" + 64 * "0",
        "env": env,
        "volumeMounts": mounts,
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 5},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            **security,
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "team": "shop"}},
        "spec": {
            "automountServiceAccountToken": False,
            "serviceAccountName": "web",
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": name, **container} for name in ("web", "worker", "proxy")],
            "volumes": [{"name": mount["name"], "configMap": {"name": mount["name"]}} for mount in mounts],
            "terminationGracePeriodSeconds": 30,
        },
    }


CASES = (
    Case(
        name="get-pod",
        title="get a pod",
        method="GET",
        target="/api/v1/namespaces/shop/pods/{}",
        aim_us=READ_AIM_US,
    ),
    Case(
        name="list-secrets",
        title="list Secrets",
        method="GET",
        target="/api/v1/namespaces/{}/secrets?limit=500",
        aim_us=READ_AIM_US,
    ),
    Case(
        name="create-pod",
        title="create a Pod of 20 kB",
        method="POST",
        target="/api/v1/namespaces/shop/pods?fieldManager={}",
        aim_us=CREATE_AIM_US,
        body=orjson.dumps(pod()),
    ),
)
_PRIVILEGED = Case(
    name="", title="", method="POST", target=CASES[2].target, aim_us=0, body=orjson.dumps(pod(privileged=True))
)


class Desk:
    """Where decisions are made, by one set of rules."""

    def __init__(self, guardrails: GuardrailSet) -> None:
        documents, _ = parse_documents(_ACCESS, "bench")
        self._guardrails = guardrails
        self._access = AccessPolicy(compile_access(documents)[0], compile_identity(documents)[0])
        self._now = time.time()
        self._identity = Identity(
            iss="https://issuer.test",
            sub="bench",
            aud=("chaperone",),
            exp=self._now + 3600,
            groups=("bench",),
            claims={"iat": int(self._now)},
        )
        self._session = Session(id="bench", identity=self._identity, connection="bench", started_at=self._now)

    def decide(self, case: Case, target: str) -> Decision:
        """All of it, as the steps `commands`, `access` and `guardrails` do it. Raises WrongAnswers if none is due."""
        headers = [("Accept", TABLE), ("Content-Type", "application/json")]
        reading = read(case.method, target, headers, case.body, BUILTIN_AND_OPTIONAL)
        if reading.request is None or reading.refusal is not None:
            raise WrongAnswers(f"{case.name}: not read: {reading.refusal}")
        grants = self._access.grants(self._session, self._now)
        grant = choose(grants, reading.request) if isinstance(grants, tuple) else grants
        if not isinstance(grant, Grant):
            raise WrongAnswers(f"{case.name}: no access: {grant}")
        candidates = self._guardrails.candidates(reading.request, "bench")
        self._guardrails.needs(candidates, reading.request)
        facts = Facts(
            request=reading.request, object=reading.body.mapping, identity=self._identity, grant=grant,
            connection="bench", now=self._now,
        )  # fmt: skip
        return self._guardrails.judge(candidates, facts, Thresholds())


def measure(guardrails: GuardrailSet, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """One report per case: median and 99th percentile with all rules, the median without any, and their ratio.

    Raises WrongAnswers if these rules let a privileged Pod pass: their speed would be worth nothing.
    """
    full, empty = Desk(guardrails), Desk(GuardrailSet())
    if full.decide(_PRIVILEGED, next(_PRIVILEGED.targets())).verdict is not Verdict.DENY:
        raise WrongAnswers("the rules under measurement do not deny a privileged Pod")
    with nothing_to_collect():
        return [_report(case, [_round(case, (full, empty), seconds) for _ in range(rounds)]) for case in CASES]


@contextmanager
def nothing_to_collect() -> Iterator[None]:
    """As in a gateway's worker: what was loaded at the start is not collected again."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _round(case: Case, desks: Sequence[Desk], seconds: float) -> list[list[float]]:
    """Microseconds of single decisions, desk by desk, made in turn; the first ones are not counted."""
    targets: Iterator[str] = case.targets()
    taken: list[list[float]] = [[] for _ in desks]
    for _ in range(WARM_UP):
        for desk in desks:
            desk.decide(case, next(targets))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for desk, times in zip(desks, taken, strict=True):
            target = next(targets)
            began = time.perf_counter()
            desk.decide(case, target)
            times.append((time.perf_counter() - began) * 1e6)
    return taken


def _report(case: Case, rounds: Sequence[Sequence[Sequence[float]]]) -> dict[str, Any]:
    pairs = [(statistics.median(full), statistics.median(empty)) for full, empty in rounds]
    p50 = statistics.median(full for full, _ in pairs)
    return {
        "name": case.name,
        "title": case.title,
        "p50_us": round(p50, 1),
        "p50_us_range": [round(pick(full for full, _ in pairs), 1) for pick in (min, max)],
        "p99_us": round(statistics.median(statistics.quantiles(full, n=100)[98] for full, _ in rounds), 1),
        "empty_p50_us": round(statistics.median(empty for _, empty in pairs), 1),
        "ratio": round(statistics.median(full / empty for full, empty in pairs), 2),
        "aim_us": case.aim_us,
        "met": p50 <= case.aim_us,
    }
