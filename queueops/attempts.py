"""Attempts that failed and were followed by another: kept until their job's dead letter takes them over.

A job that ends well after all leaves its rows behind; they go some days later, with what others write.
"""

from __future__ import annotations

import random
import traceback
from datetime import timedelta
from typing import Any

from django.utils import timezone

from queueops import scrubbing
from queueops.jobs import Failure
from queueops.keys import first_id_of
from queueops.models import FailedAttempt

TRACEBACK_CHARACTERS = 20_000
ERROR_CHARACTERS = 500
MOST_TAKEN = 50
# Longer than a job is tried for: the longest of Meta's windows is seven days.
KEPT = timedelta(days=8)
ONE_IN, FORGOTTEN_AT_ONCE = 100, 1000


def note(job_id: str, failure: Failure, error: BaseException) -> None:
    """Keep an attempt that is followed by another. Raises DatabaseError, InterfaceError."""
    FailedAttempt.objects.create(
        job=job_id,
        number=failure.attempt,
        at=failure.at,
        error=one_line(failure),
        traceback=traceback_of(error),
    )
    if random.randrange(ONE_IN) == 0:  # noqa: S311 - nothing to guess
        forget_old()


def of(job_id: str) -> list[dict[str, Any]]:
    """The newest MOST_TAKEN of the job, oldest first, as its dead letter keeps them."""
    rows = FailedAttempt.objects.filter(job=job_id).order_by("-pk")[:MOST_TAKEN]
    return [
        {"at": row.at.isoformat(), "number": row.number, "error": row.error, "traceback": row.traceback}
        for row in reversed(rows)
    ]


def forget(job_id: str) -> None:
    """The dead letter has them, in the same transaction."""
    FailedAttempt.objects.filter(job=job_id).delete()


def forget_old() -> None:
    """Delete some of those that no letter will take over any more."""
    old = FailedAttempt.objects.filter(pk__lt=first_id_of(timezone.now() - KEPT)).order_by("pk")
    keys = list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
    if keys:
        FailedAttempt.objects.filter(pk__in=keys).delete()


def one_line(failure: Failure) -> str:
    """Why it failed, as a database keeps it."""
    return failure.reason.replace("\x00", "\ufffd")[:ERROR_CHARACTERS]


def traceback_of(error: BaseException) -> str:
    """Scrubbed before it is cut: half a secret would not be recognised."""
    whole = scrubbing.scrub("".join(traceback.format_exception(error)))
    return whole[-TRACEBACK_CHARACTERS:].replace("\x00", "\ufffd")
