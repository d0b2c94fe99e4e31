"""Where every event is counted, so that the sum can be checked: received = everything that became of it.

What moves is not counted but looked at: waiting, active, retrying and dead are the lengths of RQ's own structures, and
a job is always in exactly one of them. What is over (duplicate, ignored, completed, discarded) is counted in the hash
`cad:ledger`, in the same atomic step that ends it.

What the database tier takes and ends is counted there, in the same transaction (`tally`); `whole` adds the two up.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError
from redis import Redis

from queueops import tally
from queueops.jobs import Lane

KEY = "cad:ledger"
IGNORED_KEY = "cad:ignored"  # what was ignored, by name
COUNTED = ("received", "duplicate", "ignored", "completed", "discarded")

# One script, so that no job is seen in two places or in none while it moves.
SNAPSHOT = """
-- ARGV = lanes. Answers {counted hash as pairs, {waiting, active, retrying, dead} for each lane, rows of the database
-- tier that are here already}
local lanes = {}
for i, lane in ipairs(ARGV) do
  lanes[i] = {
    redis.call('LLEN', 'rq:queue:' .. lane), redis.call('ZCARD', 'rq:wip:' .. lane),
    redis.call('ZCARD', 'rq:scheduled:' .. lane), redis.call('ZCARD', 'rq:failed:' .. lane),
  }
end
return {redis.call('HGETALL', 'cad:ledger'), lanes, redis.call('SMEMBERS', 'cad:moved')}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCounts:
    """Jobs of one lane by where they are."""

    waiting: int
    active: int
    retrying: int
    dead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All counts at one instant; `unexplained` is 0 unless something was lost or appeared from nowhere.

    `fallback` is None, and with it `unexplained`, when the database cannot be asked. `moved` are rows of the database
    tier that Redis holds already. `deferred` is no part of the sum: how many were put off into the lowest lane.
    """

    received: int
    duplicate: int
    ignored: int
    completed: int
    discarded: int
    fallback: int | None
    lanes: dict[Lane, LaneCounts]
    moved: frozenset[UUID] = frozenset()
    deferred: int = 0

    def total(self, place: str) -> int:
        return sum(getattr(counts, place) for counts in self.lanes.values())

    @property
    def unexplained(self) -> int | None:
        if self.fallback is None:
            return None
        moving = sum(self.total(place) for place in ("waiting", "active", "retrying", "dead"))
        return self.received - (
            self.duplicate + self.ignored + self.completed + self.discarded + self.fallback + moving
        )

    def as_json(self) -> dict[str, Any]:
        """The `ledger` of `GET /api/queue-stats`."""
        totals = {place: self.total(place) for place in ("waiting", "active", "retrying", "dead")}
        counted = {name: value for name, value in asdict(self).items() if name not in {"lanes", "moved", "deferred"}}
        return {**counted, **totals, "unexplained": self.unexplained}


def read(redis: Redis) -> Ledger:
    """What Redis counts, at this instant. Raises RedisError."""
    pairs, lanes, moved = redis.eval(SNAPSHOT, 0, *Lane)
    hashed = dict(zip(pairs[::2], pairs[1::2], strict=True))
    counted = {name: int(hashed.get(name.encode(), 0)) for name in COUNTED}
    places = ("waiting", "active", "retrying", "dead")
    return Ledger(
        **counted,
        fallback=0,
        lanes={lane: LaneCounts(**dict(zip(places, row, strict=True))) for lane, row in zip(Lane, lanes, strict=True)},
        moved=frozenset(UUID(key.decode()) for key in moved),
        deferred=int(hashed.get(b"deferred", 0)),
    )


def whole(redis: Redis) -> Ledger:
    """What Redis and the database count. Raises RedisError; without the database `fallback` is not known."""
    counts = read(redis)
    try:
        database = tally.read(counts.moved)
    except (DatabaseError, InterfaceError):
        return replace(counts, fallback=None)
    return replace(
        counts,
        **{name: getattr(counts, name) + database.counts[name] for name in COUNTED},
        fallback=database.fallback,
        lanes={
            lane: replace(of_lane, dead=of_lane.dead + database.dead[lane]) for lane, of_lane in counts.lanes.items()
        },
    )


def fallback() -> int | None:
    """How many jobs the database tier holds; None when it cannot be asked."""
    try:
        return tally.read().fallback
    except (DatabaseError, InterfaceError):
        return None
