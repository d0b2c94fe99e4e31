"""The Redis tier's own words: the script that takes jobs in, what it is told, and what it answers."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from django.conf import settings

from queueops.jobs import Batch, Job, Lane, Receipt
from queueops.keys import new_id_text
from queueops.rq_jobs import MAKE_JOB, RQ_RETRIES_LEFT, rq_now
from queueops.wire import Script

VIP_KEY = "cad:vip"  # tenants whose jobs go one lane up
KEPT_KEY = "cad:kept"  # a stream of what nobody could use, for the console
KEPT_LENGTH = 1000
KEPT_BYTES = 1_048_576
# Longer than it takes to find out that one must wait: a call's time-out, or a killed worker's job being taken up.
HEARD_SECONDS = 900

TAKE = Script.of(
    MAKE_JOB
    + """
-- ARGV: now, dedup window in s, time-out in s, retries left, kept length, most that may wait, most a minute, n,
--       n x (ignored name, count), n, n x (kept reason, bytes), n, n x (id, lane, raised lane, tenant, data, func),
--       n, n x (name, key, note, how long to keep it, and the six of its job) of what was heard
-- Answers one character a job, then one a thing heard: 1 taken, 0 duplicate, - ignored because nobody awaits it, which
-- the counts of the ignored say already; or refuses everything with FULL.
local call = redis.call
local at = 7
local function arg() at = at + 1; return ARGV[at] end
local now, window, timeout, retries = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if call('LLEN', 'rq:queue:high') + call('LLEN', 'rq:queue:default') + call('LLEN', 'rq:queue:low') >= tonumber(ARGV[6])
then return redis.error_reply('FULL QUEUE_MAX_DEPTH jobs are waiting') end
local ignored = 0
for _ = 1, tonumber(arg()) do
  local name, n = arg(), arg()
  call('HINCRBY', 'cad:ignored', name, n)
  ignored = ignored + n
end
for _ = 1, tonumber(arg()) do
  call('XADD', 'cad:kept', 'MAXLEN', '~', ARGV[5], '*', 'at', now, 'reason', arg(), 'raw', arg())
end
local total = tonumber(arg())
-- What comes beyond the most of a minute is put off into the lowest lane, never refused.
local room, deferred = math.huge, 0
if ARGV[7] ~= '0' and total > 0 then
  local minute = 'cad:taken:' .. string.sub(now, 1, 16)
  local so_far = call('INCRBY', minute, total)
  if so_far == total then call('EXPIRE', minute, 120) end
  room = tonumber(ARGV[7]) - so_far + total
end
local answers, taken, arrived, vip = {}, 0, {}, {}
local function take()
  local id, lane, raised, tenant, data, func = arg(), arg(), arg(), arg(), arg(), arg()
  local key = 'rq:job:' .. id
  -- The job itself remembers while it waits or runs, the mark for a short while after.
  if call('EXISTS', key) == 1 or not call('SET', 'cad:seen:' .. id, '1', 'NX', 'EX', window) then return '0' end
  if vip[tenant] == nil then vip[tenant] = tenant ~= '' and call('SISMEMBER', 'cad:vip', tenant) == 1 end
  if taken >= room then
    lane, raised = 'low', 'default'
    deferred = deferred + 1
  end
  if vip[tenant] then lane = raised end
  make_job(key, now, lane, data, func, timeout, retries)
  local queue = 'rq:queue:' .. lane
  -- A lane without jobs is no key, and RQ may have forgotten it.
  if call('RPUSH', queue, id) == 1 then call('SADD', 'rq:queues', queue) end
  taken = taken + 1
  arrived[lane] = (arrived[lane] or 0) + 1
  return '1'
