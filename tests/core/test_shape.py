"""Which requests are alike: what an approval that stands covers, and above all what it does not (B-69)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from addons.core.approval_terms import NO_TERMS, Offer, Reuse, Terms
from addons.core.decision import Match, Verdict
from addons.core.guardrails.selftest import request_of
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.shape import offered, shape

AGENT = Identity(iss="https://idp", sub="agent", aud=(), exp=1, owner="team")
SESSION = Terms(reuse=Reuse.SESSION, max_seconds=3600)
ANY_NAME = replace(SESSION, any_name=True)
POD = "/api/v1/namespaces/shop/pods/web-1"
EXEC = f"{POD}/exec?command=psql&command=-c&container=db&stdout=true"


def asks(rule: str = "exec", terms: Terms = SESSION, reason: str = "runs code") -> Match:
    return Match(rule=rule, verdict=Verdict.REQUIRE_APPROVAL, risk=60, reason=reason, terms=terms)


def request(line: str) -> KubeRequest:
    return replace(request_of(line), target=line.partition(" ")[2])


def of(line: str = f"GET {EXEC}", terms: Terms = SESSION, **changes: Any) -> str:
    values: dict[str, Any] = {
        "identity": AGENT, "connection": "prod", "intent": "INC-1", "request": request(line),
        "asking": (asks(terms=terms),), "uid": "u1", "body": b"", "content_type": "", "objects": (None, None),
    }  # fmt: skip
    return shape(**values | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": replace(AGENT, sub="other")},
        {"identity": replace(AGENT, iss="https://other")},
        {"identity": replace(AGENT, act="bot")},
        {"identity": replace(AGENT, owner="")},
        {"connection": "staging"},
        {"intent": "INC-2"},
        {"uid": "u2"},
        {"body": b"x"},
        {"content_type": "application/json"},
        {"asking": (asks("another-rule"),)},
        {"asking": (asks(reason="the policy service says otherwise"),)},
        {"asking": (asks(), asks("one-more"))},
        {"asking": (asks(terms=replace(SESSION, count=2)),)},
        {"asking": (asks(terms=replace(SESSION, groups=("oncall",))),)},
        {"asking": (asks(terms=replace(SESSION, max_seconds=60)),)},
        {"objects": ({"spec": {"replicas": 1}}, None)},
        {"objects": (None, {"spec": {"replicas": 1}})},
        {"line": f"GET {EXEC}&tty=true"},
        {"line": f"GET {EXEC.replace('-c', '-f')}"},
        {"line": f"GET {EXEC.replace('container=db', 'container=web')}"},
        {"line": f"GET {EXEC.replace('web-1', 'web-2')}"},
        {"line": f"GET {EXEC.replace('shop', 'bank')}"},
        {"line": f"GET {POD}"},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_b69_any_other_request_is_not_alike(changes: dict[str, Any]) -> None:
    assert of() != ""
    assert of(**changes) != of()


def test_the_same_by_either_way_of_opening_it_and_with_another_token() -> None:
    assert of(f"POST {EXEC}") == of()
    assert of(identity=replace(AGENT, exp=99, jti="new", groups=("more",))) == of()


DELETE = "DELETE /api/v1/namespaces/shop/pods/web-1"


@pytest.mark.parametrize(
    ("line", "terms", "expected"),
    [
        (f"GET {EXEC}", SESSION, Reuse.SESSION),
        (f"GET {EXEC}&stdin=true", SESSION, Reuse.NEVER),
        (f"GET {EXEC}", NO_TERMS, Reuse.NEVER),
        (f"GET {POD}/attach?stdout=true", SESSION, Reuse.NEVER),
        (f"GET {POD}/portforward?ports=80", SESSION, Reuse.NEVER),
        (f"GET {POD}/proxy/", SESSION, Reuse.NEVER),
        ("DELETE /api/v1/namespaces/shop/pods", SESSION, Reuse.NEVER),
        (DELETE, SESSION, Reuse.SESSION),
        ("GET /version", SESSION, Reuse.NEVER),
    ],
)
def test_b69_what_nobody_can_know_beforehand_has_no_like(line: str, terms: Terms, expected: Reuse) -> None:
    found = offered(request(line), [asks(terms=terms)])
    assert found.reuse is expected
    assert (of(line, terms) == "") is (expected is Reuse.NEVER)


def test_nobody_is_asked() -> None:
    assert offered(request(DELETE), ()) == Offer()


@pytest.mark.parametrize(
    ("line", "other", "alike"),
    [
        (f"GET {EXEC}", EXEC.replace("web-1", "web-2"), True),
        (f"GET {EXEC}", EXEC.replace("shop", "bank"), False),
        (f"GET {EXEC}", EXEC.replace("psql", "sh"), False),
        (f"GET {EXEC}", EXEC.replace("container=db", "container=web"), False),
        (DELETE, "/api/v1/namespaces/shop/pods/web-2", True),
        (DELETE, "/api/v1/namespaces/shop/pods/web-2?gracePeriodSeconds=0", False),
        (DELETE, "/api/v1/namespaces/shop/services/web-2", False),
        (DELETE, "/apis/metrics.k8s.io/v1/namespaces/shop/pods/web-2", False),
        (DELETE, "/api/v1/namespaces/shop/pods/web-2/status", False),
    ],
)
def test_with_any_name_only_the_name_may_be_another(line: str, other: str, alike: bool) -> None:
    method = line.partition(" ")[0]
    again = of(f"{method} {other}", ANY_NAME, uid="u2")
    assert (again == of(line, ANY_NAME)) is alike


def test_any_name_takes_all_the_rules_that_ask() -> None:
    both = (asks(terms=ANY_NAME), asks("strict", SESSION))
    assert of(asking=both) != of(asking=both, line=f"GET {EXEC.replace('web-1', 'web-2')}")


def test_a_name_that_only_the_body_has_is_in_the_body() -> None:
    create = "POST /api/v1/namespaces/shop/pods"
    assert of(create, ANY_NAME, body=b'{"metadata":{"name":"a"}}') != of(create, ANY_NAME, body=b"{}")


def meta(**fields: Any) -> Mapping[str, Any]:
    return {"metadata": {"name": "web", **fields}, "spec": {"a": 1}}


@pytest.mark.parametrize(
    ("before", "later", "alike"),
    [
        (meta(resourceVersion="1", managedFields=[1]), meta(resourceVersion="2", managedFields=[2]), True),
        (meta(uid="a", creationTimestamp="x"), meta(uid="b", creationTimestamp="y"), True),
        (meta(labels={"a": "1"}), meta(labels={"a": "2"}), False),
        (meta(), {"metadata": {"name": "web"}, "spec": {"a": 2}}, False),
        (meta(), {"metadata": {"name": "other"}, "spec": {"a": 1}}, False),
        (meta(generateName="w-"), {"metadata": {"name": "w-2", "generateName": "w-"}, "spec": {"a": 1}}, True),
        ({"metadata": 1}, {"metadata": 1}, True),
    ],
)
def test_an_object_in_another_state_is_another(
    before: Mapping[str, Any], later: Mapping[str, Any], alike: bool
) -> None:
    assert (of(objects=(before, None)) == of(objects=(later, None))) is alike
