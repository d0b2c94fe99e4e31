"""The snapshot and the counts since the beginning in Prometheus' words.

Everything is read from Redis at the moment of asking, so that every web process answers the same truth: no process has
counters of its own. What cannot be known, while Redis is away for example, has no sample. Names, units and HELP follow
Prometheus' conventions: base units, counters end in `_total`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from queueops import alerts, connections, ledger, metrics, objectives, rollups, stats, tiers
from queueops.embedded import EmbeddedValkeyError
from queueops.models import Alert

PREFIX = "chatautodm_"
# The edges of the histograms in buckets of `metrics`, 1.2^edge ms: from 0.2 ms to 11 hours, each about twice the last.
EDGES = range(-8, 97, 4)

HISTOGRAMS = {
    "ack": ("webhook_ack_seconds", "From a webhook's last byte to the 200 that says it is kept."),
    "wait": ("job_wait_seconds", "From the webhook to the start of its job."),
    "process": ("job_run_seconds", "One attempt of a job, calls included."),
    "answer": ("event_answer_seconds", "From the webhook to the end of its answer."),
}
MODES = ("queue", "direct", "paused")


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of `queueops.metrics` that make one counter: `members` are their names there by the label's value.

    With `prefix` instead of members, every count `<prefix><value>` belongs to it.
    """

    name: str
    help: str
    label: str
    members: dict[str, str] | None = None
    prefix: str = ""

    def read(self, totals: Counter[str]) -> dict[str, int]:
        """The count by the label's value."""
        if self.members is not None:
            return {value: totals[f"n:{name}"] for value, name in self.members.items()}
        start = f"n:{self.prefix}"
        return {name.removeprefix(start): n for name, n in sorted(totals.items()) if name.startswith(start)}


COUNTS = (
    Counts(
        "jobs_ended_total",
        "Attempts of jobs by how they ended: back is given back unfinished by a stopping worker.",
        "how",
        {how: how for how in ("completed", "duplicate", "retry", "dead", "back")},
    ),
    Counts(
        "webhooks_refused_total",
        "Webhooks that were not taken, by why.",
        "reason",
        {reason: reason for reason in ("unsigned", "oversized", "unavailable")},
    ),
    Counts(
        "answers_total",
        "Events that were answered, by whether within OBJECTIVE_SECONDS.",
        "objective",
        {"met": rollups.MET, "late": rollups.LATE},
    ),
    Counts(
        "cache_lookups_total",
        "Look-ups of accounts and rules, by whether the process knew the answer.",
        "result",
        {"hit": "cache_hit", "miss": "cache_miss"},
    ),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one scrape looked at. totals: None when nothing is measured, or Redis is away."""

    snapshot: dict[str, Any]
    totals: Counter[str] | None
    ignored: dict[str, int]


def page(counts: Sequence[Counts] = ()) -> bytes:
    """The text for `GET /metrics`. counts: those of the layers above, beside our own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(families(look(), (*COUNTS, *counts))))
    return generate_latest(registry)


