"""The atomic steps that move a job between RQ's structures. Each is one Lua script: a job is always in exactly one.

Keys are RQ's own (rq 3.0): lists `rq:queue:<lane>`, sorted sets `rq:wip:<lane>` (members `<job>:<execution>`, scored
by the time until which the worker vouches for it), `rq:scheduled:<lane>`, `rq:failed:<lane>`, hashes `rq:job:<id>`,
`rq:execution:<job>:<execution>`, sets `rq:worker:<name>:executions`.
So RQ's tools and django-rq's pages show the truth. An execution's hash and a job's heartbeat are written when it has
run for a second: most are over before anybody could look at them.

Redis without memory refuses a script's first write if it could need some, and none after one that could not. Whatever
ends, moves or vouches for jobs begins with such a one (LPOP, ZREM, EXPIRE), so it works then as well.
"""

from __future__ import annotations

from queueops.rq_jobs import MAKE_JOB

_SETTLE = """
-- Ends executions: rows of {how, lane, id, execution, vouched, detail, attempts}. how:
-- `completed`, `duplicate` (a count of the ledger; the job is over), `retry` (detail: run after, s), `dead` and
-- `stopped` (detail: the error in one line), `back` (to the head of its lane, untouched), `gone` (there is no job any
-- more). vouched: 1 when a heartbeat has written the execution's hash.
-- Answers how many were no longer the job's own: the worker was taken for dead, and the job went to another, whose
-- business it now is. Members are taken out by one command for each lane, jobs deleted by one for all.
local function settle(rows)
  local lost, done, failed = 0, 0, 0
  local by_lane, counts, over, members = {}, {}, {}, {}
  for _, row in ipairs(rows) do
    local lane = by_lane[row[2]]
    if not lane then
      lane = {rows = {}, members = {}}
      by_lane[row[2]] = lane
    end
    local member = row[3] .. ':' .. row[4]
    lane.rows[#lane.rows + 1] = row
    lane.members[#lane.members + 1] = member
    if row[5] == 1 then
      over[#over + 1] = 'rq:execution:' .. member
      members[#members + 1] = member
    end
  end
  local function finish(how, lane, id, detail, attempts)
    local key = 'rq:job:' .. id
    if how == 'completed' or how == 'duplicate' then
      over[#over + 1] = key
      counts[how] = (counts[how] or 0) + 1
      done = done + 1
    elseif how == 'retry' then
      redis.call('HSET', key, 'status', 'scheduled', 'attempts', attempts)
      redis.call('ZADD', 'rq:scheduled:' .. lane, detail, id)
      failed = failed + 1
    elseif how == 'dead' or how == 'stopped' then
      local status = how == 'dead' and 'failed' or how
      redis.call('HSET', key, 'status', status, 'attempts', attempts, 'ended_at', now, 'exc_info', detail)
      redis.call('ZADD', 'rq:failed:' .. lane, '+inf', id)
      failed = failed + 1
    elseif how == 'back' then
      redis.call('HSET', key, 'status', 'queued')
      redis.call('LPUSH', 'rq:queue:' .. lane, id)
    end
  end
  for name, lane in pairs(by_lane) do
    local held = redis.call('ZMSCORE', 'rq:wip:' .. name, unpack(lane.members))
    redis.call('ZREM', 'rq:wip:' .. name, unpack(lane.members))
    for i = #lane.rows, 1, -1 do  -- backwards, so that those that go back stand in their lane as they did
      local how, _, id, _, _, detail, attempts = unpack(lane.rows[i])
      if held[i] then finish(how, name, id, detail, attempts) else lost = lost + 1 end
    end
  end
  if #over > 0 then redis.call('DEL', unpack(over)) end
  if #members > 0 then redis.call('SREM', 'rq:worker:' .. worker .. ':executions', unpack(members)) end
  for how, n in pairs(counts) do redis.call('HINCRBY', 'cad:ledger', how, n) end
  if done + failed > 0 and redis.call('EXISTS', 'rq:worker:' .. worker) == 1 then
    if done > 0 then redis.call('HINCRBY', 'rq:worker:' .. worker, 'successful_job_count', done) end
    if failed > 0 then redis.call('HINCRBY', 'rq:worker:' .. worker, 'failed_job_count', failed) end
  end
  return lost
end
"""

_CLOSED = """
-- The lanes of which nothing may be claimed now, as a set: all of them while RQ's workers are suspended or the mode is
-- `paused`, and those that are paused by themselves (`queueops.switches`). And whether it is all of them.
local function closed_lanes()
  local closed, all = {}, redis.call('EXISTS', 'rq:suspended') == 1
  local switches = redis.call('HGETALL', 'cad:switches')
  for i = 1, #switches, 2 do
    local readable, switch = pcall(cjson.decode, switches[i + 1])
    local holds = readable and (switch['until'] == cjson.null or clock < switch['until'])
    local lane = string.match(switches[i], '^lane:(.+)$')
    if holds and lane then closed[lane] = true end
    if holds and switches[i] == 'mode' and switch.value == 'paused' then all = true end
  end
  if all then
    for _, lane in ipairs(lanes) do closed[lane] = true end
  end
  return closed, all
end
"""

