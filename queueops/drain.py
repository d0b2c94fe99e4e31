"""Moving what the database tier holds into Redis, exactly once and in order: by lane, the oldest first.

The steps of one move, each of which may be the last before a kill:
1. One mover at a time holds `cad:draining`; the move of one that held it for too long is refused by the script itself,
   and then leaves everything to the other.
2. Rows are marked `moving` in the database. From here on no worker runs them from there, for nobody can know any more,
   without asking Redis, whether they are in Redis.
3. One script puts them into Redis and their keys into `cad:moved`, in the same instant. A key that is there already is
   passed over, so the step can be repeated for ever.
4. The rows are deleted, then their keys leave `cad:moved`.

What was received was counted in the database and stays so; the move itself counts nothing, but for a job that Redis
knows already, which is a duplicate. A row whose key is in `cad:moved` is counted where Redis has it (`tally.read`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from redis import Redis

from queueops import replicas
from queueops.jobs import Lane
from queueops.keys import new_id
from queueops.models import FallbackJob, FallbackKept
from queueops.rq_jobs import MAKE_JOB, RQ_RETRIES_LEFT, rq_now
from queueops.taking import KEPT_KEY, KEPT_LENGTH

logger = logging.getLogger(__name__)

ROWS_A_MOVE = 500
KEPT_A_MOVE = 50  # of up to a megabyte each
HOLD_MS = 30_000
MOVED_KEY = "cad:moved"

HOLD = """
-- ARGV: mover, for how long (ms). Answers 1, or 0 when another one moves.
local holder = redis.call('GET', 'cad:draining')
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', 'cad:draining', ARGV[1], 'PX', ARGV[2])
return 1
"""

LET_GO = """
if redis.call('GET', 'cad:draining') == ARGV[1] then redis.call('DEL', 'cad:draining') end
return 1
"""

MOVE = (
    MAKE_JOB
    + """
