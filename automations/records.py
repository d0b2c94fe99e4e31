"""What is written down about events while they are processed: many events at a time, a handful of statements each time.

The rows are the guard: an event's key is unique, a delivery is unique per event, automation and step, and a private
reply per comment. A delivery is committed as `sending` before its call, so a crash leaves evidence, never a doubt
about whether there may have been a call. Of two processes that write the same row at the same instant one finds the
other's, or gets an IntegrityError, which undoes its transaction; its next attempt finds the other's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, Max, Q
from django.utils import timezone

from automations import entries, events, people, rows_by_orm, rows_by_sql
from automations.deliveries import begun_row, ended_row
from automations.entries import TEXT_CHARACTERS, Advance, Start, Started
from automations.models import Delivery, Event
from queueops import database
from queueops.jobs import Failure, Verb
from queueops.keys import new_id_of


async def start(items: Sequence[Start]) -> Sequence[Started | Exception]:
    """Open the events' rows with their first deliveries, in one transaction.

    On PostgreSQL this is one statement, and events that have a row already follow in a second transaction. What the
    statement cannot write the ORM writes, each event alone if need be.
    """
    if database.vendor() != "postgresql":
        return await database.write_in_thread(rows_by_orm.start, items)
    try:
        events_rows = [entries.event_row(item) for item in items]
        begun = [begun_row(new) for new in entries.first_deliveries(items, events_rows)]
        opened = await rows_by_sql.start(events_rows, begun)
    except database.ERRORS:
        return await database.write_in_thread(rows_by_orm.start, items)
    known = [item for item, row in zip(items, events_rows, strict=True) if row["id"] not in opened]
    later = iter(await database.write_in_thread(rows_by_orm.start, known) if known else ())
    return [
        Started(id=row["id"], may_send=opened[row["id"]]) if row["id"] in opened else next(later) for row in events_rows
    ]


async def note(items: Sequence[people.Note]) -> Sequence[datetime | Exception | None]:
    """Keep contacts and conversations up to date, in one transaction; for each when its person last wrote to us."""
    if database.vendor() != "postgresql":
        return await database.write_in_thread(people.write, items)
    try:
        return people.of_each(items, await rows_by_sql.note(people.rows(items)))
    except database.ERRORS:
        return await database.write_in_thread(people.write, items)


async def advance(items: Sequence[Advance]) -> Sequence[bool | Exception]:
    """Write the moves down, in one transaction; for each whether its delivery may be sent (another run may have it).

    On PostgreSQL that is one statement for events that are new. Those of a later attempt follow in a second
    transaction, and so do deliveries that could not be written because there are such already.
    """
    if database.vendor() != "postgresql":
        return await database.write_in_thread(rows_by_orm.advance, items)
    try:
        is_over = iter(await _advance_at_once([item for item in items if item.is_new]))
    except database.ERRORS:
        return await database.write_in_thread(rows_by_orm.advance, items)
    left = {n: _left(item) for n, item in enumerate(items) if not item.is_new or not next(is_over)}
    later = iter(await database.write_in_thread(rows_by_orm.advance, list(left.values())) if left else ())
    return [next(later) if n in left else True for n in range(len(items))]


async def _advance_at_once(items: Sequence[Advance]) -> list[bool]:
    """For each whether all of it is written."""
    if not items:
        return []
    begun = [begun_row(new) for new in entries.new_deliveries(items)]
    written = await rows_by_sql.advance(
        ended=[ended_row(ended) for ended in entries.ended_deliveries(items)],
        closed=[
            {"id": item.event_id, "outcome": item.outcome, "reason": item.reason[:300], "finished_at": timezone.now()}
            for item in items
            if item.outcome
        ],
        begun=begun,
    )
    is_written = iter(row["id"] in written for row in begun)
    return [item.delivery is None or next(is_written) for item in items]


def _left(item: Advance) -> Advance:
    """What is still to be done of a move: of a new event only its delivery, for the rest is written."""
    return replace(item, result=None, outcome="") if item.is_new else item


def note_failure(event: events.Event, receipt: dict[str, Any], failure: Failure) -> None:
    """Show the failed attempt on the event, which may not have a row yet."""
    attempt = {
        "at": failure.at.isoformat(),
        "attempt": failure.attempt,
        "result": failure.reason,
        "retry_at": failure.retry_at.isoformat() if failure.retry_at else None,
    }
    received_at = datetime.fromisoformat(receipt["at"])
    with transaction.atomic():
        row, _ = Event.objects.select_for_update().get_or_create(
            key=event.key,
            defaults={
                "id": new_id_of(received_at),
                "receipt": receipt["id"],
                "kind": event.kind.value,
                "account": event.account,
                "person": event.person,
                "source_id": event.source_id,
                "text": getattr(event, "text", "")[:TEXT_CHARACTERS],
                "payload": event.as_payload(),
                "received_at": received_at,
            },
        )
        if not row.is_final:
            row.outcome = Event.Outcome.DEAD if failure.dead else Event.Outcome.RETRYING
            row.reason = failure.reason[:300]
            row.finished_at = failure.at if failure.dead else None
            row.attempts = [*row.attempts, attempt]
            row.save(update_fields=["outcome", "reason", "finished_at", "attempts"])


def note_operator(event: events.Event, verb: Verb) -> None:
    """An operator took the event's dead letter up: it waits again, or is over."""
    outcome = {Verb.RETRIED: Event.Outcome.WAITING, Verb.DISCARDED: Event.Outcome.DISCARDED}[verb]
    # Only what is still dead: a worker may be quicker than this.
    Event.objects.filter(key=event.key, outcome=Event.Outcome.DEAD).update(outcome=outcome)


def delivered_at(keys: Sequence[str]) -> dict[str, datetime]:
    """When the last message went out, of those of these events that have sent some and have nothing left to send."""
    sent, open_ones = Q(status=Delivery.Status.SENT), Q(status__in=(Delivery.Status.FAILED, Delivery.Status.SENDING))
    rows = Delivery.objects.filter(event__key__in=keys).order_by().values_list("event__key")
    counted = rows.annotate(at=Max("finished_at", filter=sent), n=Count("pk"), left=Count("pk", filter=open_ones))
    found = {key: (at, n) for key, at, n, left in counted if at is not None and not left}
    # A rule's later steps have no row before their turn comes.
    steps = Event.objects.filter(key__in=found).values_list("key", "automation__actions")
    return {key: found[key][0] for key, actions in steps if found[key][1] >= len(actions or [])}
