"""Each channel is told of each question once, whoever races for it, and whoever dies in between."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from addons.core.approval import APPROVAL_SECONDS, Ask, State
from addons.core.approval_terms import Needed
from addons.core.documents import Document
from addons.core.identity import Identity
from addons.core.notify.channel import Channel, Slack, Webhook
from addons.core.notify.outbox import LEASE_SECONDS, Stage
from addons.edge.notify_store import Delivery, done, postpone, take, use_signature
from addons.edge.store import Store
from tests.support.stores import Place

NOW = 1_000_000.0
BOB = Identity(iss="https://idp", sub="bob", aud=("gw",), exp=NOW + 60)
ASK = Ask(
    requester_iss="https://idp", requester_sub="agent", requester_groups=("a", "b"), connection="prod", session="s1",
    verb="create", resource="pods/exec", argv=("id",), method="CONNECT", target="/x", rule="exec", risk=60, reason="r",
)  # fmt: skip
DOCUMENT = Document("Notification", "n", {}, "f", 1, {})
PAGER = Channel(
    name="pager", place=Webhook(url="https://x", secret_file="s", callback=False), document=DOCUMENT, connections=None
)
CHAT = replace(PAGER, name="chat")
SLACK = replace(PAGER, name="slack", place=Slack(channel="C", bot_token_file="b", signing_secret_file="s", people={}))
TEST_ONLY = replace(PAGER, name="test-only", connections=("test",))


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    opened = place.open()
    yield opened
    opened.close()


def asked(store: Store, digest: str = "d", now: float = NOW) -> str:
    return store.claim(digest, ASK, now).approval.id


def taken(store: Store, now: float = NOW, channel: Channel = PAGER, most: int = 10) -> list[tuple[str, Stage, int]]:
    return [(each.case.approval.id, each.stage, each.tries) for each in take(store, channel, most, now)]


def told(store: Store, now: float = NOW, channel: Channel = PAGER) -> Delivery:
    (delivery,) = take(store, channel, 10, now)
    done(store, delivery, "ts-1")
    return delivery


def test_a_question_is_taken_once_per_channel(store: Store) -> None:
    question = asked(store)
    assert taken(store) == [(question, Stage.ASKING, 1)]
    assert taken(store) == []
    assert taken(store, channel=CHAT) == [(question, Stage.ASKING, 1)]
    assert taken(store, channel=TEST_ONLY) == []
    assert taken(store, channel=replace(TEST_ONLY, connections=("prod",), name="x")) == [(question, Stage.ASKING, 1)]


def test_who_has_agreed_already_is_known(store: Store) -> None:
    wanted = replace(ASK, needed=(Needed(rule="exec", count=2),))
    case = store.claim("d", wanted, NOW)
    store.decide(case.approval.id, State.GRANTED, BOB, "", NOW)
    (vote,) = told(store).case.votes
    assert vote.approver == BOB.username


def test_no_more_than_wanted_oldest_first(store: Store) -> None:
    questions = [asked(store, str(number), NOW + number) for number in range(3)]
    assert [each for each, _, _ in taken(store, NOW + 5, most=2)] == questions[:2]
    assert [each for each, _, _ in taken(store, NOW + 5, most=2)] == questions[2:]


def test_processes_that_race_share_the_work(place: Place) -> None:
    first = place.open()
    for number in range(20):
        asked(first, str(number))
    stores = [place.open() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = [each for many in pool.map(lambda each: taken(each, most=50), stores) for each in many]
    assert len(found) == len(set(found)) == 20
    with ThreadPoolExecutor(4) as pool:
        late = NOW + LEASE_SECONDS
        again = [each for many in pool.map(lambda each: taken(each, late, most=50), stores) for each in many]
    assert len(again) == len({question for question, _, _ in again}) == 20
    for each in (first, *stores):
        each.close()


def test_who_dies_loses_nothing_and_who_has_sent_repeats_nothing(store: Store, place: Place) -> None:
    question = asked(store)
    assert taken(store) == [(question, Stage.ASKING, 1)]
    other = place.open()
    assert taken(other, NOW + LEASE_SECONDS - 1) == []
    (delivery,) = take(other, PAGER, 10, NOW + LEASE_SECONDS)
    assert delivery.tries == 2
    done(other, delivery, "ts-1")
    assert taken(store, NOW + 10 * LEASE_SECONDS) == []
    other.close()


def test_who_took_too_long_changes_nothing_any_more(store: Store) -> None:
    asked(store)
    (late,) = take(store, PAGER, 10, NOW)
    (delivery,) = take(store, PAGER, 10, NOW + LEASE_SECONDS)
    postpone(store, late, NOW)
    done(store, late, "late")
    assert taken(store, NOW + LEASE_SECONDS + 1) == []
    done(store, delivery, "ts-1")
    assert taken(store, NOW + 10 * LEASE_SECONDS) == []


def test_what_failed_is_due_when_it_was_said(store: Store) -> None:
    question = asked(store)
    (delivery,) = take(store, PAGER, 10, NOW)
    postpone(store, delivery, NOW + 3)
    assert taken(store, NOW + 2.9) == []
    assert taken(store, NOW + 3) == [(question, Stage.ASKING, 2)]


def test_how_it_ended_is_told_once(store: Store) -> None:
    question = told_question = asked(store)
    told(store)
    assert taken(store, NOW + 1) == []
    store.decide(question, State.GRANTED, BOB, "", NOW + 2)
    (delivery,) = take(store, PAGER, 10, NOW + 2)
    assert (delivery.stage, delivery.message, delivery.tries) == (Stage.CLOSING, "ts-1", 1)
    assert delivery.case.approval.approver == BOB.username and delivery.case.ask == ASK
    postpone(store, delivery, NOW + 3)
    assert taken(store, NOW + 3) == [(told_question, Stage.CLOSING, 2)]
    (again,) = take(store, PAGER, 10, NOW + 3 + LEASE_SECONDS)
    done(store, again, again.message)
    assert taken(store, NOW + 10 * APPROVAL_SECONDS) == []


def test_a_message_that_can_be_changed_is_told_of_who_agrees_meanwhile(store: Store) -> None:
    question = store.claim("d", replace(ASK, needed=(Needed(rule="exec", count=3),)), NOW).approval.id
    for channel in (PAGER, SLACK):
        told(store, channel=channel)
    assert taken(store, NOW + 1, SLACK) == []
    store.decide(question, State.GRANTED, BOB, "", NOW + 1)
    assert taken(store, NOW + 1, PAGER) == [], "a webhook is told of questions and their ends"
    (delivery,) = take(store, SLACK, 10, NOW + 1)
    assert (delivery.stage, delivery.message, delivery.tries) == (Stage.ASKING, "ts-1", 1)
    assert [each.approver for each in delivery.case.votes] == [BOB.username]
    store.decide(question, State.GRANTED, replace(BOB, sub="carol"), "", NOW + 2)
    done(store, delivery, delivery.message)
    assert len(told(store, NOW + 3, SLACK).case.votes) == 2, "who agreed while it was told of the first"
    assert taken(store, NOW + 10, SLACK) == []


def test_what_nobody_answers_ends_with_its_time(store: Store) -> None:
    question = asked(store)
    told(store)
    assert taken(store, NOW + APPROVAL_SECONDS - 1) == []
    assert taken(store, NOW + APPROVAL_SECONDS) == [(question, Stage.CLOSING, 1)]


def test_what_is_over_before_it_was_told_of(store: Store) -> None:
    """A channel that nobody tried to tell is told nothing; where one try was made, it may have arrived."""
    question = asked(store)
    (delivery,) = take(store, PAGER, 10, NOW)
    postpone(store, delivery, NOW + 5)
    store.decide(question, State.DENIED, BOB, "no", NOW + 1)
    assert taken(store, NOW + 1, channel=CHAT) == []
    assert taken(store, NOW + 5) == [(question, Stage.CLOSING, 1)]


def test_a_signature_counts_once_for_all_processes(store: Store, place: Place) -> None:
    other = place.open()
    assert use_signature(store, "v1=a", NOW, NOW + 600)
    assert not use_signature(other, "v1=a", NOW + 1, NOW + 601)
    assert use_signature(other, "v1=b", NOW + 1, NOW + 601)
    assert use_signature(store, "v1=a", NOW + 600, NOW + 1200)
    other.close()


def test_a_store_of_an_earlier_version_gets_what_it_lacks(store: Store, place: Place) -> None:
    question = asked(store)
    store.close()
    place.execute("ALTER TABLE approvals DROP COLUMN requester_groups")
    place.execute("ALTER TABLE notifications DROP COLUMN votes")
    opened = place.open()
    assert opened.get(question).ask == replace(ASK, requester_groups=())
    assert opened.get(asked(opened, "new")).ask == ASK
    opened.close()