end
for i = 1, total do answers[i] = take() end
for _ = 1, tonumber(arg()) do
  local name, key = arg(), arg()
  -- Also when it is awaited: whoever awaits it may not be the only one.
  call('SET', 'cad:heard:' .. key, arg(), 'EX', arg())
  if call('EXISTS', 'cad:await:' .. key) == 1 then
    call('HINCRBY', 'cad:ignored', name, -1)
    ignored, total = ignored - 1, total + 1
    answers[#answers + 1] = take()
  else
    at = at + 6
    answers[#answers + 1] = '-'
  end
end
call('HINCRBY', 'cad:ledger', 'received', total + ignored)
if total > taken then call('HINCRBY', 'cad:ledger', 'duplicate', total - taken) end
if ignored > 0 then call('HINCRBY', 'cad:ledger', 'ignored', ignored) end
if deferred > 0 then call('HINCRBY', 'cad:ledger', 'deferred', deferred) end
-- What came into which lane, beside the minute's other counts (`queueops.metrics`).
local minute = taken > 0 and 'cad:minute:' .. math.floor(call('TIME')[1] / 60)
for lane, n in pairs(arrived) do
  if call('HINCRBY', minute, 'n:arrived:' .. lane, n) == n then call('EXPIRE', minute, 7200) end
end
return table.concat(answers)
"""
)


_LANES = {lane: (lane.value, lane.raised.value) for lane in Lane}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch with its jobs already encoded: what cannot be encoded fails its own caller and no other."""

    batch: Batch
    job_args: list[Any]
    heard_args: list[Any]


def prepare(batch: Batch) -> Prepared:
    """Raises TypeError when a payload is not JSON."""
    # The encoder writes the time as `isoformat` would, and faster.
    receipt = {"id": new_id_text(), "at": datetime.now(UTC)} if batch.jobs or batch.heard else {}
    args: list[Any] = []
    for job in batch.jobs:
        args += _job_args(job, receipt)
    heard_args: list[Any] = []
    for heard in batch.heard:
        heard_args += (heard.name, heard.key, heard.note, HEARD_SECONDS, *_job_args(heard.job, receipt))
    return Prepared(batch, args, heard_args)


def _job_args(job: Job, receipt: dict[str, Any]) -> tuple[Any, ...]:
    return job.id, *_LANES[job.lane], job.tenant, encode(job, receipt), job.func


def encode(job: Job, receipt: dict[str, Any]) -> bytes:
    """RQ's `data` field: function, instance, args, kwargs, as RQ's JSONSerializer reads it."""
    return orjson.dumps([job.func, None, [job.payload, receipt], {}])


def script_args(group: Sequence[Prepared]) -> list[Any]:
    """TAKE's arguments for all of these batches."""
    ignored: dict[str, int] = {}
    kept: list[tuple[str, bytes]] = []
    jobs = heard = 0
    for prepared in group:
        batch = prepared.batch
        jobs += len(batch.jobs)
        heard += len(batch.heard)
        kept += batch.kept
        for name, n in batch.ignored.items():
            ignored[name] = ignored.get(name, 0) + n
    args: list[Any] = [
        rq_now(),
        settings.QUEUE_DEDUP_WINDOW_SECONDS,
        settings.QUEUE_JOB_TIMEOUT_SECONDS,
        RQ_RETRIES_LEFT,
        KEPT_LENGTH,
        settings.QUEUE_MAX_DEPTH,
        settings.QUEUE_MAX_WEBHOOKS_PER_MINUTE,
        len(ignored),
    ]
    for name, n in ignored.items():
        args += (name, n)
    args.append(len(kept))
    for reason, raw in kept:
        args += (reason, zlib.compress(raw[:KEPT_BYTES]))
    args.append(jobs)
    for prepared in group:
        args += prepared.job_args
    args.append(heard)
    for prepared in group:
        args += prepared.heard_args
    return args


def receipts(group: Sequence[Prepared], answers: bytes) -> list[Receipt]:
    """Each batch's own part of what TAKE answered to all of them."""
    found = []
    start = 0
    heard = sum(len(prepared.batch.jobs) for prepared in group)
    for prepared in group:
        batch = prepared.batch
        end, heard_end = start + len(batch.jobs), heard + len(batch.heard)
        accepted = answers.count(b"1", start, end)
        duplicate = end - start - accepted
        ignored = sum(batch.ignored.values())
        if batch.heard:
            awaited, again = answers.count(b"1", heard, heard_end), answers.count(b"0", heard, heard_end)
            accepted, duplicate, ignored = accepted + awaited, duplicate + again, ignored - awaited - again
        found.append(Receipt(accepted, duplicate, ignored))
        start, heard = end, heard_end
    return found
