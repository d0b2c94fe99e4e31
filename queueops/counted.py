"""What is counted and timed since the beginning (`metrics`), as Prometheus' counters and histograms.

Values of labels are words of the code and the names of lanes: few, and nobody's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from queueops import metrics, rollups
from queueops.jobs import Lane

PREFIX = "chatautodm_"
# The edges of the histograms in buckets of `metrics`, 1.2^edge ms: from 0.2 ms to 11 hours, each about twice the last.
EDGES = range(-8, 97, 4)


@dataclass(frozen=True, slots=True)
class Timing:
    """A duration of `queueops.metrics`, by its name there, that is a histogram here."""

    duration: str
    name: str
    help: str
    is_by_lane: bool = False


TIMINGS = (
    Timing("ack", "webhook_ack_seconds", "From a webhook's last byte to the 200 that says it is kept."),
    Timing("wait", "job_wait_seconds", "From the webhook to the start of its job, by lane.", is_by_lane=True),
    Timing("process", "job_run_seconds", "One attempt of a job, calls included, by lane.", is_by_lane=True),
    Timing("answer", "event_answer_seconds", "From the webhook to the end of its answer."),
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of `queueops.metrics` that make one counter: `members` are their names there by the labels' values.

    With `prefix` instead of members, every count `<prefix><value>:<value>…` belongs to it, a value for each label; the
    last ones may be missing.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    members: dict[str, str] | None = None
    prefix: str = ""

    def read(self, totals: Counter[str]) -> dict[tuple[str, ...], int]:
        """The count by the labels' values."""
        if self.members is not None:
            return {(value,): totals[f"n:{name}"] for value, name in self.members.items()}
        start = f"n:{self.prefix}"
        found = {name.removeprefix(start): n for name, n in sorted(totals.items()) if name.startswith(start)}
        return {self._values(name): n for name, n in found.items()}

    def _values(self, name: str) -> tuple[str, ...]:
        values = name.split(":", len(self.labels) - 1)
        return (*values, *[""] * (len(self.labels) - len(values)))


COUNTS = (
    Counts(
        "jobs_ended_total",
        "Attempts of jobs by how they ended: back is given back unfinished by a stopping worker.",
        ("how",),
        {how: how for how in ("completed", "duplicate", "retry", "dead", "back")},
    ),
    Counts(
        "webhooks_refused_total",
        "Webhooks that were not taken, by why.",
        ("reason",),
        {reason: reason for reason in ("unsigned", "oversized", "unavailable")},
    ),
    Counts(
        "answers_total",
        "Events that were answered, by whether within OBJECTIVE_SECONDS.",
        ("objective",),
        {"met": rollups.MET, "late": rollups.LATE},
    ),
    Counts(
        "cache_lookups_total",
        "Look-ups of accounts and rules, by whether the process knew the answer.",
        ("result",),
        {"hit": "cache_hit", "miss": "cache_miss"},
    ),
)


def families(totals: Counter[str] | None, counts: Sequence[Counts] = ()) -> Iterator[Metric]:
    """All of them, and `counts` of the layers above. totals: None when nothing is measured, or Redis is away."""
    for timing in TIMINGS:
        yield _histogram(timing, totals)
    for one in (*COUNTS, *counts):
        yield _counter(one, totals)


def _counter(one: Counts, totals: Counter[str] | None) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}{one.name}", one.help, labels=one.labels)
    for values, number in (one.read(totals) if totals is not None else {}).items():
        family.add_metric(values, float(number))
    return family


def _histogram(timing: Timing, totals: Counter[str] | None) -> Metric:
    family = HistogramMetricFamily(f"{PREFIX}{timing.name}", timing.help, labels=["lane"] if timing.is_by_lane else [])
    if totals is not None:
        for labels, duration in _durations(timing, totals):
            family.add_metric(labels, _cumulated(metrics.histogram(totals, duration)), totals[f"us:{duration}"] / 1e6)
    return family


def _durations(timing: Timing, totals: Counter[str]) -> list[tuple[list[str], str]]:
    """Labels and name of each; of those by lane also of lanes that only RQ's own jobs are in."""
    if not timing.is_by_lane:
        return [([], timing.duration)]
    start = f"us:{timing.duration}:"
    seen = sorted(key.removeprefix(start) for key in totals if key.startswith(start))
    return [([lane], f"{timing.duration}:{lane}") for lane in dict.fromkeys((*Lane, *seen))]


def _cumulated(buckets: Counter[int]) -> list[tuple[str, float]]:
    """Prometheus' form, [(upper bound in seconds, how many up to it)]: exact, for each edge is an edge of ours."""
    up_to = [(f"{1.2**edge / 1000:.4g}", float(sum(n for b, n in buckets.items() if b <= edge))) for edge in EDGES]
    return [*up_to, ("+Inf", float(sum(buckets.values())))]
