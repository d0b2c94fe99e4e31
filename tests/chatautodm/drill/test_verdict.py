"""The drill sees what it is there to see: lost, doubled, unexplained."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from automations.fake_graph.calls import Call as Received
from automations.models import Delivery, Event
from chatautodm.drill import expected
from chatautodm.drill.verdict import Seen, Verdict, compare, echoed, effective
from webhooks.simulated_events import Content

PERSON = "8422491661125971"
OFFER = (PERSON, expected.OFFER)
COMMENT = Content(kind="comment", account="1", person=PERSON, source_id="18001", text="link")
MESSAGE = Content(kind="message", account="1", person=PERSON, source_id="mid.1", text="price?")
CHATTER = Content(kind="message", account="1", person=PERSON, source_id="mid.2", text="thanks")
CALL = Received(at=7.5, path="", recipient=OFFER[0], text=OFFER[1], status=200, message_id="mid.answer")
QUIET = dict.fromkeys(("waiting", "active", "retrying", "fallback", "unexplained"), 0)


def row(content: Content, outcome: str, *statuses: str) -> Event:
    event = Event.objects.create(
        key=content.source_id, source_id=content.source_id, payload={}, outcome=outcome, received_at=datetime.now(UTC)
    )
    for step, status in enumerate(statuses, start=1):
        Delivery.objects.create(event=event, step=step, status=status, body={})
    return event


def judge(content: Content, event: Event | None, calls: dict[expected.Call, list[float]], **seen: Any) -> Verdict:
    rows = {content.source_id: event} if event else {}
    return compare(
        [content], Seen(**{"acknowledged": {content.source_id: 5.0}, "ledger": QUIET, **seen}, calls=calls, rows=rows)
    )


@pytest.mark.django_db
def test_what_was_sent_once_is_good_and_how_long_it_took_is_said():
    verdict = judge(MESSAGE, row(MESSAGE, "sent", "sent"), {OFFER: [7.5]})

    assert verdict == Verdict(acknowledged=1, sent_once=1, longest_seconds=2.5)
    assert verdict.is_good


@pytest.mark.django_db
def test_what_no_rule_answers_is_good_without_a_call():
    assert judge(CHATTER, row(CHATTER, "no_match"), {}) == Verdict(acknowledged=1, unanswered=1)


@pytest.mark.django_db
@pytest.mark.parametrize("calls", [{}, {OFFER: [7.5]}])
def test_an_unconfirmed_call_is_listed_whether_it_was_sent_or_not(calls):
    verdict = judge(MESSAGE, row(MESSAGE, "unconfirmed", "unconfirmed"), calls)

    assert (len(verdict.unconfirmed), verdict.sent_once, verdict.is_good) == (1, len(calls), True)


@pytest.mark.django_db
def test_a_call_that_was_echoed_may_not_stay_unconfirmed():
    verdict = judge(
        MESSAGE, row(MESSAGE, "unconfirmed", "unconfirmed"), {OFFER: [7.5]}, echoed=echoed([CALL], {CALL.message_id})
    )

    assert (len(verdict.unconfirmed), len(verdict.unexplained), verdict.is_good) == (1, 1, False)


@pytest.mark.django_db
def test_a_dead_letter_is_listed():
    verdict = judge(MESSAGE, row(MESSAGE, "dead", "failed"), {})

    assert (len(verdict.dead), verdict.is_good) == (1, True)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "outcome", "statuses", "calls"),
    [
        (MESSAGE, None, (), {}),
        (CHATTER, None, (), {}),
        (MESSAGE, "sent", ("sent",), {}),
        (MESSAGE, "no_match", (), {}),
        (MESSAGE, "skipped", ("skipped",), {}),
        (COMMENT, "sent", ("sent",), {("18001", expected.LINK): [6.0]}),
    ],
)
def test_an_acknowledged_event_without_its_calls_is_lost(content, outcome, statuses, calls):
    verdict = judge(content, row(content, outcome, *statuses) if outcome else None, calls)

    assert verdict.lost
    assert not verdict.is_good


@pytest.mark.django_db
def test_a_call_made_twice_is_doubled():
    verdict = judge(MESSAGE, row(MESSAGE, "sent", "sent"), {OFFER: [6.0, 7.0]})

    assert (len(verdict.doubled), verdict.is_good) == (1, False)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "outcome", "statuses", "calls", "ledger"),
    [
        (CHATTER, "no_match", (), {OFFER: [6.0]}, QUIET),
        (CHATTER, "skipped", (), {}, QUIET),
        (CHATTER, "no_match", (), {}, {**QUIET, "unexplained": -1}),
        (MESSAGE, "sent", ("failed",), {OFFER: [6.0]}, QUIET),
    ],
)
def test_what_nobody_asked_for_or_the_books_do_not_show_is_unexplained(content, outcome, statuses, calls, ledger):
    verdict = judge(content, row(content, outcome, *statuses), calls, ledger=ledger)

    assert verdict.unexplained
    assert not verdict.is_good


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("outcome", "seen"),
    [
        ("processing", {}),
        ("sent", {"acknowledged": {}}),
        ("sent", {"ledger": {**QUIET, "retrying": 1}}),
    ],
)
def test_what_has_not_come_to_its_end_is_unfinished(outcome, seen):
    verdict = judge(MESSAGE, row(MESSAGE, outcome, "sent"), {OFFER: [6.0]}, **seen)

    assert verdict.unfinished
    assert not verdict.is_good


def test_a_call_whose_echo_nobody_took_is_not_echoed():
    assert echoed([CALL], set()) == set()
    assert echoed([CALL], {"mid.of another"}) == set()


def test_a_call_counts_when_it_took_effect_or_was_refused_for_being_a_second_one():
    made = [
        Received(at=1.0, path="", recipient="18001", text="a", status=429, fault="throttle"),
        Received(at=2.0, path="", recipient="18001", text="a", status=200, fault="hang"),
        Received(at=3.0, path="", recipient="18001", text="a", status=400),
    ]

    assert effective(made) == {("18001", "a"): [2.0, 3.0]}
