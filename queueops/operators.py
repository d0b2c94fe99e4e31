"""What operators do to dead letters, done and written into the audit log: by page, command or API alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.utils import timezone

from queueops import audit, deadletters
from queueops.audit import By
from queueops.models import DeadLetter

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