_CLAIM = """
-- Pops up to `slots` jobs, the lanes' reserved ones first and then in lane order, and marks and registers each as
-- started. An answer of fewer than `slots` means that nothing more waits in the lanes that are open.
local function claim(slots, number, prefix, closed)
  local by_lane, free, over = {}, slots, {}
  local function take(i, n)
    local lane = lanes[i]
    if closed[lane] then return end
    local found = by_lane[i] or {}
    by_lane[i] = found
    while n > 0 and not over[i] do
      local ids = redis.call('LPOP', 'rq:queue:' .. lane, n) or {}
      over[i] = #ids < n
      local started = {}
      for _, id in ipairs(ids) do
        local key = 'rq:job:' .. id
        local job = redis.call('HMGET', key, 'data', 'timeout', 'attempts', 'dispatched', 'status', 'enqueued_at')
        -- An id without a job is what RQ, too, drops at this point: it was deleted while it waited. And one that was
        -- in a lane twice is somewhere else already.
        if job[1] and (not job[4] or job[5] == 'queued') then
          local execution = prefix .. number
          number = number + 1
          -- The claim may have waited for the job (`exchanges`).
          local at = job[6] and job[6] > now and job[6] or now
          redis.call('HSET', key, 'status', 'started', 'started_at', at, 'worker_name', worker)
          started[#started + 1] = vouched
          started[#started + 1] = id .. ':' .. execution
          found[#found + 1] = {lane, id, execution, job[1], job[2] or '', job[3] or '0', job[4] or ''}
        end
      end
      if #started > 0 then redis.call('ZADD', 'rq:wip:' .. lane, unpack(started)) end
      n = n - #started / 2
      free = free - #started / 2
    end
  end
  for i = #lanes, 1, -1 do take(i, reserved[i] or 0) end
  for i = 1, #lanes do take(i, free) end
  local claimed = {}
  for i = 1, #lanes do
    for _, job in ipairs(by_lane[i] or {}) do claimed[#claimed + 1] = job end
  end
  return claimed
end
"""

EXCHANGE = f"""
-- ARGV: worker, now (RQ's format), now (s), vouched until (s), ended as JSON (or ''), free slots, the worker's state if
--       something is claimed, and if nothing is ('' to leave it), execution prefix, first execution number,
--       slots that each lane has reserved (`shares`; numbers in one text), lanes...
-- Settles what has ended, then claims. Answers {{how many of the ended were no longer this worker's, the lanes that are
-- closed, {{lane, id, execution, data, timeout, attempts, dispatched}} for each claimed job}}.
local worker, now, clock, vouched = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local lanes, reserved = {{}}, {{}}
for n in string.gmatch(ARGV[11], '%d+') do reserved[#reserved + 1] = tonumber(n) end
for i = 12, #ARGV do lanes[#lanes + 1] = ARGV[i] end
{_SETTLE}
{_CLOSED}
{_CLAIM}
local lost, claimed = 0, {{}}
if ARGV[5] ~= '' then lost = settle(cjson.decode(ARGV[5])) end
local closed, all_closed = closed_lanes()
if tonumber(ARGV[6]) > 0 then claimed = claim(tonumber(ARGV[6]), tonumber(ARGV[10]), ARGV[9], closed) end
local state = #claimed > 0 and ARGV[7] or ARGV[8]
if all_closed then state = 'suspended' end
if state ~= '' and redis.call('EXISTS', 'rq:worker:' .. worker) == 1 then
  redis.call('HSET', 'rq:worker:' .. worker, 'state', state)
end
local names = {{}}
for lane in pairs(closed) do names[#names + 1] = lane end
return {{lost, names, claimed}}
"""

BEAT = """
-- ARGV: worker, the time to live of what is known of it (s), n x (field, value). Says that the worker lives.
local key, ttl = 'rq:worker:' .. ARGV[1], ARGV[2]
redis.call('EXPIRE', key .. ':executions', ttl)
redis.call('HSET', key, unpack(ARGV, 3))
redis.call('EXPIRE', key, ttl)
redis.call('SADD', 'rq:workers', key)
"""

