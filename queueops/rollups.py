"""The minutes of `metrics`, in the database for 90 days, each with the state at its end: for charts and objectives.

Every worker tries, a few seconds after each minute's end; the table's key lets one of them write it. Minutes that
nobody wrote, because the database was away, are caught up from Redis, which keeps their counts for two hours; their
state then was seen by nobody and is left open. A minute of which nothing is known has no row: a gap.

Coarser rows (SPANS) are made anew from the finer ones each time, so that a chart of any span reads some ninety rows.
Percentiles are then of all that was measured in a row's time, not averages of percentiles. See
docs/adr/0030-rollups.md.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from redis import Redis

from queueops import metrics, stats
from queueops.models import Rollup

# Minutes that a row stands for. Each divides the next.
SPANS = (1, 15, 120, 1440)
KEPT_MINUTES = 91 * 1440  # the oldest day of a chart of 90 is a whole one
# Redis keeps a minute's counts for so long (metrics.KEEP_SECONDS).
CAUGHT_UP_MINUTES = metrics.KEEP_SECONDS // 60 - 1
# Processes write a minute's last counts up to a second after its end; and not all workers need to come at once.
AFTER_SECONDS, SPREAD_SECONDS = 2.0, 5.0

# Answered within the objective, later, and given up (`queueops.objectives`).
MET, LATE, DEAD = "answer:met", "answer:late", "dead"
LEAST_IS_WORST = frozenset({"workers", "slots"})


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of `span` minutes from `minute` on. minutes: of how many of them."""

    span: int
    minute: int
    minutes: int = 1
    counts: Counter[str] = field(default_factory=Counter)
    state: dict[str, float] = field(default_factory=dict)

    _percentiles: dict[str, dict[str, float]] = field(default_factory=dict, repr=False, compare=False)

    def per_minute(self, name: str) -> float:
        return self.counts[f"n:{name}"] / max(self.minutes, 1)

    def percentiles(self, name: str) -> dict[str, float]:
        """As `metrics.percentiles`, reckoned once: three lines of a chart ask for the same."""
        if name not in self._percentiles:
            self._percentiles[name] = metrics.percentiles(self.counts, name)
        return self._percentiles[name]


def seconds_to_next(now: float) -> float:
    """Until this worker should try again. now: Unix time."""
    return 60 - now % 60 + AFTER_SECONDS + random.uniform(0, SPREAD_SECONDS)  # noqa: S311 - no secret


