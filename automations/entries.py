"""What is to be written down about one event while it is processed, as values and as the columns of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from automations import events
from automations.deliveries import Begun, Ended, NewDelivery, Result
from automations.models import Event

TEXT_CHARACTERS = 4000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """An event that is being processed, with what was decided. `outcome` is final when there is nothing to send.

    id: that of its row, if it is a new one: a run that did not hear of its commit and writes again knows it by that.
    """

    id: UUID
    event: events.Event
    receipt: str
    lane: str
    received_at: datetime
    happened_at: datetime
    outcome: str
    reason: str = ""
    automation: str | None = None
    rules: tuple[Any, ...] = ()
    # The first step, where nothing that we do not know yet stands against it.
    delivery: NewDelivery | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The event's row, and what an earlier run of it left behind: deliveries by step, and whose they are.

    may_send: whether `Start.delivery` was written and may be sent.
    """

    id: UUID
    is_over: bool = False
    is_redelivery: bool = False
    is_new: bool = True
    may_send: bool = False
    deliveries: dict[int, str] = field(default_factory=dict)
    automation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """One move of an event: the result of a step, the beginning of the next, the end of the event; any of them."""

    event_id: UUID
    event_key: str
    automation: str
    is_new: bool
    result: Result | None = None
    delivery: NewDelivery | None = None
    outcome: str = ""
    reason: str = ""


def event_row(item: Start) -> Row:
    """The columns of a new event."""
    event = item.event
    now = timezone.now()
    return {
        "id": item.id,
        "key": event.key,
        "receipt": item.receipt,
        "kind": event.kind.value,
        "lane": item.lane,
        "account": event.account,
        "person": event.person,
        "source_id": event.source_id,
        "text": getattr(event, "text", "")[:TEXT_CHARACTERS],
        "payload": event.as_payload(),
        "outcome": item.outcome,
        "reason": item.reason,
        "automation_id": item.automation,
        "rules": item.rules,
        "attempts": [],
        "happened_at": item.happened_at,
        "received_at": item.received_at,
        "started_at": now,
        "finished_at": now if item.outcome in Event.FINAL else None,
    }


def first_deliveries(items: Sequence[Start], rows: Sequence[Row]) -> list[Begun]:
    """The deliveries that begin with their events, whose rows are given."""
    return [
        Begun(row["id"], item.automation, item.delivery)
        for item, row in zip(items, rows, strict=True)
        if item.automation and item.delivery
    ]


def new_deliveries(items: Iterable[Advance]) -> list[Begun]:
    """The deliveries that these moves begin."""
    return [Begun(item.event_id, item.automation, item.delivery) for item in items if item.delivery]


def ended_deliveries(items: Iterable[Advance]) -> list[Ended]:
    """The deliveries that these moves end."""
    return [Ended(item.event_id, item.automation, item.result) for item in items if item.result is not None]
