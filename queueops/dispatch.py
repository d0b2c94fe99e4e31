"""Taking work in: duplicate mark, enqueue and count in one atomic step, on disk before anybody is told "kept".

The step is one Lua script over all jobs of all batches that are waiting at that moment (group commit): with
`appendfsync always` one fsync then serves every request that came in meanwhile. Two doors, one script: `dispatch` for
the event loop of the ASGI edge, `dispatch_sync` for Django's view.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from django.conf import settings
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from queueops import connections
from queueops.jobs import Batch, Job, Receipt
from queueops.keys import new_id
from queueops.loops import PerLoop

VIP_KEY = "cad:vip"  # tenants whose jobs go one lane up
KEPT_KEY = "cad:kept"  # a stream of what nobody could use, for the console
KEPT_LENGTH = 1000
KEPT_BYTES = 1_048_576
JOBS_A_CALL = 2000  # keeps one script call at some 20 ms

# RQ's own cleanup (any stock worker, any page of django-rq) gives a job whose worker died back to its lane only while
# it has retries left, and fails it otherwise. How often a job may fail is our runner's business (queueops.retry).
RQ_RETRIES_LEFT = 1_000_000

TAKE = """
-- ARGV: now, dedup window in s, time-out in s, retries left, kept length, n,
--       n x (ignored name, count), n, n x (kept reason, bytes), n, n x (id, lane, raised lane, tenant, data, func)
-- Answers one character a job: 1 taken, 0 duplicate.
local at = 5
local function arg() at = at + 1; return ARGV[at] end
local now, window, timeout, retries = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local ignored = 0
for _ = 1, tonumber(arg()) do
  local name, n = arg(), arg()
  redis.call('HINCRBY', 'cad:ignored', name, n)
  ignored = ignored + n
end
for _ = 1, tonumber(arg()) do
  redis.call('XADD', 'cad:kept', 'MAXLEN', '~', ARGV[5], '*', 'at', now, 'reason', arg(), 'raw', arg())
end
local total = tonumber(arg())
local answers, taken = {}, 0
for i = 1, total do
  local id, lane, raised, tenant, data, func = arg(), arg(), arg(), arg(), arg(), arg()
  local key = 'rq:job:' .. id
  -- The job itself remembers while it waits or runs, the mark for a short while after.
  if redis.call('EXISTS', key) == 1 or not redis.call('SET', 'cad:seen:' .. id, '1', 'NX', 'EX', window) then
    answers[i] = '0'
  else
    if tenant ~= '' and redis.call('SISMEMBER', 'cad:vip', tenant) == 1 then lane = raised end
    redis.call('HSET', key, 'created_at', now, 'enqueued_at', now, 'data', data, 'origin', lane, 'status', 'queued',
      'timeout', timeout, 'result_ttl', '0', 'failure_ttl', '-1', 'retries_left', retries, 'description', func,
      'dispatched', '1')
    redis.call('RPUSH', 'rq:queue:' .. lane, id)
    answers[i] = '1'
    taken = taken + 1
  end
end
redis.call('SADD', 'rq:queues', 'rq:queue:high', 'rq:queue:default', 'rq:queue:low')
redis.call('HINCRBY', 'cad:ledger', 'received', total + ignored)
if total > taken then redis.call('HINCRBY', 'cad:ledger', 'duplicate', total - taken) end
if ignored > 0 then redis.call('HINCRBY', 'cad:ledger', 'ignored', ignored) end
return table.concat(answers)
"""


class Unavailable(Exception):
    """No tier could take the batch; whether a part of it was kept is unknown, so the sender must send it again."""


def encode(job: Job, receipt: dict[str, Any]) -> bytes:
    """RQ's `data` field: function, instance, args, kwargs, as RQ's JSONSerializer reads it."""
    return orjson.dumps([job.func, None, [job.payload, receipt], {}])


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch with its jobs already encoded: what cannot be encoded fails its own caller and no other."""

    batch: Batch
    job_args: list[Any]


