"""The atomic steps that move a job between RQ's structures. Each is one Lua script: a job is always in exactly one.

Keys are RQ's own (rq 3.0): lists `rq:queue:<lane>`, sorted sets `rq:wip:<lane>` (members `<job>:<execution>`, scored
by the time until which the worker vouches for it), `rq:scheduled:<lane>`, `rq:failed:<lane>`, hashes `rq:job:<id>`,
`rq:execution:<job>:<execution>`, sets `rq:worker:<name>:executions`.
So RQ's tools and django-rq's pages show the truth. An execution's hash is written by its worker's first heartbeat:
most executions are over before anybody could look at it.
"""

from __future__ import annotations

CLAIM = """
-- ARGV: slots, now (RQ's format), vouched until (s), worker, execution prefix, first execution number, lanes…
-- Pops in lane order; of every 20 slots one serves the lowest lane first and two serve the second, so that they never
-- starve. Answers for each job {lane, id, execution, data, timeout, attempts, dispatched}.
local slots, now, vouched, worker = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local prefix, number = ARGV[5], tonumber(ARGV[6])
local lanes = {}
for i = 7, #ARGV do lanes[#lanes + 1] = ARGV[i] end
local empty = {}
local function pop(first)
  if first and not empty[first] then
    local id = redis.call('LPOP', 'rq:queue:' .. lanes[first])
    if id then return id, lanes[first] end
    empty[first] = true
  end
  for i, lane in ipairs(lanes) do
    if not empty[i] then
      local id = redis.call('LPOP', 'rq:queue:' .. lane)
      if id then return id, lane end
      empty[i] = true
    end
  end
end
local claimed = {}
while #claimed < slots do
  local turn = number % 20
  local first = nil
  if turn == 10 and #lanes > 1 then first = #lanes elseif (turn == 5 or turn == 15) and #lanes > 1 then first = 2 end
  local id, lane = pop(first)
  if not id then break end
  local key = 'rq:job:' .. id
  local job = redis.call('HMGET', key, 'data', 'timeout', 'attempts', 'dispatched')
  if job[1] then  -- an id without a job is what RQ, too, drops at this point: the job was deleted while it waited
    local execution = prefix .. number
    number = number + 1
    redis.call('HSET', key, 'status', 'started', 'started_at', now, 'last_heartbeat', now, 'worker_name', worker)
    redis.call('ZADD', 'rq:wip:' .. lane, vouched, id .. ':' .. execution)
    claimed[#claimed + 1] = {lane, id, execution, job[1], job[2] or '', job[3] or '0', job[4] or ''}
  end
end
if #claimed > 0 then redis.call('HSET', 'rq:worker:' .. worker, 'state', 'busy') end
return claimed
"""

# What every end of an execution has in common. It answers false when the execution is no longer the job's own: its
# worker was taken for dead and the job went to another, whose business it now is.
_END = """
local function ended(worker, lane, id, execution)
  local member = id .. ':' .. execution
  redis.call('DEL', 'rq:execution:' .. member)
  redis.call('SREM', 'rq:worker:' .. worker .. ':executions', member)
  return redis.call('ZREM', 'rq:wip:' .. lane, member) == 1
end
"""

SETTLE = (
    _END
    + """
-- ARGV: worker, now (RQ's format), JSON list of [how, lane, id, execution, detail, attempts]
-- how: `completed`, `duplicate` (a count of the ledger; the job is over), `retry` (detail: run after, s),
--      `dead` (detail: the error in one line), `back` (to the head of its lane, untouched).
-- Answers how many were no longer this worker's.
local worker, now, lost, done, failed = ARGV[1], ARGV[2], 0, 0, 0
local counts = {}
for _, one in ipairs(cjson.decode(ARGV[3])) do
  local how, lane, id, execution, detail, attempts = unpack(one)
  local key = 'rq:job:' .. id
  if not ended(worker, lane, id, execution) then
    lost = lost + 1
  elseif how == 'retry' then
    redis.call('HSET', key, 'status', 'scheduled', 'attempts', attempts)
    redis.call('ZADD', 'rq:scheduled:' .. lane, detail, id)
    failed = failed + 1
  elseif how == 'dead' then
    redis.call('HSET', key, 'status', 'failed', 'attempts', attempts, 'ended_at', now, 'exc_info', detail)
    redis.call('ZADD', 'rq:failed:' .. lane, '+inf', id)
    failed = failed + 1
  elseif how == 'back' then
    redis.call('HSET', key, 'status', 'queued')
    redis.call('LPUSH', 'rq:queue:' .. lane, id)
  else
    redis.call('DEL', key)
    counts[how] = (counts[how] or 0) + 1
    done = done + 1
  end
end
for how, n in pairs(counts) do redis.call('HINCRBY', 'cad:ledger', how, n) end
if redis.call('EXISTS', 'rq:worker:' .. worker) == 1 then
  if done > 0 then redis.call('HINCRBY', 'rq:worker:' .. worker, 'successful_job_count', done) end
  if failed > 0 then redis.call('HINCRBY', 'rq:worker:' .. worker, 'failed_job_count', failed) end
end
return lost
"""
)

