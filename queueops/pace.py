"""How fast it goes, read from the minutes' counts (`metrics`): rates, latencies, cache, when the lanes are empty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from redis import Redis

from queueops import metrics
from queueops.jobs import Lane

DURATIONS = ("ack", "wait", "process")
FIVE = 5
ENDED = ("completed", "duplicate", "dead")  # the counts of jobs that left the lanes for good


def measured(minutes: Sequence[dict[bytes, bytes]], waiting: int, now: float) -> dict[str, Any]:
    """What the minutes' counts tell: rates, latencies of the last hour, the cache, and when the lanes will be empty."""
    if not settings.QUEUE_ENABLE_METRICS:
        return {**unmeasured(), "drain_eta_seconds": None if waiting else 0}
    into_minute = now % 60
    completed = _counts(minutes, "completed")
    ended_per_minute = sum(last(_counts(minutes, name)[-2:], into_minute) for name in ENDED)
    hour = metrics.merge(minutes[1:])
    return {
        "processing_rate": {
            "per_minute": round(last(completed[-2:], into_minute), 1),
            "per_hour": round(last(completed, into_minute), 1),
        },
        "latency_ms": {name: metrics.percentiles(hour, name) for name in DURATIONS},
        "drain_eta_seconds": drain_eta(waiting, ended_per_minute),
        "cache": _cache(hour),
    }


def unmeasured() -> dict[str, Any]:
    """The same keys while nothing is measured or nobody can be asked; how soon the lanes are empty is the caller's."""
    return {
        "processing_rate": dict.fromkeys(("per_minute", "per_hour")),
        "latency_ms": {name: dict.fromkeys(("p50", "p95", "p99")) for name in DURATIONS},
        "cache": dict.fromkeys(("hits", "misses", "hit_rate")),
    }


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one lane, a minute: what came in and what left it for good, over the last minute and the last five."""

    arrived: float
    ended: float
    arrived_of_five: float
    ended_of_five: float

    @property
    def net(self) -> float:
        """By how much the lane empties in a minute, over whichever of the two spans has more to go by."""
        return self.ended - self.arrived if self.ended else self.ended_of_five - self.arrived_of_five


def by_lane(redis: Redis, now: float) -> dict[str, Rates] | None:
    """Each lane's rates, in one round trip; None when nothing is measured. now: Unix time. Raises RedisError."""
    if not settings.QUEUE_ENABLE_METRICS:
        return None
    with redis.pipeline(transaction=False) as pipeline:
        for key in metrics.minute_keys(FIVE + 1):
            pipeline.hgetall(key)
        minutes = pipeline.execute()
    return {lane.value: _rates(minutes, lane, now % 60) for lane in Lane}


def _rates(minutes: Sequence[dict[bytes, bytes]], lane: Lane, into_minute: float) -> Rates:
    arrived = _counts(minutes, f"arrived:{lane}")
    ended = [sum(of_minute) for of_minute in zip(*(_counts(minutes, f"{how}:{lane}") for how in ENDED), strict=True)]
    return Rates(
        last(arrived[-2:], into_minute),
        last(ended[-2:], into_minute),
        last(arrived, into_minute) / FIVE,
        last(ended, into_minute) / FIVE,
    )


def _counts(minutes: Sequence[dict[bytes, bytes]], name: str) -> list[int]:
    return [int(minute.get(f"n:{name}".encode(), 0)) for minute in minutes]


def last(counts: Sequence[int], into_minute: float) -> float:
    """How many there were in the `len(counts) - 1` minutes before now.

    counts: by minute, the running one last. Of the first minute only its end still lies in the window, and what it
    held is taken as spread evenly over it.
    """
    return counts[0] * (1 - into_minute / 60) + sum(counts[1:])


def drain_eta(waiting: int, ended_per_minute: float) -> float | None:
    """Seconds until the lanes are empty at the last minute's rate; None when something waits and nothing ends."""
    if not waiting:
        return 0
    return round(waiting * 60 / ended_per_minute, 1) if ended_per_minute else None


def _cache(hour: Counter[str]) -> dict[str, Any]:
    hits, misses = hour["n:cache_hit"], hour["n:cache_miss"]
    return {"hits": hits, "misses": misses, "hit_rate": round(hits / (hits + misses), 4) if hits + misses else 0.0}
