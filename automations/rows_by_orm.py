"""The events' rows by the ORM: on every database, and wherever something is there already."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from automations import entries
from automations.deliveries import begin, end
from automations.entries import Advance, Start, Started
from automations.models import Delivery, Event
from queueops import deadletters


def start(items: Sequence[Start]) -> list[Started]:
    """Open the events' rows, or go on with those that are there; in one transaction."""
    with transaction.atomic():
        by_key = {row.key: row for row in Event.objects.filter(key__in={item.event.key for item in items})}
        fresh: dict[str, Start] = {}
        for item in items:
            if item.event.key not in by_key:
                fresh.setdefault(item.event.key, item)
        fresh_rows = [entries.event_row(item) for item in fresh.values()]
        by_key |= {row.key: row for row in Event.objects.bulk_create(Event(**row) for row in fresh_rows)}
        first = entries.first_deliveries(list(fresh.values()), fresh_rows)
        sendable = {new.event_id for new, is_ours in zip(first, begin(first), strict=True) if is_ours}
        return [
            Started(id=row.pk, may_send=row.pk in sendable) if fresh.get(row.key) is item else _started_anew(item, row)
            for item, row in ((item, by_key[item.event.key]) for item in items)
        ]


def _started_anew(item: Start, row: Event) -> Started:
    """An event that has a row: a redelivery of one that is over, or a later attempt, which decides anew."""
    if row.pk == item.id:
        return _started_just_now(item)
    if row.is_final:
        return Started(id=row.pk, is_over=True, is_redelivery=row.receipt != item.receipt, is_new=False)
    earlier = list(Delivery.objects.filter(event_id=row.pk).values_list("automation_key", "step", "status"))
    # What was begun is brought to its own end, whatever would be decided today.
    outcome = Event.Outcome.PROCESSING if earlier else item.outcome
    final = outcome in Event.FINAL
    Event.objects.filter(pk=row.pk).update(
        outcome=outcome,
        reason=item.reason,
        automation_id=item.automation,
        rules=list(item.rules),
        started_at=timezone.now(),
        finished_at=timezone.now() if final else None,
    )
    if final:
        deadletters.resolve([row.key])
    return Started(
        id=row.pk,
        is_new=False,
        deliveries={step: status for _, step, status in earlier},
        automation=earlier[0][0] if earlier else "",
    )


def _started_just_now(item: Start) -> Started:
    """The row is of this very run, whose commit was not heard of: its call has not been made yet."""
    own = Delivery.objects.filter(pk=item.delivery.id, status=Delivery.Status.SENDING) if item.delivery else None
    return Started(id=item.id, may_send=own is not None and own.exists())


def advance(items: Sequence[Advance]) -> list[bool]:
    """Write the moves down, in one transaction; for each whether its delivery may be sent."""
    with transaction.atomic():
        end(entries.ended_deliveries(items))
        sendable = iter(begin(entries.new_deliveries(items)))
        _close_events([item for item in items if item.outcome])
    return [item.delivery is None or next(sendable) for item in items]


def _close_events(items: Sequence[Advance]) -> None:
    endings: dict[tuple[str, str], list[UUID]] = {}
    for item in items:
        endings.setdefault((item.outcome, item.reason[:300]), []).append(item.event_id)
    for (outcome, reason), ids in endings.items():
        Event.objects.filter(pk__in=ids).update(outcome=outcome, reason=reason, finished_at=timezone.now())
    retried = [item.event_key for item in items if not item.is_new]
    if retried:
        deadletters.resolve(retried)