def keep(redis: Redis, now: float) -> list[int]:
    """Write every finished minute that is known and not yet written; which were. now: Unix time.

    Raises RedisError, OSError, DatabaseError, InterfaceError.
    """
    running = int(now // 60)
    wanted = range(running - CAUGHT_UP_MINUTES, running)
    there = set(Rollup.objects.filter(span=1, minute__in=wanted).values_list("minute", flat=True))
    missing = [minute for minute in wanted if minute not in there]
    if not missing:
        return []
    written = [row.minute for row in _look(redis, missing, running - 1) if _write(row)]
    for finer, span in pairwise(SPANS):
        for start in sorted({minute - minute % span for minute in written}):
            _gather(span, finer, start)
    if written:
        # All spans by name: so the key's index finds them.
        Rollup.objects.filter(span__in=SPANS, minute__lt=running - KEPT_MINUTES).delete()
    return written


def _look(redis: Redis, minutes: Sequence[int], newest: int) -> list[Row]:
    """What Redis knows of these minutes; of the newest also the state, which is that of now."""
    with redis.pipeline(transaction=False) as pipeline:
        for minute in minutes:
            pipeline.hgetall(metrics.MINUTE_KEY % minute)
        hashes: list[dict[bytes, bytes]] = pipeline.execute()
    rows = []
    for minute, counts in zip(minutes, hashes, strict=True):
        state = _state(stats.read(redis)) if minute == newest else {}
        if counts or state:
            rows.append(Row(1, minute, 1, metrics.without_lanes(metrics.merge([counts])), state))
    return rows


def _state(snapshot: dict[str, Any]) -> dict[str, float]:
    """What of the snapshot has a history, as numbers by name; what is not known is left out."""
    workers = [worker for worker in snapshot["workers"] if worker["state"] != "silent"]
    state = {
        "unexplained": snapshot["ledger"]["unexplained"],
        "fallback": snapshot["ledger"]["fallback"],
        "memory": snapshot["redis"]["used_memory_bytes"],
        "workers": len(workers),
        "in_flight": sum(worker["in_flight"] for worker in workers),
        "slots": sum(worker["concurrency"] for worker in workers),
    }
    for lane, counts in snapshot["queues"].items():
        for place in ("waiting", "active", "retrying", "dead"):
            state[f"{place}:{lane}"] = counts[place]
        state[f"oldest:{lane}"] = counts["oldest_waiting_seconds"]
    return {name: value for name, value in state.items() if value is not None}


def _write(row: Row) -> bool:
    """Whether it is ours: another worker may have been quicker."""
    try:
        with transaction.atomic():
            _unsaved(row).save(force_insert=True)
    except IntegrityError:
        return False
    return True


def _gather(span: int, finer: int, start: int) -> None:
    """Make one coarser row from the finer ones, whatever it said before: so nothing is ever counted twice."""
    rows = read(finer, start, start + span)
    Rollup.objects.bulk_create(
        [_unsaved(merge(span, start, rows))],
        update_conflicts=True,
        unique_fields=["span", "minute"],
        update_fields=["minutes", "counts", "state", "met", "missed", "unexplained"],
    )


def _unsaved(row: Row) -> Rollup:
    unexplained = row.state.get("unexplained")
    return Rollup(
        span=row.span,
        minute=row.minute,
        minutes=row.minutes,
        counts=dict(row.counts),
        state=row.state,
        met=row.counts[f"n:{MET}"],
        missed=row.counts[f"n:{LATE}"] + row.counts[f"n:{DEAD}"],
        unexplained=None if unexplained is None else int(unexplained),
    )


def merge(span: int, minute: int, rows: Iterable[Row]) -> Row:
    """One row from several: counts add up, of each number of the state the worst is kept."""
    minutes, counts, state = 0, Counter[str](), dict[str, float]()
    for row in rows:
        minutes += row.minutes
        counts.update(row.counts)
        for name, value in row.state.items():
            state[name] = _worse(name, state[name], value) if name in state else value
    return Row(span, minute, minutes, counts, state)


def _worse(name: str, one: float, other: float) -> float:
    return min(one, other) if name in LEAST_IS_WORST else max(one, other, key=abs)


def read(span: int, since: int, until: int) -> list[Row]:
    """The rows of that coarseness that begin in [since, until), oldest first. since, until: Unix minutes. One query."""
    return _rows(Rollup.objects.filter(span=span, minute__gte=since, minute__lt=until).order_by("minute"))


def _rows(found: QuerySet[Rollup]) -> list[Row]:
    return [
        Row(span, minute, minutes, Counter(counts), state)
        for span, minute, minutes, counts, state in found.values_list("span", "minute", "minutes", "counts", "state")
    ]


class Version(NamedTuple):
    """Which row, as of when: a row of one minute never changes, a coarser one is written anew with more minutes."""

    id: int
    minutes: int


def versions(span: int, since: int, until: int) -> dict[int, Version]:
    """Which rows `read` would answer, by their minutes, without what is in them. One query."""
    rows = Rollup.objects.filter(span=span, minute__gte=since, minute__lt=until)
    return {minute: Version(key, minutes) for key, minute, minutes in rows.values_list("pk", "minute", "minutes")}


def of_minutes(span: int, minutes: Collection[int]) -> list[Row]:
    """The rows of that coarseness that begin in these minutes, in no order. One query."""
    return _rows(Rollup.objects.filter(span=span, minute__in=minutes))


def newest() -> Row | None:
    """The last minute that was written."""
    found = Rollup.objects.filter(span=1).order_by("-minute").values_list("minute", "counts", "state").first()
    return None if found is None else Row(1, found[0], 1, Counter(found[1]), found[2])
