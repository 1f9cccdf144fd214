"""What was written down about everything the other end-to-end tests did: complete, in order, before it happened.

Runs last (see conftest.py). Its oracle is the API server's own audit log: whatever a role session did there, a gateway
has an event of the same id.
"""

from __future__ import annotations

import re

import pytest

from addons.core.audit import MAX_TEXT
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.records import (
    GATEWAY_AGENT,
    IMPERSONATED,
    IMPERSONATOR,
    ApiServer,
    Event,
    answered_by_the_cluster,
    audit_files,
    by_id,
    gateway_events,
    read_events,
    refused,
)

STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
# k8s.io/apiserver/pkg/apis/audit/v1/types.go
REQUIRED = {"kind": str, "apiVersion": str, "level": str, "auditID": str, "stage": str, "requestURI": str, "verb": str}
FIELDS = {*REQUIRED, "user", "sourceIPs", "userAgent", "objectRef", "responseStatus", "annotations"} | {
    "requestReceivedTimestamp",
    "stageTimestamp",
}
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture(scope="module")
def requests(written: list[GatewayEnv]) -> dict[str, list[Event]]:
    """Every request to any gateway."""
    return by_id([event for gateway in written for event in gateway_events(gateway)])


@pytest.fixture(scope="module")
def upstream(api_server: ApiServer) -> dict[str, list[Event]]:
    """Every request of a role session to the API server, since the first test here."""
    return by_id(api_server.since(api_server.began))


def test_every_line_is_an_audit_event(written: list[GatewayEnv]) -> None:
    count = 0
    for gateway in written:
        for file in audit_files(gateway):
            assert file.read_bytes().endswith(b"\n")
            for event in read_events(file):
                count += 1
                assert {name for name, kind in REQUIRED.items() if not isinstance(event.get(name), kind)} == set()
                assert set(event) <= FIELDS
                assert (event["kind"], event["apiVersion"]) == ("Event", "audit.k8s.io/v1")
                assert event["stage"] in STAGES
                assert event["user"]["username"]
                assert all(isinstance(value, str) for value in event["annotations"].values())
                for name in ("requestReceivedTimestamp", "stageTimestamp"):
                    assert MICRO_TIME.fullmatch(event[name])
                assert event["requestReceivedTimestamp"] <= event["stageTimestamp"]
    assert count


def test_the_stages_of_each_request_are_in_order(requests: dict[str, list[Event]]) -> None:
    for events in requests.values():
        stages = [event["stage"] for event in events]
        assert stages == sorted(set(stages), key=STAGES.index), events
        if answered_by_the_cluster(events):
            assert stages[0] == "RequestReceived", events


def test_the_end_of_each_request_is_told(recordable: list[GatewayEnv]) -> None:
    for gateway in recordable:
        for events in by_id(gateway_events(gateway)).values():
            assert events[-1]["stage"] in ("ResponseComplete", "Panic"), (gateway.folder.name, events)


def test_refused_requests_are_there_with_their_reason(requests: dict[str, list[Event]]) -> None:
    reasons = {events[-1]["annotations"]["chaperone.dev/rule"] for events in requests.values() if refused(events)}
    assert {"authentication", "no-cluster-admin-bindings"} <= reasons


def test_b83_what_was_refused_never_arrived(requests: dict[str, list[Event]], upstream: dict[str, list[Event]]) -> None:
    assert {key for key, events in requests.items() if refused(events)} & set(upstream) == set()


def test_b83_what_was_forwarded_is_in_the_audit_log_of_the_cluster(
    requests: dict[str, list[Event]], upstream: dict[str, list[Event]]
) -> None:
    joined = {key for key, events in requests.items() if answered_by_the_cluster(events)}
    assert joined
    assert joined - set(upstream) == set()
    for key in joined:
        ours, theirs = requests[key][-1], upstream[key][-1]
        assert (ours["requestURI"], ours["verb"]) == (theirs["requestURI"][:MAX_TEXT], theirs["verb"])
        codes = [event["responseStatus"]["code"] for event in (ours, theirs)]
        assert codes[0] == codes[1] or _answered_by_a_kubelet(theirs, *codes)
        role, user = ours["annotations"]["chaperone.dev/role"], theirs["user"]["username"]
        impersonated = role.startswith(f"user:{IMPERSONATED}") and IMPERSONATOR in user
        assert user == role or impersonated or f":assumed-role/{role.rpartition('/')[2]}/" in user


def _answered_by_a_kubelet(theirs: Event, our_code: int, their_code: int) -> bool:
    """The API server notes 101 for what it handed to a kubelet, whatever that then says (405 for a method)."""
    session: bool = theirs["objectRef"].get("subresource") in ("exec", "attach", "portforward")
    return session and their_code == 101 and our_code >= 400


def test_it_was_on_record_before_the_cluster_saw_it(
    requests: dict[str, list[Event]], upstream: dict[str, list[Event]]
) -> None:
    for key in set(requests) & set(upstream):
        assert requests[key][0]["stage"] == "RequestReceived"
        assert requests[key][0]["stageTimestamp"] <= upstream[key][0]["requestReceivedTimestamp"]


def test_whatever_a_role_session_did_was_asked_for_by_an_agent_or_changed_nothing(
    requests: dict[str, list[Event]], upstream: dict[str, list[Event]]
) -> None:
    """The gateway asks questions of its own: dry runs, and reads that say who they are; an operator, who a role is."""
    own = [events[-1] for key, events in upstream.items() if key not in requests]
    assert own
    for event in own:
        dry_run = "dryRun=All" in event["requestURI"]
        reads = event["verb"] in ("get", "list") and event["userAgent"] == GATEWAY_AGENT
        asks_who = event["objectRef"]["resource"] == "selfsubjectreviews" if "objectRef" in event else False
        assert dry_run or reads or asks_who, event


def test_users_and_decisions_are_in_the_events(requests: dict[str, list[Event]], gateway: GatewayEnv) -> None:
    for events in requests.values():
        notes = events[-1]["annotations"]
        if answered_by_the_cluster(events):
            assert events[-1]["user"]["username"].startswith(("http://", "https://"))
            assert notes["chaperone.dev/decision"] in ("allow", "warn", "require_approval")
            assert notes["chaperone.dev/grant"]
