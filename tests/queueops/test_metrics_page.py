"""`GET /metrics`: what Prometheus reads, by Prometheus' own parser and the rules that promtool checks."""

from __future__ import annotations

import re
import time

import pytest
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from automations import measured
from automations.reasons import Reason
from queueops import connections, dispatch, metrics
from queueops.jobs import Batch, Lane
from queueops.models import Alert
from tests.people import api_key, person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

PROMETHEUS_ACCEPTS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
BASE_UNITS = {
    "ratio",
    "seconds",
    "bytes",
    "jobs",
    "events",
    "workers",
    "slots",
    "total",
    "up",
    "paused",
    "silent",
    "open",
    "alerts",
}
STATES = {"mode", "durability"}  # 1 for the one of several that holds


@pytest.fixture
def page(client):
    def page():
        metrics.flush()
        answer = client.get("/metrics", headers={"Accept": PROMETHEUS_ACCEPTS})
        assert answer.status_code == 200, answer.content
        return answer.content.decode()

    return page


@pytest.fixture
def scraped(page):
    """Every sample by its name and labels, as the parser reads it."""

    def scraped():
        samples = {}
        for family in text_string_to_metric_families(page()):
            for sample in family.samples:
                key = (sample.name.removeprefix("chatautodm_"), *sorted(sample.labels.items()))
                assert key not in samples, f"{key} twice"
                samples[key] = sample.value
        return samples

    return scraped


def everything_in_motion(put, redis):
    put("note", "a", "b")
    put("note", "a")
    dispatch.dispatch_sync(Batch(ignored={"story_insights": 2}))
    worker(redis, "w1", queues="high,default", in_flight=3)
    metrics.observe("ack", 1.5)
    metrics.count("cache_hit", 9)
    metrics.count("completed", 4)
    measured.called()
    measured.called(400, 190)
    measured.ended("sent")
    measured.ended("skipped", Reason.WINDOW_CLOSED)


def worker(redis, name, **fields):
    redis.sadd("rq:workers", f"rq:worker:{name}")
    redis.hset(f"rq:worker:{name}", mapping={"state": "busy", "concurrency": 200, "alive_at": time.time(), **fields})


def test_its_type_is_prometheus_text(client):
    answer = client.get("/metrics", headers={"Accept": PROMETHEUS_ACCEPTS})

    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_it_says_the_same_as_the_snapshot(client, scraped, put, redis):
    everything_in_motion(put, redis)
    client.force_login(person("queueops.view_console"))

    samples = scraped()
    snapshot = client.get("/api/queue-stats").json()

    for lane, counts in snapshot["queues"].items():
        for state in ("waiting", "active", "retrying", "dead"):
            assert samples["lane_jobs", ("lane", lane), ("state", state)] == counts[state]
        assert samples["lane_paused", ("lane", lane)] == counts["paused"]
    for how in ("duplicate", "ignored", "completed", "discarded"):
        assert samples["events_ended_total", ("how", how)] == snapshot["ledger"][how]
    assert samples["events_received_total",] == snapshot["ledger"]["received"] == 5
    assert samples["ledger_unexplained_events",] == snapshot["ledger"]["unexplained"]
    assert samples["fallback_events",] == snapshot["ledger"]["fallback"]
    assert samples["cache_lookups_total", ("result", "hit")] == snapshot["cache"]["hits"] == 9
    assert samples["mode", ("mode", snapshot["mode"])] == 1
    assert samples["redis_durability", ("policy", snapshot["redis"]["durability"])] == 1
    (one,) = snapshot["workers"]
    assert samples["worker_in_flight_jobs", ("worker", "w1")] == one["in_flight"] == 3
    assert samples["worker_slots", ("worker", "w1")] == one["concurrency"]


def test_it_counts_what_the_snapshot_has_no_place_for(scraped, put, redis):
    everything_in_motion(put, redis)

    samples = scraped()

    assert samples["events_ignored_total", ("reason", "story_insights")] == 2
    assert samples["jobs_ended_total", ("how", "completed")] == 4
    assert samples["graph_calls_total", ("code", "ok")] == 1
    assert samples["graph_calls_total", ("code", "190")] == 1
    assert samples["event_outcomes_total", ("outcome", "sent"), ("reason", "")] == 1
    assert samples["event_outcomes_total", ("outcome", "skipped"), ("reason", "window_closed")] == 1
    assert samples["lane_workers", ("lane", "high")] == 1
    assert samples["lane_workers", ("lane", "low")] == 0


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [(200, 0, "ok"), (400, 190, "190"), (200, 10, "10"), (502, 0, "http_502"), (0, 0, "no_answer")],
)
def test_a_call_is_counted_by_what_was_answered(scraped, status, code, said):
    measured.called(status, code)

    assert scraped()["graph_calls_total", ("code", said)] == 1


