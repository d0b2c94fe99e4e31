"""One call each: recorded before it is made, and the guard against a second one. See `Delivery` for its states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
    """One step on its way out, or one that will not go (`status` skipped). id: that of its row, if it is a new one."""

    id: UUID = field(default_factory=new_id)
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


@dataclass(frozen=True, slots=True)
class Ended:
    """A step of an event's automation that was called, or found cut off."""

    event_id: UUID
    automation: str
    result: Result


def begin(news: Sequence[Begun]) -> list[bool]:
    """Write the deliveries; for each whether it is ours to send."""
    if not news:
        return []
    existing = Delivery.objects.filter(
        Q(event_id__in=[new.event_id for new in news])
        | Q(once_key__in=[new.delivery.once_key for new in news if new.delivery.once_key])
    )
    by_step = {(row.event_id, row.automation_key, row.step): row for row in existing}
    used = {row.once_key for row in by_step.values() if row.once_key}
    rows = []
    sendable = []
    for new in news:
        step = (new.event_id, new.automation, new.delivery.step)
        is_ours = step not in by_step and new.delivery.once_key not in used
        if is_ours:
            by_step[step] = Delivery(**begun_row(new))
            rows.append(by_step[step])
            if new.delivery.once_key:
                used.add(new.delivery.once_key)
        sendable.append(is_ours or (step in by_step and _may_still(by_step[step], new.delivery)))
    Delivery.objects.bulk_create(rows)
    return sendable


def begun_row(new: Begun) -> dict[str, Any]:
    """The columns of a new delivery."""
    delivery = new.delivery
    now = timezone.now()
    return {
        "id": delivery.id,
        "event_id": new.event_id,
        "automation_id": new.automation,
        "automation_key": new.automation,
        "step": delivery.step,
        "kind": delivery.kind,
        "recipient": delivery.recipient[:255],
        "body": delivery.body,
        "status": delivery.status,
        "message_id": "",
        "error": delivery.error,
        "once_key": delivery.once_key,
        "created_at": now,
        "finished_at": None if delivery.status == Status.SENDING else now,
    }


def _may_still(found: Delivery, delivery: NewDelivery) -> bool:
    """Whether one that is there already may be sent: this very one, whose commit was not heard of, or a refused one."""
    if found.pk == delivery.id:
        return found.status == delivery.status
    return _reopen(found, delivery)


def _reopen(found: Delivery, delivery: NewDelivery) -> bool:
    """Try once more what Meta refused before, and so certainly was not sent; who changes the row first may send."""
    refused = Delivery.objects.filter(pk=found.pk, status=Status.FAILED)
    return bool(refused.update(status=delivery.status, error=delivery.error, body=delivery.body, finished_at=None))


def ended_row(ended: Ended) -> dict[str, Any]:
    """The columns that the end of a delivery changes, and those that say which."""
    return {
        "status": ended.result.status,
        "message_id": ended.result.message_id,
        "error": ended.result.error,
        "finished_at": timezone.now(),
        "event_id": ended.event_id,
        "automation_key": ended.automation,
        "step": ended.result.step,
    }


def end(results: Sequence[Ended]) -> None:
    """Write down how steps ended, whatever another run has made of them meanwhile: who called knows best."""
    if not results:
        return
    # One statement for many rows: as one UPDATE with a CASE the ORM took half of a worker's whole time.
    meta = Delivery._meta
    to_db = {field.attname: field.get_db_prep_save for field in meta.concrete_fields}
    sql = f"UPDATE {connection.ops.quote_name(meta.db_table)} SET status = %s, message_id = %s, error = %s, "  # noqa: S608
    sql += "finished_at = %s WHERE event_id = %s AND automation_key = %s AND step = %s"
    rows = [[to_db[name](value, connection) for name, value in ended_row(ended).items()] for ended in results]
    with connection.cursor() as cursor:
        cursor.executemany(sql, rows)
