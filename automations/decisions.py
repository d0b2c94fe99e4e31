"""What an operator decides about a delivery whose outcome nobody knows: that it was sent, or to send it again.

Each is one transaction together with its entry in the audit log, and does nothing when somebody, or an echo, was
quicker. Sending again is another attempt of the event: the rule's other steps stay as they are, windows, limits and
"one private reply per comment" are checked anew, and the row stays the guard.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from automations.models import Delivery, Event
from automations.settling import confirm
from automations.task_paths import PROCESS_EVENT
from queueops import again, audit
from queueops.again import StillQueued
from queueops.audit import By
from queueops.jobs import Job, Lane

__all__ = ["StillQueued", "job_of", "mark_sent", "send_again"]


def mark_sent(delivery_id: UUID, by: By) -> bool:
    """Take the delivery for sent; whether it was still unconfirmed."""
    with transaction.atomic():
        if not confirm(delivery_id):
            return False
        _record(Delivery.objects.get(pk=delivery_id), by, "mark as sent")
    return True


def send_again(delivery_id: UUID, by: By) -> bool:
    """Have the delivery sent again; False when it, or its event, is not unconfirmed any more. Raises StillQueued."""
    with transaction.atomic():
        unconfirmed = Delivery.objects.filter(pk=delivery_id, status=Delivery.Status.UNCONFIRMED)
        # As if Meta had refused it: that is what a later attempt begins with.
        if not unconfirmed.update(status=Delivery.Status.FAILED):
            return False
        delivery = Delivery.objects.select_related("event").get(pk=delivery_id)
        event = delivery.event
        # The row of an event that is under way belongs to its worker.
        ended = Event.objects.filter(pk=event.pk, outcome=Event.Outcome.UNCONFIRMED)
        if not ended.update(outcome=Event.Outcome.WAITING, finished_at=None):
            transaction.set_rollback(True)
            return False
        _record(delivery, by, "send again")
        again.run_again([job_of(event)])
    return True


def job_of(event: Event) -> Job:
    """The job that processes the event, as its intake made it."""
    lane = Lane(event.lane or Lane.DEFAULT)
    return Job(id=event.key, lane=lane, func=PROCESS_EVENT, payload=event.payload, tenant=event.account)


def _record(delivery: Delivery, by: By, action: str) -> None:
    targets = [(str(delivery.pk), f"{delivery.get_kind_display()} to {delivery.recipient}")]
    details = {"event": delivery.event.key, "step": delivery.step}
    audit.record(audit.Act(by=by, action=action, kind=audit.kind_of(Delivery), targets=targets, details=details))
