"""What is old and over, and may be deleted: events with their deliveries, dead letters that were taken up, alerts.

Nothing that is open goes: an event that waits, is retried, dead or unconfirmed; one with a delivery that is sending or
unconfirmed, or with an open dead letter; a letter that nobody has taken up; an alert that stands. The audit log stays
for ever.

Rows are walked by their key, which grows with time, in short transactions: each batch is read by the primary key and
holds its locks for some milliseconds. Several of these may run at once; each counts what it deleted itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, models, transaction
from django.db.models import Exists, OuterRef, QuerySet

from automations.models import Delivery, Event
from automations.windows import PRIVATE_REPLY_WINDOW
from queueops.keys import first_id_of, time_of
from queueops.models import Alert, DeadLetter

BATCH = 1000
# A row is the guard against answering twice: for as long as a comment may have its one private reply, and a day more,
# which is longer than Meta's 36 hours of delivering again.
KEPT_AT_LEAST = PRIVATE_REPLY_WINDOW + timedelta(days=1)

OVER = tuple(outcome for outcome in Event.FINAL if outcome != Event.Outcome.UNCONFIRMED)
OPEN_DELIVERIES = (Delivery.Status.SENDING, Delivery.Status.UNCONFIRMED)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one batch deleted (or would); until: how far back in time the walk has come."""

    events: int = 0
    deliveries: int = 0
    letters: int = 0
    alerts: int = 0
    until: datetime | None = None

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            self.events + other.events,
            self.deliveries + other.deliveries,
            self.letters + other.letters,
            self.alerts + other.alerts,
            other.until or self.until,
        )


def prune(before: datetime, *, dry_run: bool = False) -> Iterator[Pruned]:
    """Delete what was over before then, oldest first; yields after each batch. Only counts with `dry_run`.

    Raises ValueError when `before` is so late that guards against answering twice would go.
    """
    if before > datetime.now(before.tzinfo) - KEPT_AT_LEAST:
        raise ValueError(
            f"Rows of the last {KEPT_AT_LEAST.days} days stay: they are the guard against answering twice. "
            f"Give at least --days {KEPT_AT_LEAST.days}."
        )
    yield from _walk(Event, _old_events(before), before, _count_events if dry_run else _delete_events)
    yield from _walk(DeadLetter, _old_letters(before), before, _count_letters if dry_run else _delete_letters)
    yield from _walk(Alert, _old_alerts(before), before, _count_alerts if dry_run else _delete_alerts)


def _old_events(before: datetime) -> QuerySet[Event]:
    open_deliveries = Delivery.objects.filter(event_id=OuterRef("pk"), status__in=OPEN_DELIVERIES)
    open_letters = DeadLetter.objects.dead().filter(event=OuterRef("key"))
    return Event.objects.filter(
        ~Exists(open_deliveries), ~Exists(open_letters), outcome__in=OVER, finished_at__lt=before
    )


def _old_letters(before: datetime) -> QuerySet[DeadLetter]:
    return DeadLetter.objects.exclude(status=DeadLetter.Status.DEAD).filter(handled_at__lt=before)


def _old_alerts(before: datetime) -> QuerySet[Alert]:
    return Alert.objects.filter(closed_at__lt=before)


def _walk(
    table: type[models.Model],
    old: QuerySet[Any],
    before: datetime,
    take: Callable[[list[uuid.UUID]], Pruned],
) -> Iterator[Pruned]:
    """Go through the keys in batches. The place is kept by key, so that what stays is looked at once."""
    last, end = uuid.UUID(int=0), first_id_of(before)
    while True:
        # All rows of the stretch, then the old among them: a batch costs the same wherever the old ones are.
        stretch = table._default_manager.filter(pk__gt=last, pk__lt=end).order_by("pk").values_list("pk", flat=True)
        keys = list(stretch[:BATCH])
        if not keys:
            return
        with transaction.atomic():
            rows = old.filter(pk__in=keys).order_by("pk")
            if connection.features.has_select_for_update_skip_locked:
                rows = rows.select_for_update(skip_locked=True, of=("self",))  # another one of us is on those
            pruned = take(list(rows.values_list("pk", flat=True)))
        last = keys[-1]
        yield pruned + Pruned(until=time_of(last, before))


def _delete_events(keys: list[uuid.UUID]) -> Pruned:
    _, counts = Event.objects.filter(pk__in=keys).delete()
    return Pruned(events=counts.get(Event._meta.label, 0), deliveries=counts.get(Delivery._meta.label, 0))


def _count_events(keys: list[uuid.UUID]) -> Pruned:
    return Pruned(events=len(keys), deliveries=Delivery.objects.filter(event_id__in=keys).count())


def _delete_letters(keys: list[uuid.UUID]) -> Pruned:
    n, _ = DeadLetter.objects.filter(pk__in=keys).delete()
    return Pruned(letters=n)


def _count_letters(keys: list[uuid.UUID]) -> Pruned:
    return Pruned(letters=len(keys))


def _delete_alerts(keys: list[uuid.UUID]) -> Pruned:
    n, _ = Alert.objects.filter(pk__in=keys).delete()
    return Pruned(alerts=n)


def _count_alerts(keys: list[uuid.UUID]) -> Pruned:
    return Pruned(alerts=len(keys))
