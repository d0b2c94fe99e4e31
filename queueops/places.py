"""Where a job is, and where it should be: the scripts of the inspection (`queueops.inspection`).

A job that was dispatched has a hash and is in exactly one place, which its status names: `queued` in its lane's list,
`started` in `rq:wip`, `scheduled` in `rq:scheduled`, `failed` or `stopped` in `rq:failed`. What was enqueued with RQ
itself is RQ's business. The looks are cheap and only suspect; PUT_RIGHT looks everywhere and decides, so a job that
moved in between is no finding.
"""

from __future__ import annotations

_STARTED = """
-- The started jobs of all lanes: how many executions by id, and those that nobody vouches for any more.
local function started_jobs(now, lanes)
  local started = {}
  for _, lane in ipairs(lanes) do
    local members = redis.call('ZRANGE', 'rq:wip:' .. lane, 0, -1, 'WITHSCORES')
    for i = 1, #members, 2 do
      local id = string.match(members[i], '^([^:]+)')
      started[id] = started[id] or {}
      table.insert(started[id], {'rq:wip:' .. lane, members[i], tonumber(members[i + 1]) >= now})
    end
  end
  return started
end
"""

ENTRIES = """
-- ARGV: status that belongs here (`failed` stands for `stopped` as well), lane, ids… Answers the ids that have no job,
-- or one that says it is somewhere else.
local suspects = {}
for i = 3, #ARGV do
  local job = redis.call('HMGET', 'rq:job:' .. ARGV[i], 'status', 'origin', 'dispatched', 'data')
  local status = job[1] == 'stopped' and 'failed' or job[1]
  if not job[4] or (job[3] and (status ~= ARGV[1] or job[2] ~= ARGV[2])) then suspects[#suspects + 1] = ARGV[i] end
end
return suspects
"""

JOBS = (
    _STARTED
    + """
-- ARGV: now (s), n, n x lane, ids… Answers the ids of dispatched jobs that are not where they say they are. Whether one
-- is in its lane would take a walk through it; it is suspected when the lane's first is younger, or there is none.
local lanes = {unpack(ARGV, 3, tonumber(ARGV[2]) + 2)}
local suspects, started, heads = {}, started_jobs(tonumber(ARGV[1]), lanes), {}
for _, lane in ipairs(lanes) do
  heads[lane] = redis.call('LLEN', 'rq:queue:' .. lane) == 0 and '~' or ''
  for _, id in ipairs(redis.call('LRANGE', 'rq:queue:' .. lane, 0, 9)) do
    local at = redis.call('HGET', 'rq:job:' .. id, 'enqueued_at')
    if at and (heads[lane] == '' or at < heads[lane]) then heads[lane] = at end
  end
end
for i = #lanes + 3, #ARGV do
  local id = ARGV[i]
  local status, lane, at, dispatched = unpack(redis.call('HMGET', 'rq:job:' .. id, 'status', 'origin', 'enqueued_at',
    'dispatched'))
  local is_there = not dispatched
  if status == 'queued' then is_there = is_there or (at or '') >= (heads[lane] or '~')
  elseif status == 'started' then is_there = is_there or started[id]
  elseif status == 'scheduled' then is_there = is_there or redis.call('ZSCORE', 'rq:scheduled:' .. (lane or ''), id)
  elseif status == 'failed' or status == 'stopped' then
    is_there = is_there or redis.call('ZSCORE', 'rq:failed:' .. (lane or ''), id)
  end
  if not is_there then suspects[#suspects + 1] = id end
end
return suspects
"""
)