def prepare(batch: Batch) -> Prepared:
    """Raises TypeError when a payload is not JSON."""
    receipt = {"id": str(new_id()), "at": datetime.now(UTC).isoformat()}
    args: list[Any] = []
    for job in batch.jobs:
        args += (job.id, job.lane.value, job.lane.raised.value, job.tenant, encode(job, receipt), job.func)
    return Prepared(batch, args)


def _script_args(group: Sequence[Prepared]) -> list[Any]:
    ignored: Counter[str] = Counter()
    for prepared in group:
        ignored.update(prepared.batch.ignored)
    kept = [item for prepared in group for item in prepared.batch.kept]
    args: list[Any] = [
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        settings.QUEUE_DEDUP_WINDOW_SECONDS,
        settings.QUEUE_JOB_TIMEOUT_SECONDS,
        RQ_RETRIES_LEFT,
        KEPT_LENGTH,
        len(ignored),
    ]
    for name, n in ignored.items():
        args += (name, n)
    args.append(len(kept))
    for reason, raw in kept:
        args += (reason, zlib.compress(raw[:KEPT_BYTES]))
    args.append(sum(len(prepared.batch.jobs) for prepared in group))
    for prepared in group:
        args += prepared.job_args
    return args


def _receipts(group: Sequence[Prepared], answers: bytes) -> list[Receipt]:
    receipts = []
    start = 0
    for batch in (prepared.batch for prepared in group):
        end = start + len(batch.jobs)
        accepted = answers[start:end].count(b"1")
        receipts.append(Receipt(accepted, len(batch.jobs) - accepted, sum(batch.ignored.values())))
        start = end
    return receipts


class GroupCommit:
    """Gathers the batches of concurrent requests into one script call; the next goes out when the last is back."""

    def __init__(self, redis: AsyncRedis) -> None:
        self._take = redis.register_script(TAKE)
        self._waiting: list[tuple[Prepared, asyncio.Future[Receipt]]] = []
        self._committing: asyncio.Task[None] | None = None

    async def submit(self, batch: Batch) -> Receipt:
        """Keep the batch. Raises Unavailable, or TypeError when a payload is not JSON."""
        prepared = prepare(batch)
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.append((prepared, future))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_all())
        return await future

    async def _commit_all(self) -> None:
        while self._waiting:
            group = self._next_group()
            try:
                receipts = await self._commit([prepared for prepared, _ in group])
            except (RedisError, OSError) as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(Unavailable(str(error)))
                continue
            for (_, future), receipt in zip(group, receipts, strict=True):
                if not future.done():  # the client may have gone away; its batch is kept all the same
                    future.set_result(receipt)

    def _next_group(self) -> list[tuple[Prepared, asyncio.Future[Receipt]]]:
        size = n = 0
        while n < len(self._waiting) and (n == 0 or size + self._size(n) <= JOBS_A_CALL):
            size += self._size(n)
            n += 1
        group, self._waiting = self._waiting[:n], self._waiting[n:]
        return group

    def _size(self, n: int) -> int:
        return len(self._waiting[n][0].batch.jobs)

    async def _commit(self, group: Sequence[Prepared]) -> list[Receipt]:
        answers = await self._take(args=_script_args(group))
        return _receipts(group, answers)


_group_commit = PerLoop(lambda: GroupCommit(connections.async_client()))


async def dispatch(batch: Batch) -> Receipt:
    """Keep the batch together with those of concurrent callers on this loop.

    Raises Unavailable, or TypeError when a payload is not JSON.
    """
    return await _group_commit().submit(batch)


def dispatch_sync(batch: Batch) -> Receipt:
    """Keep the batch, from a thread. Raises Unavailable, or TypeError when a payload is not JSON."""
    group = [prepare(batch)]
    try:
        redis = connections.client()
        answers = redis.register_script(TAKE)(args=_script_args(group))
    except (RedisError, OSError) as error:
        raise Unavailable(str(error)) from error
    return _receipts(group, answers)[0]


def set_vip(tenant: str, is_vip: bool) -> None:
    """Have this tenant's jobs go one lane up, or no longer. Raises RedisError."""
    if is_vip:
        connections.client().sadd(VIP_KEY, tenant)
    else:
        connections.client().srem(VIP_KEY, tenant)
