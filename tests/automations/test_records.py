"""The rows of many events at once: what is new, what is there already, and what another process is just writing."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automations import people, records, rows_by_orm, rows_by_sql
from automations.deliveries import NewDelivery, Result
from automations.entries import Advance, Start, Started
from automations.events import Comment, Event, LiveComment, Mention, Message
from automations.models import Account, Automation, Contact, Conversation, Delivery
from automations.models import Event as EventRow
from automations.people import Note
from queueops import database, deadletters, prepared
from queueops.errors import Reject
from queueops.jobs import Failure
from queueops.keys import new_id
from queueops.models import DeadLetter
from tests.automations import rows
from tests.running import run_alone

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PEOPLE = ["8422491661125971", "8422491661125972", "8422491661125973"]

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL")


@pytest.fixture
def shop(threads: None) -> Account:
    """Where other connections see it, too."""
    return rows.account()


def comment(
    source_id: str = "1", person: str = PEOPLE[0], username: str = "maria.example", text: str = "link"
) -> Event:
    return Comment(account=rows.ACCOUNT, person=person, source_id=source_id, at_ms=None, username=username, text=text)


def message(source_id: str = "m1", person: str = PEOPLE[0], text: str = "link") -> Event:
    return Message(account=rows.ACCOUNT, person=person, source_id=source_id, at_ms=None, text=text)


def beginning(event: Event, steps: str = "", **fields: Any) -> Start:
    """The event with a first delivery of this kind, or with an end at once."""
    delivery = None
    if steps:
        once_key = f"private_reply:{event.source_id}" if steps == "private_reply" else None
        recipient = event.source_id if once_key else event.person
        body = {"message": {"text": "Hier, für dich \U0001f525"}}
        delivery = NewDelivery(step=1, kind=steps, recipient=recipient, body=body, once_key=once_key)
    defaults = {
        "id": new_id(),
        "receipt": "r",
        "lane": "low",
        "received_at": NOON,
        "happened_at": NOON,
        "outcome": "processing" if steps else "no_match",
        "automation": str(Automation.objects.get().pk) if steps else None,
        "rules": ({"name": "Link", "matched": bool(steps)},),
        "delivery": delivery,
    }
    return Start(event=event, **{**defaults, **fields})


class Short:
    """The short way, as those call it that have no loop."""

    @staticmethod
    def start(items: Sequence[Start]) -> list[Any]:
        return list(run_alone(records.start(items)))

    @staticmethod
    def advance(items: Sequence[Advance]) -> list[Any]:
        return list(run_alone(records.advance(items)))

    @staticmethod
    def note(items: Sequence[Note]) -> list[Any]:
        return list(run_alone(records.note(items)))


class ByORM:
    """The other way, which every database has."""

    start = staticmethod(rows_by_orm.start)
    advance = staticmethod(rows_by_orm.advance)
    note = staticmethod(people.write)


def begin(items: Sequence[Start]) -> list[Any]:
    """Each as a run of its own, however often it was begun before."""
    return Short.start([another_run(item) for item in items])


def another_run(item: Start) -> Start:
    return replace(item, id=new_id(), delivery=item.delivery and replace(item.delivery, id=new_id()))


def move(start: Start, started: Started, **fields: Any) -> Advance:
    """The next move of an event."""
    return Advance(
        event_id=started.id,
        event_key=start.event.key,
        automation=start.automation or "",
        is_new=started.is_new,
        **fields,
    )


def second_step(**fields: Any) -> NewDelivery:
    return NewDelivery(**{"step": 2, "kind": "public_reply", "recipient": "1", "body": {"message": "Sent!"}, **fields})


SENT = Result(step=1, status="sent", message_id="mid.sent")


# --- Both ways --------------------------------------------------------------------------------------------------------

events = st.one_of(
    st.builds(
        comment,
        source_id=st.sampled_from("1234"),
        person=st.sampled_from(PEOPLE),
        username=st.sampled_from(["", "maria.example", "noor.example", "x" * 80]),
        text=st.sampled_from(["", "link", '\U0001f525 "quoted" \\ back', "ж" * 5000]),
    ),
    st.builds(message, source_id=st.sampled_from("56"), person=st.sampled_from(PEOPLE)),
    st.builds(
        LiveComment,
        account=st.just(rows.ACCOUNT),
        person=st.just(PEOPLE[0]),
        source_id=st.sampled_from("12"),  # also those of comments, which have one private reply
        at_ms=st.just(None),
        text=st.just("link"),
    ),
    st.builds(Mention, account=st.just(rows.ACCOUNT), person=st.just(""), source_id=st.just("7"), at_ms=st.just(None)),
)
decided = st.tuples(
    events,
    st.sampled_from(["", "dm", "private_reply"]),
    st.sampled_from([NOON, NOON + timedelta(hours=1), NOON - timedelta(microseconds=1)]),
    st.booleans(),
)
# How a first step ended, whether there is a second, and whether the event ends.
endings = st.tuples(
    st.sampled_from([None, SENT, Result(step=1, status="failed", error={"title": "Refused"})]),
    st.sampled_from([None, second_step(), second_step(status="skipped", error={"title": "Too late"})]),
    st.sampled_from(["", "sent", "skipped"]),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(st.lists(decided, max_size=6), min_size=1, max_size=3), ends=st.lists(endings, min_size=18))
def test_the_short_way_writes_what_the_orm_writes(shop, groups, ends):
    if not Automation.objects.exists():
        rows.automation(shop)
    written = [_written(way, shop, groups, ends) for way in (Short, ByORM)]

    assert written[0] == written[1]


def _written(way: Any, shop: Account, groups: Sequence[Any], ends: Sequence[Any]) -> tuple[list[Any], ...]:
    """What the way answered, and what is in the tables, without what differs from run to run."""
    answers: list[Any] = []
    endings = iter(ends)
    for group in groups:
        items = [beginning(event, steps if known else "", happened_at=at) for event, steps, at, known in group]
        answers += way.note([Note(str(shop.pk), event, at) for event, _, at, known in group if known and event.person])
        found = way.start(items)
        answers += [replace(one, id=None) for one in found]
        moves = [
            move(item, one, result=result, delivery=delivery and replace(delivery, id=new_id()), outcome=outcome)
            for (item, one), (result, delivery, outcome) in zip(zip(items, found, strict=True), endings, strict=False)
            if item.automation and not one.is_over
        ]
        # One move of an event at a time.
        moves = list({one.event_id: one for one in moves}.values())
        answers += way.advance(moves)
    tables = [_table(model) for model in (EventRow, Delivery, Contact, Conversation)]
    for model in (Delivery, EventRow, Conversation, Contact):
        model.objects.all().delete()
    return answers, *tables


def _table(model: Any) -> list[Any]:
    here = {"id", "event_id", "started_at", "finished_at", "created_at", "first_seen_at"}
    key_of = dict(EventRow.objects.values_list("pk", "key"))
    return sorted(
        str(
            {name: value for name, value in row.items() if name not in here or (value is None and name != "id")}
            | {"of": key_of.get(row.get("event_id"))}
        )
        for row in model.objects.values()
    )


# --- What is there already --------------------------------------------------------------------------------------------


def test_what_was_there_before_is_told_from_what_is_new_in_their_order(shop):
    rows.automation(shop)
    over, begun, new = (beginning(comment(n), steps) for n, steps in (("1", ""), ("2", "dm"), ("3", "dm")))
    begin([over, begun])

    found = begin([replace(over, receipt="another"), new, begun, over])

    assert [(one.is_over, one.is_redelivery, one.is_new, one.may_send, one.deliveries) for one in found] == [
        (True, True, False, False, {}),
        (False, False, True, True, {}),
        (False, False, False, False, {1: "sending"}),
        (True, False, False, False, {}),
    ]
    assert EventRow.objects.count() == 3


def test_of_two_runs_of_one_event_in_one_group_one_may_send(shop):
    rows.automation(shop)
    item = beginning(comment(), "dm")

    found = begin([item, replace(item)])
    moves = [move(item, found[0], result=SENT, delivery=second_step()) for _ in range(2)]

    assert [one.may_send for one in found] == [True, False]
    assert Short.advance(moves) == [True, False]
    assert Delivery.objects.count() == 2


@pytest.mark.parametrize("way", [Short, ByORM], ids=["short", "orm"])
def test_a_run_whose_commit_was_not_heard_of_knows_its_own_rows_and_may_still_send(shop, way):
    rows.automation(shop)
    item, ended = beginning(comment("1"), "dm"), beginning(comment("2"))
    first = list(way.start([item, ended]))

    assert list(way.start([item, ended])) == first
    assert [(one.is_new, one.is_over, one.may_send) for one in first] == [(True, False, True), (True, False, False)]

    onward = move(item, first[0], result=SENT, delivery=second_step())
    assert [list(way.advance([onward])) for _ in range(2)] == [[True], [True]]
    assert sorted(Delivery.objects.values_list("step", "status")) == [(1, "sent"), (2, "sending")]


def test_it_may_not_send_what_another_run_has_settled_meanwhile(shop):
    rows.automation(shop)
    item = beginning(comment(), "dm")
    Short.start([item])
    Delivery.objects.update(status="unconfirmed")

    assert not Short.start([item])[0].may_send


def test_a_comment_has_one_private_reply_in_one_group_and_ever(shop):
    rows.automation(shop)
    live = LiveComment(account=rows.ACCOUNT, person=PEOPLE[0], source_id="1", at_ms=None, text="link")
    first, second = beginning(comment("1"), "private_reply"), beginning(live, "private_reply")

    found = begin([first, second])
    later = Short.advance([move(second, found[1], delivery=second.delivery), move(first, found[0], result=SENT)])

    assert [one.may_send for one in found] == [True, False]
    assert all(one.is_new for one in found)
    assert later == [False, True]
    assert Delivery.objects.get().status == "sent"


def test_what_meta_refused_is_sent_once_more_by_a_later_attempt_and_only_by_one(shop):
    rows.automation(shop)
    item = beginning(comment(), "dm")
    (first,) = begin([item])
    Short.advance([move(item, first, result=Result(step=1, status="failed", error={"title": "Busy"}))])
    (again,) = begin([item])

    moves = [move(item, one, delivery=item.delivery) for one in (again, first)]

    assert again.deliveries == {1: "failed"}
    assert Short.advance(moves) in ([True, False], [False, True])
    assert Delivery.objects.get().status == "sending"


def test_a_call_that_ended_after_all_is_what_counts(shop):
    rows.automation(shop)
    item = beginning(comment(), "dm")
    (first,) = begin([item])
    (second,) = begin([item])
    Short.advance([move(item, second, result=Result(step=1, status="unconfirmed", error={"title": "Cut off"}))])

    Short.advance([move(item, first, result=SENT)])

    assert Delivery.objects.values("status", "message_id", "error").get() == {
        "status": "sent",
        "message_id": "mid.sent",
        "error": None,
    }


def test_the_dead_letter_of_an_event_that_ends_well_is_resolved(shop):
    rows.automation(shop)
    item = beginning(comment(), "dm")
    failure = Failure(dead=True, at=NOON, reason="Meta refused the call", attempt=3)
    deadletters.write(item.event.key, "automations.tasks.process_event", "low", [{}], failure, Reject("Refused"))
    (first,) = begin([item])

    Short.advance([move(item, replace(first, is_new=False), result=SENT, outcome="sent")])

    assert DeadLetter.objects.get().status == "resolved"
    assert EventRow.objects.get().outcome == "sent"


# --- People -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [Short, ByORM], ids=["short", "orm"])
def test_when_somebody_wrote_last_is_known_from_the_same_group_and_never_goes_back(shop, way):
    earlier, later = NOON - timedelta(hours=2), NOON - timedelta(hours=1)

    def wrote(event: Event, at: datetime = NOON) -> Note:
        return Note(str(shop.pk), event, at)

    assert way.note([wrote(comment("1"))]) == [None]
    assert Conversation.objects.get().last_inbound_at is None
    found = way.note([wrote(message("m1"), later), wrote(comment("2")), wrote(message("m2"), earlier)])
    found += way.note([wrote(message("m3"), earlier)])

    assert found == [later] * 4
    assert Conversation.objects.get().last_inbound_at == later


@on_postgresql
def test_people_who_say_nothing_new_are_not_written_again(shop):
    Short.note([Note(str(shop.pk), comment("1"), NOON)])
    before = _versions()

    Short.note([Note(str(shop.pk), comment("2", username=""), NOON)])
    Short.note([Note(str(shop.pk), comment("3"), NOON)])

    assert _versions() == before


def _versions() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ctid::text, xmax::text FROM automations_contact"
            " UNION ALL SELECT ctid::text, xmax::text FROM automations_conversation"
        )
        return list(cursor.fetchall())


# --- What must not stand in the way of others -------------------------------------------------------------------------

POISON = [
    {"event": comment("bad", text="a lone surrogate \ud800")},
    {"event": comment("bad"), "rules": ({1, 2},)},
]
if connection.vendor == "postgresql":
    POISON += [
        {"event": comment("bad", text="NUL \x00")},
        {"event": comment("bad"), "receipt": "x" * 37},
        {"event": comment("bad"), "automation": "00000000-0000-0000-0000-000000000001"},  # deleted meanwhile
    ]


@pytest.mark.parametrize("poison", POISON)
def test_what_cannot_be_written_fails_alone(shop, poison):
    rows.automation(shop)
    good = [beginning(comment(str(n)), "dm") for n in range(3)]
    bad = replace(good[0], **poison)

    found = Short.start([good[0], bad, *good[1:]])

    assert isinstance(found[1], DatabaseError | ValueError | TypeError)
    assert [one.may_send for one in found if isinstance(one, Started)] == [True, True, True]
    assert EventRow.objects.count() == Delivery.objects.count() == 3


@pytest.mark.parametrize("way", [Short, ByORM], ids=["short", "orm"])
def test_a_person_who_cannot_be_written_fails_alone(shop, way):
    bad = Note("00000000-0000-0000-0000-000000000001", comment("2"), NOON)  # its account was deleted meanwhile
    good = [Note(str(shop.pk), message(str(n), person=PEOPLE[n]), NOON) for n in range(2)]

    found = database.write_all(way.note, [good[0], bad, good[1]])

    assert isinstance(found[1], DatabaseError)
    assert [found[0], found[2]] == [NOON, NOON]
    assert Contact.objects.count() == Conversation.objects.count() == 2


def test_what_fails_in_a_later_attempt_fails_alone(shop):
    rows.automation(shop)
    old, bad, new = (beginning(comment(str(n)), "dm") for n in range(3))
    begin([old, bad])

    found = Short.start([old, replace(bad, rules=({1, 2},)), new])

    assert [type(one) for one in found] == [Started, TypeError, Started]
    assert found[2].may_send
    assert found[0].deliveries == {1: "sending"}


# --- Several processes ------------------------------------------------------------------------------------------------


def test_of_two_processes_that_take_the_same_events_at_once_each_event_has_one(shop):
    rows.automation(shop)
    items = [beginning(comment(str(n), person=str(n % 7)), "private_reply") for n in range(40)]
    ready = Barrier(2)

    def process(mine: list[Start]) -> dict[str, bool]:
        try:
            ready.wait()
            found = [one for n in range(0, 40, 20) for one in Short.start(mine[n : n + 20])]
            Short.note([Note(str(shop.pk), item.event, NOON) for item in mine])
            return {
                item.event.key: isinstance(one, Started) and one.may_send for item, one in zip(mine, found, strict=True)
            }
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(process, [items, [another_run(item) for item in items[::-1]]])

    assert all(one[key] != other[key] for key in one)
    assert EventRow.objects.count() == Delivery.objects.count() == 40
    assert Contact.objects.count() == Conversation.objects.count() == 7


# --- What it costs ----------------------------------------------------------------------------------------------------


@on_postgresql
def test_new_events_cost_no_query_of_the_orm_and_no_table_is_read_whole(shop, run, django_assert_num_queries):
    rows.automation(shop)
    items = [beginning(comment(str(n)), "dm") for n in range(20)]

    with django_assert_num_queries(0):
        found = begin(items)
        Short.note([Note(str(shop.pk), item.event, NOON) for item in items])
        Short.advance([move(item, one, result=SENT, outcome="sent") for item, one in zip(items, found, strict=True)])

    for statement in (rows_by_sql.START, rows_by_sql.NOTE, rows_by_sql.ADVANCE):
        plan = [line for (line,) in run(prepared.execute(f"EXPLAIN {statement}", [b"[]"] * statement.count("::json)")))]
        assert not [line for line in plan if "Seq Scan" in line]
    assert EventRow.objects.filter(outcome="sent").count() == 20
