"""Access requests in the real store: what is written is read, and of two who decide at once none is overwritten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial

import pytest

from addons.core import access_request as core
from addons.core.access_request import AccessRequest, State
from addons.core.approval import ForbiddenApprover
from addons.edge import access_request_store as requests
from addons.edge.access_request_store import UnknownAccessRequest, add_access_request, change
from addons.edge.schema import ACCESS_REQUESTS
from addons.edge.store import Store, StoreUnavailable, TooManyPending
from tests.core.test_access_request import ALICE, ASKED, BOB, NOW
from tests.support.stores import Place


@pytest.fixture
def stores(place: Place) -> Iterator[tuple[Store, Store]]:
    with closing(place.open()) as one, closing(place.open()) as other:
        yield one, other


def approved(request: AccessRequest) -> AccessRequest:
    return core.approve(request, ALICE, "fine", NOW)


def test_what_one_process_writes_another_reads(stores: tuple[Store, Store]) -> None:
    one, other = stores
    add_access_request(one, ASKED)
    assert requests.access_request(other, " ABC ") == ASKED
    assert requests.granted(other, NOW) == []
    granted = change(other, "abc", approved)
    assert requests.granted(one, NOW) == [granted] == requests.access_requests(one, NOW)
    assert requests.granted(one, granted.expires_at) == []
    change(one, "abc", lambda request: core.revoke(request, "root", "", NOW))
    assert requests.granted(other, NOW) == []
    assert [event.what for event in requests.access_request(other, "abc").history] == ["approved", "revoked"]


def test_there_is_none_of_that_id(stores: tuple[Store, Store]) -> None:
    with pytest.raises(UnknownAccessRequest, match="grants list"):
        change(stores[0], "none", approved)


def test_who_may_not_decide_is_told_so(stores: tuple[Store, Store]) -> None:
    """And not that the store cannot be used."""
    add_access_request(stores[0], replace(ASKED, approvers=()))
    with pytest.raises(ForbiddenApprover, match="only members of these groups decide: none"):
        change(stores[0], "abc", approved)


def test_two_who_agree_at_once_both_count(stores: tuple[Store, Store]) -> None:
    add_access_request(stores[0], replace(ASKED, approvals=2))
    people = zip(stores, (ALICE, BOB), strict=True)
    agree = [
        partial(change, store, "abc", partial(core.approve, approver=who, note="", now=NOW)) for store, who in people
    ]
    threads = [threading.Thread(target=each) for each in agree]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = requests.access_request(stores[0], "abc")
    assert found.state is State.GRANTED
    assert sorted(found.approved_by) == [ALICE.username, BOB.username]


def test_a_change_is_made_only_of_what_it_was_worked_out_from(stores: tuple[Store, Store]) -> None:
    one, other = stores
    add_access_request(one, replace(ASKED, approvals=9))
    seen: list[int] = []

    def overtaken(request: AccessRequest) -> AccessRequest:
        seen.append(len(request.history))
        with other.writing() as connection:
            connection.execute(ACCESS_REQUESTS.update().values(revision=ACCESS_REQUESTS.c.revision + 1))
        return request

    with pytest.raises(StoreUnavailable, match="kept changing"):
        change(one, "abc", overtaken)
    assert len(seen) > 1


def test_an_agent_cannot_bury_an_inbox(stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_PENDING", 1)
    add_access_request(stores[0], ASKED)
    with pytest.raises(TooManyPending):
        add_access_request(stores[0], replace(ASKED, id="def"))
    add_access_request(stores[0], replace(ASKED, id="ghi", sub="other"))