-- ARGV: mover, now (RQ's format), now (s), dedup window in s, time-out in s, retries left, depth,
--       n x (row, id, lane, raised lane, tenant, data, func, attempts, run after (s), error)
-- Answers one character a row: m moved or there already, f no room. '' when another one moves.
if redis.call('GET', 'cad:draining') ~= ARGV[1] then return '' end
local now, seconds, window, timeout, retries = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local room = tonumber(ARGV[7])
for _, lane in ipairs({'high', 'default', 'low'}) do room = room - redis.call('LLEN', 'rq:queue:' .. lane) end
local answers, duplicates = {}, 0
for i = 8, #ARGV, 10 do
  local row, id, lane, raised, tenant, data, func, attempts, after, error = unpack(ARGV, i, i + 9)
  local key = 'rq:job:' .. id
  local answer = 'm'
  if redis.call('SISMEMBER', 'cad:moved', row) == 0 then
    if redis.call('EXISTS', key, 'cad:seen:' .. id) > 0 then
      redis.call('SADD', 'cad:moved', row)
      duplicates = duplicates + 1
    elseif room <= 0 then
      answer = 'f'
    else
      redis.call('SADD', 'cad:moved', row)
      redis.call('SET', 'cad:seen:' .. id, '1', 'EX', window)
      if tenant ~= '' and redis.call('SISMEMBER', 'cad:vip', tenant) == 1 then lane = raised end
      make_job(key, now, lane, data, func, timeout, retries)
      redis.call('HSET', key, 'attempts', attempts)
      if error ~= '' then
        redis.call('HSET', key, 'status', 'failed', 'ended_at', now, 'exc_info', error)
        redis.call('ZADD', 'rq:failed:' .. lane, '+inf', id)
      elseif tonumber(after) > seconds then
        redis.call('HSET', key, 'status', 'scheduled')
        redis.call('ZADD', 'rq:scheduled:' .. lane, after, id)
      else
        redis.call('RPUSH', 'rq:queue:' .. lane, id)
        room = room - 1
      end
    end
  end
  answers[#answers + 1] = answer
end
redis.call('SADD', 'rq:queues', 'rq:queue:high', 'rq:queue:default', 'rq:queue:low')
if duplicates > 0 then redis.call('HINCRBY', 'cad:ledger', 'duplicate', duplicates) end
return table.concat(answers)
"""
)


def is_needed() -> bool:
    """Whether anything waits to be moved. Raises DatabaseError."""
    return FallbackJob.objects.exists() or FallbackKept.objects.exists()


def drain(redis: Redis) -> int:
    """Move up to ROWS_A_MOVE rows; how many went. 0: nothing is left, Redis has no room, or another one moves.

    Raises RedisError or DatabaseError; what was begun is finished by the next call, whoever makes it.
    """
    mover = new_id().hex
    if not redis.register_script(HOLD)(args=[mover, HOLD_MS]):
        return 0
    try:
        _forget_finished_moves(redis)
        _move_kept(redis)
        return _move(redis, mover)
    finally:
        redis.register_script(LET_GO)(args=[mover])


def moved(redis: Redis) -> set[UUID]:
    """The rows that Redis has, and the database has yet to delete. Raises RedisError."""
    keys: Any = redis.smembers(MOVED_KEY)
    return {UUID(key.decode()) for key in keys}


def _forget_finished_moves(redis: Redis) -> None:
    """A mover was killed between deleting rows and forgetting their keys."""
    keys = moved(redis)
    if keys:
        there = set(FallbackJob.objects.filter(pk__in=keys).values_list("pk", flat=True))
        _forget(redis, keys - there)


def _forget(redis: Redis, keys: set[UUID]) -> None:
    if keys:
        redis.srem(MOVED_KEY, *map(str, keys))


def _move(redis: Redis, mover: str) -> int:
    rows = _mark()
    gone = _put(redis, mover, rows) if rows else set()
    if gone is None:
        return 0  # they stay marked: whoever moves now may have put them into Redis
    # Those that are certainly not in Redis: workers may have them again.
    FallbackJob.objects.filter(pk__in=[row.pk for row in rows if row.pk not in gone]).update(moving=False)
    _delete(gone)
    _forget(redis, gone)
    if gone:
        logger.info("action=fallback_moved n=%d", len(gone))
    return len(gone)


def _put(redis: Redis, mover: str, rows: Sequence[FallbackJob]) -> set[UUID] | None:
    """The rows that Redis has now; None when another one moves by now, because this move took too long."""
    # With too few replicas the rows stay marked: the next move finds them in Redis, or moves them into another master.
    answers = replicas.run(redis, MOVE, _move_args(mover, rows))
    if not answers:
        return None
    return {row.pk for row, answer in zip(rows, answers.decode(), strict=False) if answer == "m"}


def _delete(keys: set[UUID]) -> None:
    FallbackJob.objects.filter(pk__in=keys).delete()


def _mark() -> list[FallbackJob]:
    """The next rows, marked as being moved; those that an earlier mover left so come in their place."""
    rows: list[FallbackJob] = []
    with transaction.atomic():
        for lane in Lane:
            rows += _mark_lane(lane, ROWS_A_MOVE - len(rows))
    return rows


def _mark_lane(lane: Lane, wanted: int) -> list[FallbackJob]:
    now = timezone.now()
    of_lane = FallbackJob.objects.filter(lane=lane)
    ready = of_lane.free(now) | of_lane.filter(moving=True)
    candidates = ready.order_by("id")
    if connection.features.has_select_for_update_skip_locked:
        candidates = candidates.select_for_update(skip_locked=True)
    keys = list(candidates.values_list("pk", flat=True)[:wanted])
    ready.filter(pk__in=keys).update(moving=True, lease_until=None, leased_by="")
    return list(FallbackJob.objects.filter(pk__in=keys, moving=True).order_by("id"))


def _move_args(mover: str, rows: Sequence[FallbackJob]) -> list[Any]:
    args: list[Any] = [
        mover,
        rq_now(),
        datetime.now(UTC).timestamp(),
        settings.QUEUE_DEDUP_WINDOW_SECONDS,
        settings.QUEUE_JOB_TIMEOUT_SECONDS,
        RQ_RETRIES_LEFT,
        settings.QUEUE_MAX_DEPTH,
    ]
    for row in rows:
        lane = Lane(row.lane)
        args += (str(row.pk), row.job, lane.value, lane.raised.value, row.tenant, bytes(row.data), row.func)
        args += (row.attempts, f"{row.run_after.timestamp():.3f}", row.error)
    return args


def _move_kept(redis: Redis) -> None:
    """Show what nobody could use with the rest of its kind; a kill here shows some of it twice."""
    rows = list(FallbackKept.objects.order_by("id")[:KEPT_A_MOVE])
    if not rows:
        return
    with redis.pipeline(transaction=True) as pipeline:
        for row in rows:
            entry: dict[Any, Any] = {"at": row.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "reason": row.reason}
            pipeline.xadd(KEPT_KEY, {**entry, "raw": bytes(row.raw)}, maxlen=KEPT_LENGTH, approximate=True)
        pipeline.execute()
    FallbackKept.objects.filter(pk__in=[row.pk for row in rows]).delete()
