"""So many in so long, for each tenant, shared by all processes: who may go now, and whose turn is when.

A quota is a sliding window: the n-th turn comes no sooner than `period` after the turn `count` places before it. It is
kept exactly, as the times of the last `count` turns (`cad:quota:<name>`, newest first). Whoever must wait gets a turn
of its own and a ticket for it (`cad:ticket:<name>:<holder>`), so that a flood of 40,000 is put off once each and not
once a round; when it comes back it shows the ticket. See docs/adr/0024-pacing.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from queueops import connections
from queueops.gathering import Gathered
from queueops.loops import PerLoop

QUOTA_KEY = "cad:quota:%s"
# A Redis that has not answered by then is as good as away.
ANSWER_SECONDS = 1.0
QUOTAS_A_CALL = 1000

RESERVE = """
-- ARGV: n x (quota, holder, count, period in s, most to wait in s). Answers the seconds to wait for each, as text:
-- 0 go now; -1 its turn would come later than it may, and none was taken.
-- A quota's keys are read and written once, however many ask for it.
local call = redis.call
local time = call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local names, quotas, held = {}, {}, {}
for i = 1, #ARGV, 5 do names[#names + 1] = 'cad:ticket:' .. ARGV[i] .. ':' .. ARGV[i + 1] end
for i, ticket in ipairs(call('MGET', unpack(names))) do held[names[i]] = ticket end

local function quota(name, count, period)
  local found = quotas[name]
  if not found then
    local key = 'cad:quota:' .. name
    -- A slower pace, for a while, because Meta said that the limit is near (`slow_down`); or none of the old turns.
    local share, since = unpack(call('MGET', key .. ':share', key .. ':since'))
    found = {key = key, keep = count, count = math.max(1, math.floor(count * tonumber(share or '1'))), period = period,
      since = tonumber(since or '0'), length = call('LLEN', key), last = tonumber(call('LINDEX', key, 0) or '0'),
      new = {}}
    quotas[name] = found
  end
  return found
end

-- The turn that `count` turns lie before the next one, nil when there were not so many.
local function before(q)
  local n = #q.new
  if n >= q.count then return tonumber(q.new[n - q.count + 1]) end
  local place = q.count - 1 - n
  return place < q.length and tonumber(call('LINDEX', q.key, place)) or nil
end

-- The turn that the ticket is for, nil when there is none or it has become void.
local function turn_of(ticket, q)
  if not ticket then return nil end
  local made, turn = string.match(ticket, '^(%S+) (%S+)$')
  return tonumber(made) >= q.since and tonumber(turn) or nil
end

local answers = {}
for i = 1, #ARGV, 5 do
  local name = names[(i + 4) / 5]
  local q = quota(ARGV[i], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]))
  local turn = turn_of(held[name], q)
  if turn then
    if turn <= now then
      call('DEL', name)
      held[name] = false
    end
    answers[#answers + 1] = string.format('%.6f', math.max(0, turn - now))
  else
    local oldest = before(q)
    turn = math.max(now, oldest and oldest + q.period or 0, q.last)
    local wait = turn - now
    if wait > tonumber(ARGV[i + 4]) then
      answers[#answers + 1] = '-1'
    else
      q.new[#q.new + 1] = string.format('%.6f', turn)
      q.last = turn
      if wait > 0 then
        held[name] = string.format('%.6f %.6f', now, turn)
        call('SET', name, held[name], 'EX', math.ceil(wait + q.period) + 3600)
      end
      answers[#answers + 1] = string.format('%.6f', wait)
    end
  end
end
for _, q in pairs(quotas) do
  if #q.new > 0 then
    if call('LPUSH', q.key, unpack(q.new)) > q.keep then call('LTRIM', q.key, 0, q.keep - 1) end
    call('EXPIRE', q.key, math.ceil(q.last - now + q.period) + 1)
  end
end
return answers
"""

# The turns that were given out are void, tickets included: after a pause everybody queues anew.
FORGET = """
-- ARGV: quotas…
local time = redis.call('TIME')
for _, name in ipairs(ARGV) do
  redis.call('DEL', 'cad:quota:' .. name)
  redis.call('SET', 'cad:quota:' .. name .. ':since', time[1] .. '.' .. string.format('%06d', time[2]), 'EX', 691200)
end
"""


@dataclass(frozen=True, slots=True)
class Quota:
    """`count` turns in any `seconds`. `name` says whose and of what; count 0 is no limit."""

    name: str
    count: int
    seconds: float


class NoTurn(Exception):
    """The turn would come later than it may."""


def _make_reservations() -> Gathered[list[Any], float]:
    """What is asked for at the same time goes out in one script call."""
    script = connections.async_client().register_script(RESERVE)

    async def ask(asks: list[list[Any]]) -> list[float]:
        async with asyncio.timeout(ANSWER_SECONDS):
            return [float(answer) for answer in await script(args=[arg for args in asks for arg in args])]

    return Gathered(ask, QUOTAS_A_CALL)


_reservations = PerLoop(_make_reservations)


async def reserve(quota: Quota, holder: str, most_seconds: float) -> float:
    """Seconds until it is the holder's turn, 0.0 for now: then the turn is taken. Later: come back then, same holder.

    Raises NoTurn when that would be in more than `most_seconds`. While Redis is away nobody can count for everybody:
    then it is everybody's turn, and Meta's own answers pace.
    """
    if quota.count <= 0:
        return 0.0
    try:
        wait = await _reservations().submit([quota.name, holder, quota.count, quota.seconds, f"{most_seconds:.3f}"])
    except (RedisError, OSError):
        return 0.0
    if wait < 0:
        raise NoTurn
    return wait


def forget(names: Sequence[str]) -> None:
    """All turns that were given out for these quotas are void. Raises RedisError, OSError."""
    connections.client().eval(FORGET, 0, *names)


def slow_down(names: Sequence[str], share: float, seconds: int) -> None:
    """For so long only this share (0 to 1) of these quotas is given out. Raises RedisError, OSError."""
    with connections.client().pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.set(f"{QUOTA_KEY % name}:share", f"{share:.3f}", ex=seconds)
        pipeline.execute()