PUT_RIGHT = (
    _STARTED
    + """
-- ARGV: now (s), repair (1 or 0), n, n x lane, ids… Answers {id, what is wrong} for each that is not right; with
-- `repair` it is, afterwards: one place, the one that its status names if it is there, else the first it is found in
-- (nothing that runs is touched), else the tail of its lane. Entries without a job go.
local repair, lanes = ARGV[2] == '1', {unpack(ARGV, 4, tonumber(ARGV[3]) + 3)}
local started, findings = started_jobs(tonumber(ARGV[1]), lanes), {}
local STATUS = {list = 'queued', wip = 'started', scheduled = 'scheduled', failed = 'failed'}
local function places_of(id)
  local places = {}
  for _, execution in ipairs(started[id] or {}) do
    places[#places + 1] = {kind = 'wip', key = execution[1], member = execution[2], vouched = execution[3]}
  end
  for _, lane in ipairs(lanes) do
    for _ = 1, #(redis.call('LPOS', 'rq:queue:' .. lane, id, 'COUNT', 0)) do
      places[#places + 1] = {kind = 'list', key = 'rq:queue:' .. lane, lane = lane}
    end
  end
  for _, kind in ipairs({'scheduled', 'failed'}) do
    for _, lane in ipairs(lanes) do
      local key = 'rq:' .. kind .. ':' .. lane
      if redis.call('ZSCORE', key, id) then places[#places + 1] = {kind = kind, key = key, lane = lane} end
    end
  end
  return places
end
local function leave(id, place)
  if place.kind == 'list' then redis.call('LREM', place.key, -1, id)
  else redis.call('ZREM', place.key, place.member or id) end
end
local function names(places)
  local found = {}
  for _, place in ipairs(places) do found[#found + 1] = place.key end
  return table.concat(found, ', ')
end
local function without_job(id, places)
  -- One that somebody vouches for is running: its worker ends it. Dead ones are looked at beside their letters.
  local gone = {}
  for _, place in ipairs(places) do
    if not place.vouched and place.kind ~= 'failed' then gone[#gone + 1] = place end
  end
  if #gone == 0 then return end
  findings[#findings + 1] = {id, 'no job behind the entry in ' .. names(gone)}
  if repair then
    for _, place in ipairs(gone) do leave(id, place) end
    -- What is left of a hash would make its redelivery a duplicate.
    if #gone == #places then redis.call('DEL', 'rq:job:' .. id) end
  end
end
local function with_job(id, status, lane, places)
  local named, stays = status == 'stopped' and 'failed' or status, places[1]
  for _, place in ipairs(places) do
    if place.kind == 'wip' then stays = place break end
    if STATUS[place.kind] == named and (STATUS[stays.kind] ~= named or place.lane == lane) then stays = place end
  end
  local right = #places == 1 and STATUS[stays.kind] == named and (stays.kind == 'wip' or stays.lane == lane)
  if right then return end
  if #places == 0 then
    findings[#findings + 1] = {id, status .. ', and in no place'}
  elseif #places > 1 then
    findings[#findings + 1] = {id, status .. ', and in more than one place: ' .. names(places)}
  else
    findings[#findings + 1] = {id, status .. ' in lane ' .. lane .. ', and in ' .. names(places)}
  end
  if not repair then return end
  for _, place in ipairs(places) do
    if place ~= stays and place.kind ~= 'wip' then leave(id, place) end
  end
  if not stays then
    redis.call('RPUSH', 'rq:queue:' .. lane, id)
    stays = {kind = 'list', lane = lane}
  end
  if STATUS[stays.kind] ~= named then redis.call('HSET', 'rq:job:' .. id, 'status', STATUS[stays.kind]) end
  if stays.lane then redis.call('HSET', 'rq:job:' .. id, 'origin', stays.lane) end
end
for i = #lanes + 4, #ARGV do
  local id = ARGV[i]
  local job = redis.call('HMGET', 'rq:job:' .. id, 'status', 'origin', 'dispatched', 'data')
  local places = places_of(id)
  if not job[4] then without_job(id, places)
  elseif job[3] then with_job(id, job[1] or 'nothing', job[2] or lanes[#lanes], places) end
end
return findings
"""
)
