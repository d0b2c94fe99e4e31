"""Carrying out operations on many dead letters: a worker's turn takes one that is due, and handles its next slice.

What a worker may be killed between is written down first: which letters it has in hand (`Operation.slice`). Only those
that are still dead are ever touched, each names the operation that handled it, and both the count and the audit entry
are made from that in one transaction. So whoever takes the operation up next finishes what the last one began.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import Q
from django.utils import timezone
from redis.exceptions import RedisError

from queueops import connections, deadletters, operations, operators
from queueops.audit import By
from queueops.embedded import EmbeddedValkeyError
from queueops.keys import new_id
from queueops.models import DeadLetter, FallbackJob, Operation
from queueops.operations import RETRY, State

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
# A turn keeps one of the worker's database threads; this many letters take well under a second.
LETTERS_A_SLICE = 100
CANARY_LOOK = timedelta(seconds=2)
AWAY_LOOK = timedelta(seconds=5)
# After the canary: how far back the retried letters are looked at, and how many at most.
JUDGED = timedelta(minutes=1)
MOST_JUDGED = 1000
FEWEST_JUDGED = 10
MOST_AGAIN = 0.1

UNDER_WAY = {b"queued", b"started", b"scheduled", b"deferred"}
DEAD = {b"failed", b"stopped"}

DELIVERED = "delivered already"
TAKEN = "handled by somebody else meanwhile, or their window closed"


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of retried letters: how many are under way, ended well, died again; of these of the same cause."""

    under_way: int
    well: int
    again: int
    same_cause: int

    @property
    def ended(self) -> int:
        return self.well + self.again


def turn() -> bool:
    """Take one operation that is due and go on with it; whether there was one. Raises DatabaseError, InterfaceError."""
    operation = _take()
    if operation is None:
        return False
    try:
        _go_on(operation)
    except (RedisError, OSError, EmbeddedValkeyError) as error:
        logger.warning("action=operation_waits operation=%s error=%s", operation.pk, error)
        operators.record_slice(operation, _by(operation))
        _let_go(operation, timezone.now() + AWAY_LOOK)
    except (DatabaseError, InterfaceError):
        raise  # when the lease ends somebody goes on
    except Exception as error:
        logger.exception("action=operation_failed operation=%s", operation.pk)
        operators.record_slice(operation, _by(operation))
        _halt(operation, f"an error of our own, which is in the log: {type(error).__name__}")
    return True


def _take() -> Operation | None:
    now = timezone.now()
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    due = Operation.objects.filter(free, state=State.RUNNING, next_at__lte=now)
    for key in due.order_by("next_at").values_list("pk", flat=True)[:5]:
        mine = new_id().hex
        if due.filter(pk=key).update(lease_until=now + LEASE, leased_by=mine):
            operation = Operation.objects.select_related("asked_by").get(pk=key)
            if operation.started_at is None:
                operation.started_at = now
                Operation.objects.filter(pk=key).update(started_at=now)
            return operation
    return None


def _mine(operation: Operation) -> Any:
    """The row, while this turn holds it."""
    return Operation.objects.filter(pk=operation.pk, leased_by=operation.leased_by)


def _let_go(operation: Operation, next_at: datetime) -> None:
    _mine(operation).update(lease_until=None, leased_by="", next_at=next_at)


def _go_on(operation: Operation) -> None:
    if operation.slice:  # its worker died over it
        operators.record_slice(operation, _by(operation))
    if operation.asked_by is None and operation.through != "command":
        _halt(operation, f"{operation.asked_by_name}, who asked for it, is no longer here")
        return
    if not operation.is_counted:
        operations.count(operation)
    n, wait = _room(operation)
    if wait is not None:
        _let_go(operation, timezone.now() + wait)
    elif n:
        _handle(operation, n)


def _room(operation: Operation) -> tuple[int, timedelta | None]:
    """How many letters may be handled now, or how long to wait; (0, None): it was halted."""
    if operation.what != RETRY:
        return LETTERS_A_SLICE, None
    if operation.canary and not operation.canary_passed:
        if operation.done < operation.canary:
            return min(operation.canary - operation.done, LETTERS_A_SLICE), None
        return _after_canary(operation)
    since = max(timezone.now() - JUDGED, operation.judged_from or operation.created_at)
    fates = fates_of(list(operation.letters.filter(handled_at__gte=since).order_by("-handled_at")[:MOST_JUDGED]))
    if fates.ended >= FEWEST_JUDGED and fates.same_cause > MOST_AGAIN * fates.ended:
        _halt(operation, f"{fates.same_cause} of the last {fates.ended} that ended died again of the same cause")
        return 0, None
    return LETTERS_A_SLICE, None


