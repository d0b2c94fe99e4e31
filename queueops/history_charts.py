"""The overview's charts: what the rollups of the last hour, day, week or 90 days say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from queueops import rollups
from queueops.charts import Chart, Line, Ticks, Words
from queueops.jobs import Lane
from queueops.rollups import Row
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


def make(name: str, now: float) -> list[Chart]:
    """All charts of that span, the default for a name that is none. now: Unix time. One query. Raises DatabaseError."""
    span = SPANS.get(name, SPANS[DEFAULT])
    newest = int(now // 60) // span.row * span.row
    # The running minute is never written; of a coarser row the running one is as good as its minutes so far.
    until = newest if span.row == 1 else newest + span.row
    since = until - span.minutes
    by_minute = {row.minute: row for row in rollups.read(span.row, since, until)}
    rows = [by_minute.get(minute) for minute in range(since, until, span.row)]
    return [
        Chart(title, [Line(*line(rows)) for line in lines], since * 60, span.row * 60, words, note, ticks)
        for title, note, words, ticks, lines in _CHARTS
    ]


LineOf = Callable[[Sequence[Row | None]], tuple[str, str, list[float | None]]]


def _line(name: str, css: str, value: Value) -> LineOf:
    return lambda rows: (name, css, [None if row is None else value(row) for row in rows])


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


def _latency(name: str) -> list[LineOf]:
    return [_line(which, which, _percentile(name, which)) for which in PERCENTILES]


def _by_lane(of_lane: Callable[[str], Value]) -> list[LineOf]:
    return [_line(lane.value, lane.value, of_lane(lane.value)) for lane in Lane]


_CHARTS: tuple[tuple[str, str, Words, Ticks | None, list[LineOf]], ...] = (
    (
        "In and out",
        "jobs a minute",
        number,
        None,
        [_line("arrived", "in", _rate_of_lanes("arrived")), _line("completed", "out", _rate("completed"))],
    ),
    ("Oldest waits", "the worst moment, by lane", duration, AGES, _by_lane(lambda lane: _state(f"oldest:{lane}"))),
    ("Waiting", "jobs, at most, by lane", number, None, _by_lane(lambda lane: _state(f"waiting:{lane}"))),
    ("Given up", "new dead letters a minute, by lane", number, None, _by_lane(lambda lane: _rate(f"dead:{lane}"))),
    ("Waiting in the lane", "webhook to the job's start", milliseconds, None, _latency("wait")),
    ("Processing", "one attempt, calls included", milliseconds, None, _latency("process")),
    ("Webhook to answer", "until everything is sent", milliseconds, None, _latency("answer")),
    ("Look-ups from memory", "share of all", percent, SHARES, [_line("hit rate", "in", _hit_rate)]),
)
