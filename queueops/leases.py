"""How workers hold rows of the database tier: claimed for a time, renewed while they run, given up or finished.

A claim is a fresh token in `leased_by`; whatever is done to a row later asks for that token, so that a worker whose
lease ran out changes nothing that another holds by now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from queueops import shares, tally
from queueops.jobs import Done
from queueops.keys import new_id
from queueops.models import FallbackJob
from queueops.runner import Claimed, Settled

LEASE_SECONDS = 60.0
RENEW_SECONDS = 20.0

UNHELD = {"lease_until": None, "leased_by": ""}


def claim(lanes: Sequence[str], free: int, served: int = 0) -> list[Claimed]:
    """Hold up to `free` rows for LEASE_SECONDS, oldest first within a lane. Raises DatabaseError.

    served: how many were asked for before; the lanes have their shares as they have in Redis (`moves.EXCHANGE`).
    """
    reserved = zip(reversed(lanes), reversed(shares.reserved(lanes, free, served)), strict=True)
    token = new_id().hex
    held: list[FallbackJob] = []
    with transaction.atomic():
        for lane, most in (*reserved, *((lane, free) for lane in lanes)):
            wanted = min(most, free - len(held))
            if wanted > 0:
                held += _hold(lane, wanted, token)
    return [_claimed(row) for row in held]


def _hold(lane: str, wanted: int, token: str) -> list[FallbackJob]:
    now = timezone.now()
    claimable = FallbackJob.objects.claimable(now).filter(lane=lane)
    candidates = claimable.order_by("id")
    if connection.features.has_select_for_update_skip_locked:
        candidates = candidates.select_for_update(skip_locked=True)
    keys = list(candidates.values_list("pk", flat=True)[:wanted])
    # The condition once more: where rows cannot be locked, somebody else may have been quicker.
    claimable.filter(pk__in=keys).update(lease_until=now + timedelta(seconds=LEASE_SECONDS), leased_by=token)
    return list(FallbackJob.objects.filter(pk__in=keys, leased_by=token).order_by("id"))


def _claimed(row: FallbackJob) -> Claimed:
    seconds = float(settings.QUEUE_JOB_TIMEOUT_SECONDS)
    return Claimed(row.lane, row.job, row.leased_by, bytes(row.data), seconds, row.attempts)


def renew(jobs: Iterable[Claimed]) -> None:
    """Hold these for another LEASE_SECONDS. Raises DatabaseError."""
    until = timezone.now() + timedelta(seconds=LEASE_SECONDS)
    running = list(jobs)
    FallbackJob.objects.filter(
        leased_by__in={job.execution for job in running}, job__in=[job.id for job in running]
    ).update(lease_until=until)


def settle(ended: Sequence[Settled]) -> int:
    """Let each row go where its run says, with its count, in one transaction; how many were no longer ours.

    Raises DatabaseError; then all of it may be done once more.
    """
    changes: Counter[str] = Counter()
    lost = 0
    with transaction.atomic():
        for one in ended:
            row = FallbackJob.objects.filter(job=one.job.id, leased_by=one.job.execution, moving=False)
            if one.how in set(Done):
                gone, _ = row.delete()
                changes[one.how] += gone
                lost += not gone
            else:
                lost += not row.update(**UNHELD, **outcome(one))
        tally.add(changes)
    return lost


def outcome(one: Settled) -> dict[str, object]:
    """The fields of a row whose job is not over: it runs later, was given up, or goes back as it was."""
    if one.how == "retry":
        return {"attempts": one.attempts, "run_after": datetime.fromtimestamp(float(one.detail), UTC)}
    if one.how in {"dead", "stopped"}:
        return {"attempts": one.attempts, "error": one.detail.replace("\x00", "\ufffd")[:500] or "Given up."}
    return {}
