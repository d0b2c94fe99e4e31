"""The overview's charts: what the rollups of the last hour, day, week or 90 days say.

A process keeps what it has read and drawn. A look asks which rows there are and reads only those that are new or have
grown, which is one of them once a minute; nothing is drawn that is drawn already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from queueops import rollups
from queueops.charts import Chart, Line, Ticks, Words
from queueops.jobs import Lane
from queueops.rollups import Row, Version
from queueops.templatetags.queue_console import duration, milliseconds, number, percent

Value = Callable[[Row], float | None]


@dataclass(frozen=True, slots=True)
class Span:
    """How far back, by rows of how many minutes."""

    name: str
    minutes: int
    row: int


SPANS = {
    span.name: span
    for span in (Span("1h", 60, 1), Span("24h", 1440, 15), Span("7d", 10_080, 120), Span("90d", 129_600, 1440))
}
DEFAULT = "1h"
PERCENTILES = ("p50", "p95", "p99")


def _short(seconds: float | None) -> str:
    """300 → 5 min."""
    if not seconds:
        return "0"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


# As clocks divide time, up to 20 days.
AGES = Ticks(
    (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 43_200, 86_400, 432_000), _short
)
SHARES = Ticks((0.25,), lambda share: f"{(share or 0) * 100:.0f} %")


class Series(NamedTuple):
    """One line: value of each row. css: its class."""

    name: str
    css: str
    value: Value


class Plan(NamedTuple):
    """One chart before there are rows."""

    title: str
    note: str
    words: Words
    ticks: Ticks | None
    series: Sequence[Series]


Point = Sequence[float | None]  # of one row, a value for each series of all charts


@dataclass(frozen=True, slots=True)
class Kept:
    """Of one span what was read and drawn. since: Unix minute of the first place. points: by the rows' versions."""

    since: int
    places: Sequence[Version | None]
    points: dict[Version, Point]
    charts: list[Chart]


_kept: dict[str, Kept] = {}


def make(name: str, now: float) -> list[Chart]:
    """All charts of that span, the default for a name that is none. now: Unix time. Raises DatabaseError.

    One query, and one more when there is something new.
    """
    span = SPANS.get(name, SPANS[DEFAULT])
    newest = int(now // 60) // span.row * span.row
    # The running minute is never written; of a coarser row the running one is as good as its minutes so far.
    until = newest if span.row == 1 else newest + span.row
    since = until - span.minutes
    there = rollups.versions(span.row, since, until)
    places = [there.get(minute) for minute in range(since, until, span.row)]
    kept = _kept.get(span.name)
    if kept is None or (kept.since, kept.places) != (since, places):
        points = _points(span, there, kept.points if kept else {})
        kept = _kept[span.name] = Kept(since, places, points, _charts(span, since, places, points))
    return kept.charts


def _points(span: Span, there: dict[int, Version], known: dict[Version, Point]) -> dict[Version, Point]:
    fresh = {minute: version for minute, version in there.items() if version not in known}
    read = {there[row.minute]: _point(row) for row in rollups.of_minutes(span.row, list(fresh))} if fresh else {}
    return {version: known[version] for version in there.values() if version in known} | read


def _point(row: Row) -> Point:
    return [series.value(row) for plan in _CHARTS for series in plan.series]


def _charts(span: Span, since: int, places: Sequence[Version | None], points: dict[Version, Point]) -> list[Chart]:
    nothing: Point = [None] * sum(len(plan.series) for plan in _CHARTS)
    # A row that went between the two queries is a gap.
    columns = zip(*(points.get(version, nothing) if version else nothing for version in places), strict=True)
    return [
        Chart(
            plan.title,
            [Line(series.name, series.css, next(columns)) for series in plan.series],
            since * 60,
            span.row * 60,
            plan.words,
            plan.note,
            plan.ticks,
        )
        for plan in _CHARTS
    ]


def _rate(count: str) -> Value:
    return lambda row: round(row.per_minute(count), 2)


def _rate_of_lanes(count: str) -> Value:
    return lambda row: round(sum(row.per_minute(f"{count}:{lane}") for lane in Lane), 2)


def _percentile(duration_name: str, which: str) -> Value:
    """None without any: 0 would say that it was fast."""
    return lambda row: row.percentiles(duration_name)[which] or None


def _state(name: str) -> Value:
    return lambda row: row.state.get(name)


def _hit_rate(row: Row) -> float | None:
    hits, misses = row.counts["n:cache_hit"], row.counts["n:cache_miss"]
    return hits / (hits + misses) if hits + misses else None


def _latency(name: str) -> list[Series]:
    return [Series(which, which, _percentile(name, which)) for which in PERCENTILES]


def _by_lane(of_lane: Callable[[str], Value]) -> list[Series]:
    return [Series(lane.value, lane.value, of_lane(lane.value)) for lane in Lane]


_CHARTS = (
    Plan(
        "In and out",
        "jobs a minute",
        number,
        None,
        [Series("arrived", "in", _rate_of_lanes("arrived")), Series("completed", "out", _rate("completed"))],
    ),
    Plan("Oldest waits", "the worst moment, by lane", duration, AGES, _by_lane(lambda lane: _state(f"oldest:{lane}"))),
    Plan("Waiting", "jobs, at most, by lane", number, None, _by_lane(lambda lane: _state(f"waiting:{lane}"))),
    Plan("Given up", "new dead letters a minute, by lane", number, None, _by_lane(lambda lane: _rate(f"dead:{lane}"))),
    Plan("Waiting in the lane", "webhook to the job's start", milliseconds, None, _latency("wait")),
    Plan("Processing", "one attempt, calls included", milliseconds, None, _latency("process")),
    Plan("Webhook to answer", "until everything is sent", milliseconds, None, _latency("answer")),
    Plan("Look-ups from memory", "share of all", percent, SHARES, [Series("hit rate", "in", _hit_rate)]),
)
