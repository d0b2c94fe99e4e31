"""Where every event is counted, so that the sum can be checked: received = everything that became of it.

What moves is not counted but looked at: waiting, active, retrying and dead are the lengths of RQ's own structures, and
a job is always in exactly one of them. What is over (duplicate, ignored, completed, discarded) is counted in the hash
`cad:ledger`, in the same atomic step that ends it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from redis import Redis

from queueops.jobs import Lane

KEY = "cad:ledger"
IGNORED_KEY = "cad:ignored"  # what was ignored, by name
COUNTED = ("received", "duplicate", "ignored", "completed", "discarded")

# One script, so that no job is seen in two places or in none while it moves.
SNAPSHOT = """
-- ARGV = lanes. Answers {counted hash as pairs, {waiting, active, retrying, dead} for each lane}
local lanes = {}
for i, lane in ipairs(ARGV) do
  lanes[i] = {
    redis.call('LLEN', 'rq:queue:' .. lane), redis.call('ZCARD', 'rq:wip:' .. lane),
    redis.call('ZCARD', 'rq:scheduled:' .. lane), redis.call('ZCARD', 'rq:failed:' .. lane),
  }
end
return {redis.call('HGETALL', 'cad:ledger'), lanes}
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
    """All counts at one instant; `unexplained` is 0 unless something was lost or appeared from nowhere."""

    received: int
    duplicate: int
    ignored: int
    completed: int
    discarded: int
    fallback: int
    lanes: dict[Lane, LaneCounts]

    def total(self, place: str) -> int:
        return sum(getattr(counts, place) for counts in self.lanes.values())

    @property
    def unexplained(self) -> int:
        moving = sum(self.total(place) for place in ("waiting", "active", "retrying", "dead"))
        return self.received - (
            self.duplicate + self.ignored + self.completed + self.discarded + self.fallback + moving
        )

    def as_json(self) -> dict[str, int]:
        """The `ledger` of `GET /api/queue-stats`."""
        totals = {place: self.total(place) for place in ("waiting", "active", "retrying", "dead")}
        counted = {name: value for name, value in asdict(self).items() if name != "lanes"}
        return {**counted, **totals, "unexplained": self.unexplained}


def read(redis: Redis) -> Ledger:
    """The ledger at this instant."""
    pairs, lanes = redis.eval(SNAPSHOT, 0, *Lane)
    hashed = dict(zip(pairs[::2], pairs[1::2], strict=True))
    counted = {name: int(hashed.get(name.encode(), 0)) for name in COUNTED}
    places = ("waiting", "active", "retrying", "dead")
    return Ledger(
        **counted,
        # The database tier does not exist yet: nothing can be in it.
        fallback=0,
        lanes={lane: LaneCounts(**dict(zip(places, row, strict=True))) for lane, row in zip(Lane, lanes, strict=True)},
    )
