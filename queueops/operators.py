"""What operators do to dead letters, done and written into the audit log: by page, command or API alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from queueops import audit, deadletters
from queueops.audit import By
from queueops.models import DeadLetter, Operation

Handle = Callable[[Iterable[DeadLetter], Any], int]


def retry(letters: Iterable[DeadLetter], by: By, **details: Any) -> int:
    """Put dead letters back into their lanes; how many went. Raises RedisError: then those before it went."""
    return _act(letters, by, "retry", deadletters.retry, details)


def discard(letters: Iterable[DeadLetter], by: By, **details: Any) -> int:
    """Give dead letters up for good; how many. Raises RedisError: then those before it are given up."""
    return _act(letters, by, "discard", deadletters.discard, details)


STATUSES = {"retry": DeadLetter.Status.RETRIED, "discard": DeadLetter.Status.DISCARDED}


def _act(letters: Iterable[DeadLetter], by: By, action: str, handle: Handle, details: dict[str, Any]) -> int:
    rows = list(letters)
    began = timezone.now()
    try:
        return handle(rows, by.user)
    finally:
        # Looked up, not taken from the answer: so that it is also right when Redis went away in the middle.
        done = DeadLetter.objects.filter(
            pk__in=[row.pk for row in rows], status=STATUSES[action], handled_by=by.user, handled_at__gte=began
        )
        targets = [(str(pk), event) for pk, event in done.values_list("pk", "event")]
        if targets:
            audit.record(
                audit.Act(by=by, action=action, kind=audit.kind_of(DeadLetter), targets=targets, details=details)
            )


def record_slice(operation: Operation, by: By) -> None:
    """Count and audit those of the operation's letters in hand that it has handled, and take them out of its hand.

    From what the letters say themselves, in one transaction: so each is counted and audited once, whoever calls it how
    often, and also after a worker was killed in the middle.
    """
    with transaction.atomic():
        row = Operation.objects.select_for_update().get(pk=operation.pk)
        handled = DeadLetter.objects.filter(pk__in=row.slice, operation=operation)
        targets = [(str(pk), event) for pk, event in handled.values_list("pk", "event")]
        Operation.objects.filter(pk=row.pk).update(slice=[], done=F("done") + len(targets))
        if targets:
            details = {"operation": str(row.pk)}
            audit.record(
                audit.Act(by=by, action=row.what, kind=audit.kind_of(DeadLetter), targets=targets, details=details)
            )
    operation.slice, operation.done = [], row.done + len(targets)


def edit(letter: DeadLetter, args: list[Any], by: By) -> int:
    """Change what the letter's job is given, and put it back into its lane; 1 when it went.

    Raises ValueError, in words, when the job could not read it: nothing is changed then. Raises RedisError: then it is
    changed and still dead.
    """
    with transaction.atomic():
        deadletters.edit(letter, args, by.who)
        target = (str(letter.pk), letter.event)
        audit.record(audit.Act(by=by, action="edit", kind=audit.kind_of(DeadLetter), targets=[target]))
    return retry([letter], by)