VOUCH = """
-- ARGV: worker, now (s), now (RQ's format), vouched until (s), the hashes' time to live (s),
--       n x (lane, id, execution, claimed at (s))
-- Says for each execution that it still runs, and shows it to RQ's tools. One that has ended meanwhile, or is no longer
-- the job's own, stays as it is.
local worker, now, rq_now, vouched, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
redis.call('EXPIRE', 'rq:worker:' .. worker .. ':executions', ttl)
for i = 6, #ARGV, 4 do
  local wip, member = 'rq:wip:' .. ARGV[i], ARGV[i + 1] .. ':' .. ARGV[i + 2]
  if redis.call('ZSCORE', wip, member) then
    redis.call('ZADD', wip, vouched, member)
    redis.call('HSET', 'rq:execution:' .. member, 'id', ARGV[i + 2], 'job_id', ARGV[i + 1], 'worker_name', worker,
      'created_at', ARGV[i + 3], 'last_heartbeat', now)
    redis.call('EXPIRE', 'rq:execution:' .. member, ttl)
    local key = 'rq:job:' .. ARGV[i + 1]
    if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 'last_heartbeat', rq_now) end
    redis.call('SADD', 'rq:worker:' .. worker .. ':executions', member)
  end
end
"""

RECOVER = """
-- ARGV: now (s), a worker counts as gone when silent since (s), a job counts as stuck when vouched until before (s),
--       dry run (1 or 0), hosts' dead workers as one string of lines, most attempts, suspects' time (s), lanes…
-- Started jobs whose worker is gone, or for which nobody vouched in time (a claim whose answer was lost), go
-- back to the head of their lane. From a job's second dead worker on, that counts as a failed attempt, and the job is a
-- suspect: those of one moment come back one after the other, spread over the suspects' time, so that the one that
-- kills its worker takes ever fewer others with it. Without an attempt left it stays where it is, to be given up.
-- Answers {how many of each lane, {lane, id, execution, worker, data, attempts, deaths} for each to be given up}.
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
local most, spread = tonumber(ARGV[6]), tonumber(ARGV[7])
local answer, suspects, doomed = {}, {}, {}
for l = 8, #ARGV do
  local lane, n = ARGV[l], 0
  local started = redis.call('ZRANGE', 'rq:wip:' .. lane, 0, -1, 'WITHSCORES')
  for i = 1, #started, 2 do
    local member, vouched = started[i], tonumber(started[i + 1])
    local id, execution = string.match(member, '^([^:]+):(.*)$')
    local key = 'rq:job:' .. id
    local job = redis.call('HMGET', key, 'status', 'worker_name', 'dispatched', 'recovered', 'attempts')
    local worker = job[2] or ''
    local died = gone(worker)
    if job[3] and (died or vouched < now) and vouched <= stuck then
      local deaths, attempts = tonumber(job[4] or 0) + (died and 1 or 0), tonumber(job[5] or 0)
      local suspect = died and deaths > 1 and job[1] == 'started'
      if suspect and attempts + 1 >= most then
        doomed[#doomed + 1] = {lane, id, execution, worker, redis.call('HGET', key, 'data') or '', attempts, deaths}
      else
        n = n + 1
        if not dry then
          redis.call('ZREM', 'rq:wip:' .. lane, member)
          redis.call('DEL', 'rq:execution:' .. member)
          redis.call('SREM', 'rq:worker:' .. worker .. ':executions', member)
          if job[1] == 'started' then redis.call('HSET', key, 'status', 'queued', 'recovered', deaths) end
          if suspect then
            redis.call('HSET', key, 'status', 'scheduled', 'attempts', attempts + 1)
            suspects[#suspects + 1] = {lane, id}
          elseif job[1] == 'started' then
            redis.call('LPUSH', 'rq:queue:' .. lane, id)
          end
        end
      end
    end
  end
  answer[#answer + 1] = n
end
for i, suspect in ipairs(suspects) do
  redis.call('ZADD', 'rq:scheduled:' .. suspect[1], now + spread * (i - 1) / #suspects, suspect[2])
end
return {answer, doomed}
"""

REVIVE = (
    MAKE_JOB
    + """
-- ARGV: now (RQ's format), id, lane, data, func, time-out, retries left
-- A dead job goes to the tail of its lane with fresh attempts; when Redis no longer knows it (it was restored without
-- its data), it is made again from the dead letter. Answers 1, or 0 when it is already waiting or running.
local now, id, lane = ARGV[1], ARGV[2], ARGV[3]
local key = 'rq:job:' .. id
local status = redis.call('HGET', key, 'status')
if status and status ~= 'failed' and status ~= 'stopped' then return 0 end
if redis.call('ZREM', 'rq:failed:' .. lane, id) == 0 then redis.call('HINCRBY', 'cad:ledger', 'received', 1) end
make_job(key, now, lane, ARGV[4], ARGV[5], ARGV[6], ARGV[7])
redis.call('HSET', key, 'attempts', '0', 'recovered', '0', 'ended_at', '', 'exc_info', '')
redis.call('RPUSH', 'rq:queue:' .. lane, id)
return 1
"""
)

DISCARD = """
-- ARGV: id, lane. A dead job leaves for good. Answers 1, or 0 when it was not among the dead.
if redis.call('ZREM', 'rq:failed:' .. ARGV[2], ARGV[1]) == 0 then return 0 end
redis.call('DEL', 'rq:job:' .. ARGV[1])
redis.call('HINCRBY', 'cad:ledger', 'discarded', 1)
return 1
"""