def _after_canary(operation: Operation) -> tuple[int, timedelta | None]:
    fates = fates_of(list(operation.letters.all()))
    if fates.again:
        same = "of the same cause" if fates.same_cause == fates.again else f"{fates.same_cause} of the same cause"
        _halt(operation, f"{fates.again} of the {operation.done} that went first died again, {same}")
        return 0, None
    if fates.under_way:
        return 0, CANARY_LOOK
    operation.canary_passed, operation.judged_from = True, timezone.now()
    _mine(operation).update(canary_passed=True, judged_from=operation.judged_from)
    return LETTERS_A_SLICE, None


def fates_of(letters: Sequence[DeadLetter]) -> Fates:
    """What became of the jobs of these retried letters. Raises RedisError.

    Redis is asked first: a job's new letter is written before the job leaves Redis' lists, so one that has left them
    and has no new letter ended well.
    """
    statuses = _statuses([letter.event for letter in letters])
    newer: dict[str, DeadLetter] = {}
    if letters:
        since = min(letter.handled_at or letter.created_at for letter in letters)
        rows = DeadLetter.objects.filter(event__in=[letter.event for letter in letters], created_at__gt=since)
        newer = {row.event: row for row in rows.defer("payload", "traceback", "edits").order_by("pk")}
    under_way = well = again = same = 0
    for letter in letters:
        follower = newer.get(letter.event)
        if statuses[letter.event] in UNDER_WAY:
            under_way += 1
        elif (follower is not None and follower.pk != letter.pk) or statuses[letter.event] in DEAD:
            again += 1
            same += follower is None or follower.fingerprint == letter.fingerprint
        else:
            well += 1
    return Fates(under_way, well, again, same)


def _statuses(ids: Sequence[str]) -> dict[str, bytes]:
    """RQ's word for each job; "" when it is over. What the database tier holds waits, too."""
    with connections.client().pipeline(transaction=False) as pipeline:
        for job_id in ids:
            pipeline.hget(f"rq:job:{job_id}", "status")
        found: list[bytes | None] = pipeline.execute()
    statuses = {job_id: status or b"" for job_id, status in zip(ids, found, strict=True)}
    for job_id in FallbackJob.objects.filter(job__in=ids).values_list("job", flat=True):
        statuses[job_id] = b"queued"
    return statuses


def _handle(operation: Operation, n: int) -> None:
    began = timezone.now()
    after = Q(pk__gt=operation.cursor) if operation.cursor else Q()
    letters = list(operations.candidates(operation).filter(after).defer("traceback", "edits")[:n])
    if not letters:
        _finish(operation)
        return
    in_hand = [str(letter.pk) for letter in letters]
    # Cancelled meanwhile, or taken from a worker that was taken for dead: then it is not this turn's any more.
    if not _mine(operation).filter(state=State.RUNNING).update(slice=in_hand, lease_until=began + LEASE):
        _let_go(operation, began)
        return
    operation.slice = in_hand
    delivered = deadletters.delivered(letters) if operation.what == RETRY else {}
    handle = deadletters.retry if operation.what == RETRY else deadletters.discard
    handle([letter for letter in letters if letter.pk not in delivered], operation.asked_by, operation)
    with transaction.atomic():
        operators.record_slice(operation, _by(operation))
        _leave_out(operation, DELIVERED, len(delivered))
        _mine(operation).update(cursor=letters[-1].pk)
    _let_go(operation, began + timedelta(seconds=len(letters) / operation.pace))


def _leave_out(operation: Operation, why: str, n: int) -> None:
    if n:
        operation.left_out = {**operation.left_out, why: operation.left_out.get(why, 0) + n}
        Operation.objects.filter(pk=operation.pk).update(left_out=operation.left_out)


def _finish(operation: Operation) -> None:
    now = timezone.now()
    missing = operation.total - operation.done - operation.left_out.get(DELIVERED, 0)
    with transaction.atomic():
        if _mine(operation).filter(state=State.RUNNING).update(state=State.DONE, finished_at=now):
            _leave_out(operation, TAKEN, max(missing, 0))
    _let_go(operation, now)
    logger.info("action=operation_done operation=%s what=%s n=%d", operation.pk, operation.what, operation.done)


def _halt(operation: Operation, why: str) -> None:
    _mine(operation).filter(state=State.RUNNING).update(state=State.HALTED, halted_because=why)
    _let_go(operation, timezone.now())
    logger.warning("action=operation_halted operation=%s why=%s", operation.pk, why)


def _by(operation: Operation) -> By:
    return By(operation.asked_by, operation.through, operation.reason, shell=operation.asked_by_name)
