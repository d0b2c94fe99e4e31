"""Finding out what became of a call whose outcome is unknown: by the echo that Meta sends of every message.

A call has no key that comes back with the echo, and an unconfirmed one no message id. What both have are account,
person, text and time: the echo's stamp is when the message was sent, and that is within moments of the call. An echo
that belongs to another delivery, by its message id, settles nothing. Public replies and messages without text have no
such echo: an operator decides (`automations.decisions`). docs/adr/0026-the-echo-settles.md has the reasons.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from automations.events import Echo, NoticeKind, words_key
from automations.models import Delivery, Event
from queueops import awaited, database

logger = logging.getLogger(__name__)

Status = Delivery.Status
Outcome = Event.Outcome

SHORTEST_WAIT = 5.0
ECHOED = (Delivery.Kind.DM, Delivery.Kind.PRIVATE_REPLY)
# Meta stamps a message between our record of its call and the moment when we gave up: but its clock differs a little
# from ours, and it may still take a while over a call that we waited for no longer.
CLOCKS_DIFFER = timedelta(seconds=10)
MAY_TAKE = timedelta(minutes=2)
# What has no echo by then has none; a delivery whose worker died may stay `sending` until its job is recovered.
MAY_COME = timedelta(minutes=15)


def outcome_of(statuses: Iterable[str]) -> str:
    """The outcome of an event with these deliveries: the least certain of what was sent, `skipped` when nothing was."""
    found = set(statuses)
    if found & {Status.UNCONFIRMED, Status.SENDING}:
        return Outcome.UNCONFIRMED
    return Outcome.SENT if Status.SENT in found else Outcome.SKIPPED


async def expect(event_id: UUID, automation: str, step: int) -> bool:
    """Await the echo of a delivery that is written as unconfirmed; whether it has come already, and settled it.

    Call it after the commit: an echo that comes from then on finds the row. It may be called again, and must be by the
    next run when this one was killed meanwhile. Raises NotAwaited while Redis is away, for as long as that may matter.
    """
    delivery = await database.run(_find, event_id, automation, step)
    if delivery is None or not (words := words_of(delivery)):
        return False
    event = delivery.event
    try:
        note = await awaited.expect(f"{NoticeKind.ECHO.value}:{words_key(event.account, event.person, words)}")
    except awaited.NotAwaited:
        if delivery.finished_at is not None and timezone.now() - delivery.finished_at > MAY_COME:
            return False
        raise
    if note is None:
        return False
    at_ms, _, mid = note.partition(" ")
    echo = Echo(account=event.account, person=event.person, source_id=mid, at_ms=int(at_ms), text=words)
    return bool(await database.run(settle, echo) == delivery.pk)


def _find(event_id: UUID, automation: str, step: int) -> Delivery | None:
    rows = Delivery.objects.select_related("event").filter(automation_key=automation, step=step, kind__in=ECHOED)
    return rows.filter(event_id=event_id, event__person__gt="").first()


def words_of(delivery: Delivery) -> str:
    """The text of the message, "" when it has none that an echo would repeat."""
    message = delivery.body.get("message")
    words: Any = message.get("text") if isinstance(message, dict) else None
    return words.strip() if isinstance(words, str) else ""


def under_way(echo: Echo) -> float:
    """In how many seconds to settle this echo, because the call it may be of is not over by our records; 0.0 for now.

    Echoes that come through the database or directly are looked at whenever they come. Ever longer, for MAY_COME.
    """
    at = datetime.fromtimestamp(echo.at_ms / 1000, UTC)
    age = timezone.now() - at
    sending = _to_person(echo).filter(status=Status.SENDING, kind__in=ECHOED, created_at__lte=at + CLOCKS_DIFFER)
    if age > MAY_COME or _belongs_to_another(echo):
        return 0.0
    is_sending = any(words_of(row) == echo.text.strip() for row in sending)
    return max(age.total_seconds(), SHORTEST_WAIT) if is_sending else 0.0


def _to_person(echo: Echo) -> QuerySet[Delivery]:
    return Delivery.objects.filter(event__account=echo.account, event__person=echo.person)


def _belongs_to_another(echo: Echo) -> bool:
    """Whether a delivery is known to be this message."""
    return _to_person(echo).filter(message_id=echo.source_id).exists()


def settle(echo: Echo) -> UUID | None:
    """Mark the delivery that this is the echo of as sent; its key, None when there is none, or no longer."""
    at = datetime.fromtimestamp(echo.at_ms / 1000, UTC)
    about_then = _to_person(echo).filter(
        status=Status.UNCONFIRMED,
        kind__in=ECHOED,
        created_at__lte=at + CLOCKS_DIFFER,
        finished_at__gte=at - MAY_TAKE,
    )
    with transaction.atomic():
        # Locked before they are looked at: of the same echo twice at once the second finds what the first has done.
        found = [row for row in _locked(about_then) if words_of(row) == echo.text.strip()]
        if not found or _belongs_to_another(echo):
            return None
        newest = found[-1].pk
        confirm(newest, echo.source_id)
    logger.info("action=settled by=echo delivery=%s", newest)
    return newest


def _locked(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    return deliveries.select_for_update(of=("self",)).order_by("id")


def confirm(delivery_id: UUID, message_id: str = "") -> bool:
    """Mark an unconfirmed delivery as sent, and its event accordingly; whether it was still unconfirmed."""
    with transaction.atomic():
        unconfirmed = Delivery.objects.filter(pk=delivery_id, status=Status.UNCONFIRMED)
        now = timezone.now()
        if not unconfirmed.update(status=Status.SENT, message_id=message_id, error=None, finished_at=now):
            return False
        recount(Delivery.objects.values_list("event_id", flat=True).get(pk=delivery_id))
    return True


def recount(event_id: UUID) -> str:
    """Bring the outcome of an event that ended as unconfirmed up to what its deliveries say now; the outcome.

    One that is under way does so itself when it ends.
    """
    with transaction.atomic():
        event = Event.objects.select_for_update().get(pk=event_id)
        if event.outcome == Outcome.UNCONFIRMED:
            rows = list(event.deliveries.order_by("step").values_list("status", "error"))
            outcome = outcome_of(status for status, _ in rows)
            if outcome != Outcome.UNCONFIRMED:
                why = [str((error or {}).get("title", "")) for status, error in rows if status != Status.SENT]
                event.outcome, event.reason = outcome, "".join(why[:1])[:300]
                event.save(update_fields=["outcome", "reason"])
    return str(event.outcome)
