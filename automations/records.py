"""What is written down about an event while it is processed. Each function takes many items and one transaction.

The rows are the guard: an event's key is unique, a delivery is unique per event, automation and step, and a private
reply per comment. A delivery is committed as `sending` before its call, so a crash leaves evidence, never a doubt
about whether there may have been a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Greatest
from django.utils import timezone

from automations import events
from automations.cache import AccountInfo
from automations.models import Contact, Conversation, Delivery, Event
from automations.windows import OPENS_WINDOW
from queueops import deadletters
from queueops.jobs import Failure

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The event's row, and what an earlier run of it left behind: deliveries by step, and whose they are."""

    id: UUID
    is_over: bool = False
    is_redelivery: bool = False
    last_inbound_at: datetime | None = None
    deliveries: dict[int, str] = field(default_factory=dict)
    automation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """One step on its way out."""

    step: int
    kind: str
    recipient: str
    body: dict[str, Any]
    status: str = Delivery.Status.SENDING
    error: dict[str, Any] | None = None
    once_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one step ended."""

    step: int
    status: str
    message_id: str = ""
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """One move of an event: the result of a step, the beginning of the next, the end of the event; any of them."""

    event_id: UUID
    event_key: str
    automation: str
    result: Result | None = None
    delivery: NewDelivery | None = None
    outcome: str = ""
    reason: str = ""


def start(items: Sequence[Start]) -> list[Started]:
    """Open the events' rows and keep the conversations up to date; nothing of this has left the house yet."""
    with transaction.atomic():
        return [_start(item) for item in items]


def _start(item: Start) -> Started:
    last_inbound_at = _note_person(item, item.account) if item.account and item.event.person else None
    row = Event.objects.filter(key=item.event.key).only("id", "receipt", "outcome").first()
    if row is None:
        row = _insert(item)
    elif row.is_final:
        return Started(id=row.pk, is_over=True, is_redelivery=row.receipt != item.receipt)
    else:
        _decide_again(row.pk, item)
    earlier = list(Delivery.objects.filter(event_id=row.pk).values_list("automation_key", "step", "status"))
    return Started(
        id=row.pk,
        last_inbound_at=last_inbound_at,
        deliveries={step: status for _, step, status in earlier},
        automation=earlier[0][0] if earlier else "",
    )


def _insert(item: Start) -> Event:
    event = item.event
    now = timezone.now()
    return Event.objects.create(
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


def _decide_again(row_id: UUID, item: Start) -> None:
    """A later attempt decides anew: the rules may have changed since."""
    final = item.outcome in Event.FINAL
    Event.objects.filter(pk=row_id).update(
        outcome=item.outcome,
        reason=item.reason,
        automation_id=item.automation,
        rules=list(item.rules),
        started_at=timezone.now(),
        finished_at=timezone.now() if final else None,
    )
    if final:
        deadletters.resolve([item.event.key])


def _note_person(item: Start, account: AccountInfo) -> datetime | None:
    """Keep contact and conversation; answers when the person last wrote, this event included."""
    username = getattr(item.event, "username", "")[:64]
    contact, created = Contact.objects.get_or_create(
        account_id=account.id,
        instagram_scoped_id=item.event.person[:64],
        defaults={"username": username},
    )
    if username and not created and contact.username != username:
        Contact.objects.filter(pk=contact.pk).update(username=username)
    inbound = item.happened_at if item.event.kind in OPENS_WINDOW else None
    conversation, created = Conversation.objects.get_or_create(contact=contact, defaults={"last_inbound_at": inbound})
    known = conversation.last_inbound_at
    if inbound is None or created or (known is not None and known >= inbound):
        return known
    later = Greatest("last_inbound_at", inbound) if known else inbound
    Conversation.objects.filter(pk=conversation.pk).update(last_inbound_at=later)
    return inbound


def advance(items: Sequence[Advance]) -> list[bool]:
    """Write the moves down. Answers for each whether its delivery may be sent: False when another run has it.

    Raises IntegrityError when two processes insert the same delivery at the same instant.
    """
    with transaction.atomic():
        return [_advance(item) for item in items]


def _advance(item: Advance) -> bool:
    if item.result is not None:
        _end_delivery(item, item.result)
    may_send = _begin_delivery(item, item.delivery) if item.delivery is not None else True
    if item.outcome:
        Event.objects.filter(pk=item.event_id).update(
            outcome=item.outcome, reason=item.reason[:300], finished_at=timezone.now()
        )
        deadletters.resolve([item.event_key])
    return may_send


def _end_delivery(item: Advance, result: Result) -> None:
    Delivery.objects.filter(event_id=item.event_id, automation_key=item.automation, step=result.step).update(
        status=result.status, message_id=result.message_id, error=result.error, finished_at=timezone.now()
    )


def _begin_delivery(item: Advance, new: NewDelivery) -> bool:
    same_step = Q(event_id=item.event_id, automation_key=item.automation, step=new.step)
    taken = Q(once_key=new.once_key) if new.once_key else Q(pk__in=[])
    existing = Delivery.objects.filter(same_step | taken).first()
    if existing is None:
        Delivery.objects.create(
            event_id=item.event_id,
            automation_id=item.automation,
            automation_key=item.automation,
            step=new.step,
            kind=new.kind,
            recipient=new.recipient[:255],
            body=new.body,
            status=new.status,
            error=new.error,
            once_key=new.once_key,
            finished_at=None if new.status == Delivery.Status.SENDING else timezone.now(),
        )
        return True
    # Meta refused this step before: it was certainly not sent, so it may be tried once more. Whoever changes the row
    # first may send.
    reopened = Delivery.objects.filter(pk=existing.pk, status=Delivery.Status.FAILED, event_id=item.event_id)
    return bool(reopened.update(status=new.status, error=new.error, body=new.body, finished_at=None))


def note_failure(event: events.Event, receipt: dict[str, Any], failure: Failure) -> None:
    """Show the failed attempt on the event, which may not have a row yet."""
    outcome = Event.Outcome.DEAD if failure.dead else Event.Outcome.RETRYING
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
            row.outcome, row.reason = outcome, failure.reason[:300]
            row.finished_at = failure.at if failure.dead else None
            row.attempts = [*row.attempts, attempt]
            row.save(update_fields=["outcome", "reason", "finished_at", "attempts"])
