"""Dead jobs against their letters: each is in `rq:failed` and has one open dead letter, or operators cannot help it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from redis import Redis

from queueops import deadletters, moves
from queueops.errors import Reject
from queueops.jobs import Failure
from queueops.models import DeadLetter, FallbackJob
from queueops.runner import work_to_show

# A letter is written before its job moves; between the two it is no finding.
SETTLED_SECONDS = 300.0
LETTERS_A_LOOK = 1000

FORGET = """
-- ARGV: id, lane. A dead job of which nothing is known any more leaves. Answers 1, or 0 when it has a job.
if redis.call('HEXISTS', 'rq:job:' .. ARGV[1], 'data') == 1 then return 0 end
return redis.call('ZREM', 'rq:failed:' .. ARGV[2], ARGV[1])
"""


def without_letter(redis: Redis, lane: str, ids: Collection[str], repair: bool) -> list[tuple[str, str]]:
    """(id, what is wrong) of those of the lane's dead that have no open letter. Raises RedisError, DatabaseError."""
    lettered = set(DeadLetter.objects.dead().filter(event__in=ids).values_list("event", flat=True))
    found = ((job_id, _one(redis, lane, job_id, repair)) for job_id in ids if job_id not in lettered)
    return [(job_id, what) for job_id, what in found if what]


def _one(redis: Redis, lane: str, job_id: str, repair: bool) -> str:
    """What is wrong with a dead job without an open letter; "" when nothing is."""
    job: Any = redis.hmget(f"rq:job:{job_id}", "data", "exc_info", "attempts", "dispatched")
    data, reason, attempts, dispatched = job
    if (data and not dispatched) or redis.zscore(f"rq:failed:{lane}", job_id) is None:
        return ""  # RQ's own, or an operator was quicker
    if not data:
        if repair:
            redis.register_script(FORGET)(args=[job_id, lane])
        return "dead, with neither a job nor a letter"
    last = DeadLetter.objects.filter(event=job_id).order_by("-id").first()
    if last is not None and last.status == DeadLetter.Status.DISCARDED:
        if repair:
            redis.register_script(moves.DISCARD)(args=[job_id, lane])
        return "discarded, and still among the dead"
    if repair:
        _write(lane, job_id, data, (reason or b"").decode(errors="replace"), int(attempts or 0))
    return "dead, without an open letter"


def _write(lane: str, job_id: str, data: bytes, reason: str, attempts: int) -> None:
    error = Reject(reason or "Given up; its dead letter was not written.")
    work = work_to_show(data)
    failure = Failure(dead=True, at=timezone.now(), reason=error.reason, attempt=attempts)
    deadletters.write(job_id, work.path, lane, work.args, failure, error)


def without_job(redis: Redis, after: str) -> tuple[list[tuple[str, str]], str]:
    """(id, what is wrong) of open letters whose job is nowhere, from the one after this key on; the last looked at.

    Nothing to repair: an operator may retry such a letter, which makes its job again. Raises RedisError, DatabaseError.
    """
    letters = DeadLetter.objects.dead().filter(created_at__lt=timezone.now() - timedelta(seconds=SETTLED_SECONDS))
    if after:
        letters = letters.filter(pk__gt=UUID(after))
    rows = list(letters.order_by("pk").values_list("pk", "event")[:LETTERS_A_LOOK])
    missing = _unknown(redis, [event for _, event in rows])
    return [(event, "an open letter, and no job") for event in missing], str(rows[-1][0]) if rows else ""


def _unknown(redis: Redis, ids: Sequence[str]) -> Iterable[str]:
    with redis.pipeline(transaction=False) as pipeline:
        for job_id in ids:
            pipeline.exists(f"rq:job:{job_id}")
        there = pipeline.execute()
    missing = [job_id for job_id, is_there in zip(ids, there, strict=True) if not is_there]
    kept = set(FallbackJob.objects.filter(job__in=missing).values_list("job", flat=True))
    return [job_id for job_id in missing if job_id not in kept]