def test_a_histogram_is_cumulative_and_knows_its_sum(scraped):
    for milliseconds in (0.01, 1.0, 1.5, 2000.0):
        metrics.observe("process:low", milliseconds)

    samples = scraped()

    of_low = [(dict(key[1:]), n) for key, n in samples.items() if key[0] == "job_run_seconds_bucket"]
    buckets = [(float(labels["le"]), n) for labels, n in of_low if labels["lane"] == "low"]
    assert buckets == sorted(buckets)
    assert [n for _, n in buckets] == sorted(n for _, n in buckets)
    up_to = dict(buckets)
    above = min(edge for edge in up_to if edge >= 2)
    assert (up_to[0.001], up_to[0.002074], up_to[above], up_to[float("inf")]) == (2, 3, 4, 4)
    assert samples["job_run_seconds_count", ("lane", "low")] == 4
    assert samples["job_run_seconds_sum", ("lane", "low")] == pytest.approx(2.00251)
    assert samples["job_run_seconds_count", ("lane", "high")] == 0


def test_a_job_is_timed_by_the_lane_it_ran_in(scraped, put, work):
    put("note", "a", "b", lane=Lane.LOW)
    put("note", "c")
    work()

    samples = scraped()

    assert [samples["job_run_seconds_count", ("lane", lane)] for lane in Lane] == [1, 0, 2]


def test_counters_outlive_the_minutes_that_percentiles_are_read_from(scraped, redis):
    metrics.count("completed", 4)
    metrics.flush()
    redis.delete(*metrics.minute_keys(61))

    assert scraped()["jobs_ended_total", ("how", "completed")] == 4


def test_every_family_follows_the_naming_rules(page, put, redis):
    """As `promtool check metrics` asks: HELP and TYPE once, `_total` for counters alone, base units, no types."""
    everything_in_motion(put, redis)
    text = page()
    described = re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))

    assert [name for name, _ in described] == list(types)
    assert all(words.endswith(".") and not words.endswith("..") for _, words in described)
    for name, kind in types.items():
        assert re.fullmatch(r"chatautodm_[a-z][a-z_]*[a-z]", name), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(gauge|counter|histogram|count|sum|bucket|milliseconds|minutes)(_|$)", name), name
        assert name.rsplit("_", 1)[1] in BASE_UNITS | STATES, name
        assert kind != "histogram" or name.endswith("_seconds"), name


def test_labels_hold_nothing_of_accounts_or_people(page, put, redis):
    everything_in_motion(put, redis)

    labels = set(re.findall(r'[{,]([a-z]+)="', page()))

    assert labels == {
        "lane",
        "state",
        "how",
        "reason",
        "result",
        "code",
        "outcome",
        "worker",
        "mode",
        "policy",
        "le",
        "alert",
        "objective",
    }


def test_while_redis_is_away_it_says_so_and_guesses_nothing(client, settings, monkeypatch):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)

    text = client.get("/metrics").content.decode()

    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert "chatautodm_redis_up 0.0" in samples
    known = ("redis_up", "mode", "fallback_events", "breaker_open", "open_alerts", "objective_ratio")
    assert [line for line in samples if not line.removeprefix("chatautodm_").startswith(known)] == []


def test_without_measuring_the_ledger_is_still_told(scraped, put, settings):
    settings.QUEUE_ENABLE_METRICS = False
    put("note", "a")

    samples = scraped()

    assert samples["events_received_total",] == 1
    assert not [key for key in samples if key[0].startswith(("job_run", "cache_lookups"))]


def test_alerts_that_are_open_and_the_breaker_are_told(scraped):
    now = timezone.now()
    found = {"severity": "page", "words": "x", "first_seen_at": now, "last_seen_at": now}
    for subject, opened in (("high", now), ("low", now), ("default", None)):
        Alert.objects.create(name="no_worker", subject=subject, opened_at=opened, **found)

    samples = scraped()

    assert samples["open_alerts", ("alert", "no_worker")] == 2
    assert samples["open_alerts", ("alert", "unexplained")] == 0
    assert samples["breaker_open",] == 0


@pytest.mark.parametrize("path", ["/metrics", "/metrics/"])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1"])
def test_from_this_machine_it_needs_no_credentials(client, path, address):
    assert client.get(path, REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("203.0.113.9", {}),
        ("10.0.0.7", {}),
        ("", {}),  # a unix socket: whoever is behind it is not known
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.9"}),
    ],
)
def test_from_elsewhere_or_through_a_proxy_it_needs_the_apis_credentials(client, address, headers):
    key = api_key(person("queueops.view_console"))
    strangers = api_key(person(name="tom"))

    def status(**more):
        return client.get("/metrics", REMOTE_ADDR=address, headers={**headers, **more}).status_code

    assert status() == 401
    assert status(Authorization=f"Token {strangers}") == 403
    assert status(Authorization=f"Token {key}") == 200


def test_a_refusal_is_problem_json(client):
    answer = client.get("/metrics", REMOTE_ADDR="203.0.113.9")

    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 401