RECOVER = """
-- ARGV: now (s), a worker counts as gone when silent since (s), a job counts as stuck when vouched until before (s),
--       dry run (1 or 0), hosts' dead workers as one string of lines, lanes…
-- Started jobs whose worker is gone, or for which nobody vouched in time (a claim whose answer was lost), go
-- back to the head of their lane. Answers for each lane how many.
local now, silent, stuck, dry = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local dead = {}
for name in string.gmatch(ARGV[5], '[^\\n]+') do dead[name] = true end
local known = {}
local function gone(worker)
  if known[worker] == nil then
    local beat, death = unpack(redis.call('HMGET', 'rq:worker:' .. worker, 'alive_at', 'death'))
    -- RQ's stock workers keep no `alive_at`: while their hash exists they are alive to RQ, and so to us.
    known[worker] = dead[worker] or death or (beat and tonumber(beat) < silent)
      or redis.call('EXISTS', 'rq:worker:' .. worker) == 0
  end
  return known[worker]
end
local answer = {}
for l = 6, #ARGV do
  local lane, n = ARGV[l], 0
  local started = redis.call('ZRANGE', 'rq:wip:' .. lane, 0, -1, 'WITHSCORES')
  for i = 1, #started, 2 do
    local member, vouched = started[i], tonumber(started[i + 1])
    local id = string.match(member, '^([^:]+)')
    local key = 'rq:job:' .. id
    local job = redis.call('HMGET', key, 'status', 'worker_name', 'dispatched')
    local worker = job[2] or ''
    if job[3] and (gone(worker) or vouched < now) and vouched <= stuck then
      n = n + 1
      if not dry then
        redis.call('ZREM', 'rq:wip:' .. lane, member)
        redis.call('DEL', 'rq:execution:' .. member)
        redis.call('SREM', 'rq:worker:' .. worker .. ':executions', member)
        if job[1] == 'started' then
          redis.call('HSET', key, 'status', 'queued')
          redis.call('LPUSH', 'rq:queue:' .. lane, id)
        end
      end
    end
  end
  answer[#answer + 1] = n
end
return answer
"""

REVIVE = """
-- ARGV: now (RQ's format), id, lane, data, func, time-out, retries left
-- A dead job goes to the tail of its lane with fresh attempts; when Redis no longer knows it (it was restored without
-- its data), it is made again from the dead letter. Answers 1, or 0 when it is already waiting or running.
local now, id, lane = ARGV[1], ARGV[2], ARGV[3]
local key = 'rq:job:' .. id
local status = redis.call('HGET', key, 'status')
if status and status ~= 'failed' then return 0 end
if redis.call('ZREM', 'rq:failed:' .. lane, id) == 0 then redis.call('HINCRBY', 'cad:ledger', 'received', 1) end
redis.call('HSET', key, 'created_at', now, 'enqueued_at', now, 'data', ARGV[4], 'origin', lane, 'status', 'queued',
  'timeout', ARGV[6], 'result_ttl', '0', 'failure_ttl', '-1', 'retries_left', ARGV[7], 'description', ARGV[5],
  'dispatched', '1', 'attempts', '0', 'ended_at', '', 'exc_info', '')
redis.call('RPUSH', 'rq:queue:' .. lane, id)
return 1
"""

DISCARD = """
-- ARGV: id, lane. A dead job leaves for good. Answers 1, or 0 when it was not among the dead.
if redis.call('ZREM', 'rq:failed:' .. ARGV[2], ARGV[1]) == 0 then return 0 end
redis.call('DEL', 'rq:job:' .. ARGV[1])
redis.call('HINCRBY', 'cad:ledger', 'discarded', 1)
return 1
"""
