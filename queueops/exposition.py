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
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from queueops import alerts, connections, counted, ledger, metrics, objectives, stats, tiers
from queueops.counted import PREFIX, Counts
from queueops.embedded import EmbeddedValkeyError
from queueops.models import Alert

MODES = ("queue", "direct", "paused")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one scrape looked at. totals: None when nothing is measured, or Redis is away."""

    snapshot: dict[str, Any]
    totals: Counter[str] | None
    ignored: dict[str, int]


def page(counts: Sequence[Counts] = ()) -> bytes:
    """The text for `GET /metrics`. counts: those of the layers above, beside our own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(families(look(), counts)))
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
    yield from counted.families(seen.totals, counts)


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
