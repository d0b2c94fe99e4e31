"""What is written down about events while they are processed: many events at a time, a handful of statements each time.

The rows are the guard: an event's key is unique, a delivery is unique per event, automation and step, and a private
reply per comment. A delivery is committed as `sending` before its call, so a crash leaves evidence, never a doubt
about whether there may have been a call. Two processes that write the same row at the same instant: one of them gets
an IntegrityError, its transaction is undone, and its next attempt sees the other's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from automations import events, people
from automations.cache import AccountInfo
from automations.deliveries import Begun, NewDelivery, Result, begin, end
from automations.models import Delivery, Event
from queueops import deadletters
from queueops.jobs import Failure, Verb

TEXT_CHARACTERS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """An event that is being processed, with what was decided. `outcome` is final when there is nothing to send."""

    event: events.Event
    receipt: str
    lane: str
    received_at: datetime
    happened_at: datetime
    account: AccountInfo | None
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
    last_inbound_at: datetime | None = None
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


def start(items: Sequence[Start]) -> list[Started]:
    """Open the events' rows and keep the conversations up to date; in one transaction."""
    with transaction.atomic():
        known = {row.key: row for row in Event.objects.filter(key__in={item.event.key for item in items})}
        noted = people.note(
            (item.account.id, item.event, item.happened_at)
            for item in items
            if item.account is not None and item.event.person
        )
        fresh = {item.event.key: _row(item) for item in items if item.event.key not in known}
        Event.objects.bulk_create(fresh.values())
        sendable = begin(
            Begun(fresh[item.event.key].pk, item.automation, item.delivery)
            for item in items
            if item.event.key in fresh and item.automation and item.delivery
        )
        return [
            _started_anew(item, known[item.event.key], people.last_inbound(noted, item.account, item.event))
            if item.event.key in known
            else Started(
                id=fresh[item.event.key].pk,
                may_send=fresh[item.event.key].pk in sendable,
                last_inbound_at=people.last_inbound(noted, item.account, item.event),
            )
            for item in items
        ]


def _row(item: Start) -> Event:
    event = item.event
    now = timezone.now()
    return Event(
        key=event.key,
        receipt=item.receipt,
        kind=event.kind.value,
        lane=item.lane,
        account=event.account,
        person=event.person,
        source_id=event.source_id,
        text=getattr(event, "text", "")[:TEXT_CHARACTERS],
        payload=event.as_payload(),
        outcome=item.outcome,
        reason=item.reason,
        automation_id=item.automation,
        rules=list(item.rules),
        happened_at=item.happened_at,
        received_at=item.received_at,
        started_at=now,
        finished_at=now if item.outcome in Event.FINAL else None,
    )


def _started_anew(item: Start, row: Event, last_inbound_at: datetime | None) -> Started:
    """An event that has a row: a redelivery of one that is over, or a later attempt, which decides anew."""
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
        last_inbound_at=last_inbound_at,
        deliveries={step: status for _, step, status in earlier},
        automation=earlier[0][0] if earlier else "",
    )


def advance(items: Sequence[Advance]) -> list[bool]:
    """Write the moves down, in one transaction; for each whether its delivery may be sent (another run may have it)."""
    with transaction.atomic():
        end([(item.event_id, item.automation, item.result) for item in items if item.result is not None])
        sendable = begin(Begun(item.event_id, item.automation, item.delivery) for item in items if item.delivery)
        _close_events([item for item in items if item.outcome])
    return [item.delivery is None or item.event_id in sendable for item in items]


def _close_events(items: Sequence[Advance]) -> None:
    endings: dict[tuple[str, str], list[UUID]] = {}
    for item in items:
        endings.setdefault((item.outcome, item.reason[:300]), []).append(item.event_id)
    for (outcome, reason), ids in endings.items():
        Event.objects.filter(pk__in=ids).update(outcome=outcome, reason=reason, finished_at=timezone.now())
    retried = [item.event_key for item in items if not item.is_new]
    if retried:
        deadletters.resolve(retried)


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
