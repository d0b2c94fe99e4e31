"""One call each: recorded before it is made, and the guard against a second one. See `Delivery` for its states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from automations.models import Delivery
from queueops.keys import new_id

Status = Delivery.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """One step on its way out, or one that will not go (`status` skipped)."""

    step: int
    kind: str
    recipient: str
    body: dict[str, Any]
    status: str = Status.SENDING
    error: dict[str, Any] | None = None
    once_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one step ended."""

    step: int
    status: str
    message_id: str = ""
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A step of an event's automation that is about to be sent."""

    event_id: UUID
    automation: str
    delivery: NewDelivery


def begin(news: Iterable[Begun]) -> set[UUID]:
    """Write the deliveries; the events whose delivery is ours to send."""
    wanted = list(news)
    if not wanted:
        return set()
    existing = Delivery.objects.filter(
        Q(event_id__in=[new.event_id for new in wanted])
        | Q(once_key__in=[new.delivery.once_key for new in wanted if new.delivery.once_key])
    )
    by_step = {(row.event_id, row.automation_key, row.step): row for row in existing}
    used = {row.once_key: row for row in by_step.values() if row.once_key}
    rows = []
    sendable = set()
    for new in wanted:
        found = by_step.get((new.event_id, new.automation, new.delivery.step))
        if found is None and (new.delivery.once_key is None or new.delivery.once_key not in used):
            row = _delivery_row(new)
            rows.append(row)
            if row.once_key:
                used[row.once_key] = row
            sendable.add(new.event_id)
        elif found is not None and _reopen(found, new.delivery):
            sendable.add(new.event_id)
    Delivery.objects.bulk_create(rows)
    return sendable


def _delivery_row(new: Begun) -> Delivery:
    delivery = new.delivery
    return Delivery(
        id=new_id(),
        event_id=new.event_id,
        automation_id=new.automation,
        automation_key=new.automation,
        step=delivery.step,
        kind=delivery.kind,
        recipient=delivery.recipient[:255],
        body=delivery.body,
        status=delivery.status,
        error=delivery.error,
        once_key=delivery.once_key,
        finished_at=None if delivery.status == Status.SENDING else timezone.now(),
    )


def _reopen(found: Delivery, delivery: NewDelivery) -> bool:
    """Try once more what Meta refused before, and so certainly was not sent; who changes the row first may send."""
    refused = Delivery.objects.filter(pk=found.pk, status=Status.FAILED)
    return bool(refused.update(status=delivery.status, error=delivery.error, body=delivery.body, finished_at=None))


def end(results: Sequence[tuple[UUID, str, Result]]) -> None:
    """Write down how steps ended: event, automation and result of each."""
    now = timezone.now()
    _mark_sent([(event_id, result) for event_id, _, result in results if result.status == Status.SENT], now)
    for event_id, automation, result in results:
        if result.status != Status.SENT:
            Delivery.objects.filter(event_id=event_id, automation_key=automation, step=result.step).update(
                status=result.status, error=result.error, finished_at=now
            )


def _mark_sent(sent: Sequence[tuple[UUID, Result]], now: datetime) -> None:
    """One prepared statement for many rows: as one UPDATE with a CASE the ORM took half of a worker's whole time."""
    if not sent:
        return
    meta = Delivery._meta
    to_db = {field.name: field.get_db_prep_save for field in meta.concrete_fields}
    at = to_db["finished_at"](now, connection)
    # An event has one step in flight, so event and status name the row.
    sql = f"UPDATE {connection.ops.quote_name(meta.db_table)} SET status = %s, message_id = %s, error = NULL, "  # noqa: S608
    sql += "finished_at = %s WHERE event_id = %s AND status = %s"
    rows = [
        (Status.SENT.value, result.message_id, at, to_db["event"](event_id, connection), Status.SENDING.value)
        for event_id, result in sent
    ]
    with connection.cursor() as cursor:
        cursor.executemany(sql, rows)
