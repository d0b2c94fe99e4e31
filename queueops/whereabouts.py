"""Where jobs are at this moment, for a person who asks: one look at Redis, and one at the database tier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from queueops import lookup
from queueops.lookup import Held
from queueops.models import FallbackJob

FALLBACK = "fallback"  # beside RQ's words: the database tier holds it
# Further down a lane nobody cares which place it is, and walking there would hold Redis up.
MOST_AHEAD = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """held.status: RQ's word, or `fallback`. ahead: how many of its lane are in front of it, None when it does not wait
    there or stands further back than MOST_AHEAD. due: when it is tried next, None when it is not put off."""

    id: str
    held: Held
    ahead: int | None = None
    due: datetime | None = None


def find(redis: Redis, ids: Sequence[str]) -> list[Whereabouts]:
    """Those of these jobs that wait, run, are put off or dead in Redis. Raises RedisError."""
    found = [Whereabouts(id=job_id, held=held) for job_id, held in lookup.find_many(redis, ids).items()]
    return [_placed(redis, one) for one in found]


def find_in_fallback(ids: Sequence[str]) -> list[Whereabouts]:
    """Those of these jobs that the database tier holds."""
    rows = FallbackJob.objects.filter(job__in=ids).only("job", "lane", "data", "run_after")
    found = ((row, lookup.read(bytes(row.data), row.lane, FALLBACK)) for row in rows)
    return [
        Whereabouts(id=row.job, held=held, due=row.run_after if row.run_after > datetime.now(UTC) else None)
        for row, held in found
        if held is not None
    ]


def _placed(redis: Redis, one: Whereabouts) -> Whereabouts:
    lane, status = one.held.lane, one.held.status
    if status == "queued":
        ahead: Any = redis.lpos(f"rq:queue:{lane}", one.id, maxlen=MOST_AHEAD)
        return replace(one, ahead=ahead)
    if status == "scheduled":
        score: Any = redis.zscore(f"rq:scheduled:{lane}", one.id)
        return replace(one, due=None if score is None else datetime.fromtimestamp(score, UTC))
    return one