class _Once(Collector):
    """prometheus_client's way in: it asks a collector for its families."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._families


def look() -> Seen:
    """The snapshot and what it does not hold."""
    snapshot = stats.snapshot()
    if not snapshot["redis"]["connected"]:
        return Seen(snapshot, None, {})
    try:
        return _look_closer(snapshot, connections.client())
    except (RedisError, OSError, EmbeddedValkeyError):  # gone since
        return Seen(stats.away(), None, {})


def _look_closer(snapshot: dict[str, Any], redis: Redis) -> Seen:
    totals = metrics.totals(redis) if settings.QUEUE_ENABLE_METRICS else None
    ignored: Any = redis.hgetall(ledger.IGNORED_KEY)
    return Seen(snapshot, totals, {name.decode(): int(n) for name, n in sorted(ignored.items())})


def families(seen: Seen, counts: Sequence[Counts]) -> Iterator[Metric]:
    """Every metric that there is, also those without a sample just now."""
    yield from _lanes(seen.snapshot)
    yield from _ledger(seen.snapshot["ledger"], seen.snapshot["deferred"], seen.ignored)
    yield from _workers(seen.snapshot)
    yield from _surroundings(seen.snapshot)
    yield from _alarms()
    for name, (metric, help_text) in HISTOGRAMS.items():
        yield _histogram(metric, help_text, seen.totals, name)
    for one in counts:
        yield _counter(one.name, one.help, one.label, one.read(seen.totals) if seen.totals is not None else {})


def _lanes(snapshot: dict[str, Any]) -> Iterator[Metric]:
    jobs = GaugeMetricFamily(f"{PREFIX}lane_jobs", "Jobs by lane and where they are.", labels=["lane", "state"])
    for lane, counts in snapshot["queues"].items():
        for state in ("waiting", "active", "retrying", "dead"):
            _sample(jobs, [lane, state], counts[state])
    yield jobs
    for name, key, help_text in (
        ("lane_oldest_waiting_seconds", "oldest_waiting_seconds", "Age of the job that waits longest; 0: none waits."),
        ("lane_paused", "paused", "1 while no worker may claim from the lane."),
    ):
        by_lane = {lane: counts[key] for lane, counts in snapshot["queues"].items()}
        yield _gauge(name, help_text, "lane", by_lane)
    yield _gauge("lane_workers", "Living workers that listen to the lane.", "lane", _listeners(snapshot))


def _listeners(snapshot: dict[str, Any]) -> dict[str, int | None]:
    if not snapshot["redis"]["connected"]:
        return dict.fromkeys(snapshot["queues"])
    listening = Counter(
        lane for worker in snapshot["workers"] if worker["state"] != "silent" for lane in worker["queues"]
    )
    return {lane: listening[lane] for lane in snapshot["queues"]}


def _ledger(counts: dict[str, int | None], deferred: int | None, ignored: dict[str, int]) -> Iterator[Metric]:
    yield _counter("events_received_total", "Events that webhooks brought.", "", {"": counts["received"]})
    ended = {name: counts[name] for name in ("duplicate", "ignored", "completed", "discarded")}
    yield _counter("events_ended_total", "Events that are over, by how.", "how", ended)
    yield _counter("events_ignored_total", "Events that were ignored on purpose, by why.", "reason", ignored)
    yield _counter("events_deferred_total", "Events put off into the lowest lane.", "", {"": deferred})
    yield _gauge(
        "fallback_events", "Events that the database keeps until Redis has them.", "", {"": counts["fallback"]}
    )
    yield _gauge(
        "ledger_unexplained_events",
        "Received less everything that became of it: other than 0 for long means lost, or from nowhere.",
        "",
        {"": counts["unexplained"]},
    )


def _workers(snapshot: dict[str, Any]) -> Iterator[Metric]:
    workers = snapshot["workers"]
    for name, key, help_text in (
        ("worker_in_flight_jobs", "in_flight", "Jobs that the worker runs at this instant."),
        ("worker_slots", "concurrency", "Jobs that the worker can run at once."),
        ("worker_heartbeat_age_seconds", "heartbeat_age_seconds", "Since the worker last said that it lives."),
    ):
        yield _gauge(name, help_text, "worker", {worker["name"]: worker[key] for worker in workers})
    silent = {worker["name"]: worker["state"] == "silent" for worker in workers}
    yield _gauge("worker_silent", "1 when the worker said goodbye to nobody and is not heard of.", "worker", silent)


def _surroundings(snapshot: dict[str, Any]) -> Iterator[Metric]:
    yield _gauge("objective_ratio", "The share of answers that must come in time.", "", {"": objectives.target()})
    redis = snapshot["redis"]
    yield _gauge("redis_up", "1 while Redis answers.", "", {"": redis["connected"]})
    yield _gauge("redis_used_memory_bytes", "Memory that Redis uses.", "", {"": redis["used_memory_bytes"]})
    kept = {redis["durability"]: 1} if redis["connected"] else {}
    yield _gauge("redis_durability", "1 for how Redis writes to disk; only `always` keeps every 200.", "policy", kept)
    modes = {mode: mode == snapshot["mode"] for mode in dict.fromkeys((*MODES, snapshot["mode"]))}
    yield _gauge("mode", "1 for what becomes of webhooks now.", "mode", modes)
    yield _gauge(
        "drain_eta_seconds",
        "Until the lanes are empty at the last minute's rate; no sample when something waits and nothing ends.",
        "",
        {"": snapshot["drain_eta_seconds"]},
    )


def _alarms() -> Iterator[Metric]:
    """Of this web process its breaker; of the whole installation its alerts, which nobody knows without a database."""
    yield _gauge(
        "breaker_open", "1 while this web process asks the database instead of Redis.", "", {"": tiers.breaker.is_open}
    )
    try:
        open_ones = Counter(Alert.objects.open().order_by().values_list("name", flat=True))
        by_name = {name: open_ones[name] for name in alerts.registered()}
    except (DatabaseError, InterfaceError):
        by_name = {}
    yield _gauge("open_alerts", "Alerts that are open.", "alert", by_name)


def _gauge(name: str, help_text: str, label: str, values: dict[str, Any]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}{name}", help_text, labels=[label] if label else [])
    for value, number in values.items():
        _sample(family, [value] if label else [], number)
    return family


def _counter(name: str, help_text: str, label: str, values: dict[str, Any]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}{name}", help_text, labels=[label] if label else [])
    for value, number in values.items():
        _sample(family, [value] if label else [], number)
    return family


def _sample(family: GaugeMetricFamily | CounterMetricFamily, labels: list[str], number: float | None) -> None:
    if number is not None:
        family.add_metric(labels, float(number))


def _histogram(metric: str, help_text: str, totals: Counter[str] | None, name: str) -> Metric:
    family = HistogramMetricFamily(f"{PREFIX}{metric}", help_text)
    if totals is not None:
        prefix = f"ms:{name}:"
        buckets = {int(key.removeprefix(prefix)): n for key, n in totals.items() if key.startswith(prefix)}
        family.add_metric([], _cumulated(buckets), totals[f"us:{name}"] / 1e6)
    return family


def _cumulated(buckets: dict[int, int]) -> list[tuple[str, float]]:
    """Prometheus' form, [(upper bound in seconds, how many up to it)]: exact, for each edge is an edge of ours."""
    up_to = [(f"{1.2**edge / 1000:.4g}", float(sum(n for b, n in buckets.items() if b <= edge))) for edge in EDGES]
    return [*up_to, ("+Inf", float(sum(buckets.values())))]
