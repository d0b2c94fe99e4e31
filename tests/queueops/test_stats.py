"""The snapshot says what is true now, and nothing where nothing is known."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings as django_settings
from redis import ConnectionPool, Redis, UnixDomainSocketConnection

from queueops import connections, metrics, pace, stats, switches
from queueops.jobs import Lane

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis", "not_switched")]

LANE = {"waiting", "active", "retrying", "dead", "oldest_waiting_seconds", "paused"}
PERCENTILES = {"p50", "p95", "p99"}
CONTRACT = {
    "queues": {"high": LANE, "default": LANE, "low": LANE},
    "totals": {"pending", "processing", "completed", "failed"},
    "ledger": {"received", "duplicate", "ignored", "waiting", "active", "retrying", "fallback", "completed", "dead"}
    | {"discarded", "unexplained"},
    "processing_rate": {"per_minute", "per_hour"},
    "latency_ms": {"ack": PERCENTILES, "wait": PERCENTILES, "process": PERCENTILES},
    "cache": {"hits", "misses", "hit_rate"},
    "redis": {"connected", "used_memory_bytes", "durability"},
}


HELD = '{"value": "%s", "reason": "", "by": "maria.example", "at": 1.0, "until": %s}'


@pytest.fixture
def _redis_away(settings, monkeypatch):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)


def minutes_ago(redis: Redis, minutes: int, **counts: int) -> None:
    key = metrics.minute_keys(minutes + 1)[0]
    for name, n in counts.items():
        redis.hincrby(key, f"n:{name}", n)


def worker(redis: Redis, name: str, **fields: object) -> None:
    redis.sadd("rq:workers", f"rq:worker:{name}")
    for field, value in {"queues": "high,default", "state": "busy", **fields}.items():
        redis.hset(f"rq:worker:{name}", field, str(value))


def assert_keys_of_the_contract(snapshot):
    assert set(snapshot) == {*CONTRACT, "mode", "drain_eta_seconds", "workers", "deferred"}
    for part, names in CONTRACT.items():
        assert set(snapshot[part]) == set(names)
        if isinstance(names, dict):
            for name, inner in names.items():
                assert set(snapshot[part][name]) == inner


def test_it_has_the_keys_of_the_contract(redis):
    assert_keys_of_the_contract(stats.snapshot())


@pytest.mark.usefixtures("_redis_away")
def test_while_redis_is_away_it_has_the_same_keys_and_claims_nothing():
    snapshot = stats.snapshot()

    assert_keys_of_the_contract(snapshot)
    assert snapshot["redis"] == {"connected": False, "used_memory_bytes": None, "durability": "unknown"}
    fallback = snapshot["ledger"].pop("fallback")
    assert fallback == 0
    assert set(snapshot["ledger"].values()) == {None}
    assert snapshot["drain_eta_seconds"] is None


def test_it_takes_two_round_trips_however_many_workers_there_are(redis):
    class Counting(UnixDomainSocketConnection):
        sent = 0

        def send_packed_command(self, *args, **kwargs):
            Counting.sent += 1
            super().send_packed_command(*args, **kwargs)

    for n in range(20):
        worker(redis, f"w{n}", alive_at=time.time())
    path = django_settings.REDIS_URL.removeprefix("unix://")
    with Redis(connection_pool=ConnectionPool(connection_class=Counting, path=path)) as counted:
        counted.ping()
        Counting.sent = 0
        assert len(stats.read(counted)["workers"]) == 20
        assert Counting.sent == 2
        counted.connection_pool.disconnect()


def test_it_counts_each_lane_by_where_its_jobs_are(redis, put):
    put("note", "a", "b", lane=Lane.LOW)
    redis.zadd("rq:scheduled:low", {"c": 1})
    redis.zadd("rq:failed:default", {"d": 1})

    snapshot = stats.snapshot()

    low, default = snapshot["queues"]["low"], snapshot["queues"]["default"]
    assert (low["waiting"], low["retrying"], default["dead"]) == (2, 1, 1)
    assert snapshot["totals"] == {"pending": 3, "processing": 0, "completed": 0, "failed": 1}
    assert snapshot["ledger"]["unexplained"] == 2 - 4


def test_the_oldest_waiting_is_measured_from_when_the_lanes_head_was_enqueued(redis, put):
    put("note", "old", "young")
    then = datetime.now(UTC) - timedelta(seconds=90)
    redis.hset("rq:job:old", "enqueued_at", then.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))

    lanes = stats.snapshot()["queues"]

    assert lanes["high"]["oldest_waiting_seconds"] == pytest.approx(90, abs=5)
    assert lanes["low"]["oldest_waiting_seconds"] == 0


def test_a_deleted_job_at_the_head_does_not_hide_the_age_of_the_next(redis, put):
    put("note", "gone", "here")
    redis.delete("rq:job:gone")
    redis.hset("rq:job:here", "enqueued_at", "2026-01-01T00:00:00.000000Z")

    assert stats.snapshot()["queues"]["high"]["oldest_waiting_seconds"] > 0


def test_lanes_are_paused_while_rqs_workers_are_suspended(redis):
    assert stats.snapshot()["queues"]["high"]["paused"] is False
    redis.set("rq:suspended", 1)
    assert [lane["paused"] for lane in stats.snapshot()["queues"].values()] == [True, True, True]


def test_a_lane_is_paused_while_its_switch_or_the_mode_holds(redis):
    redis.hset(switches.KEY, "lane:low", HELD % ("paused", "null"))
    redis.hset(switches.KEY, "lane:high", HELD % ("paused", "1.5"))

    snapshot = stats.snapshot()

    assert {name: lane["paused"] for name, lane in snapshot["queues"].items()} == {
        "high": False,
        "default": False,
        "low": True,
    }
    assert stats.unattended(snapshot) == ["high", "default"]
    redis.hset(switches.KEY, "mode", HELD % ("paused", "null"))
    snapshot = stats.snapshot()
    assert (snapshot["mode"], stats.unattended(snapshot)) == ("paused", [])
    assert all(lane["paused"] for lane in snapshot["queues"].values())


@pytest.mark.parametrize(
    ("counts", "into_minute", "expected"),
    [
        ([60, 10], 0, 70),  # the running minute has just begun: all of the one before is in the window
        ([60, 10], 30, 40),
        ([60, 10], 60, 10),
        ([60, 5, 5, 10], 45, 35),
    ],
)
def test_the_last_minutes_are_the_running_one_and_a_share_of_the_first(counts, into_minute, expected):
    assert pace.last(counts, into_minute) == expected


def test_rates_count_what_was_completed_in_the_last_minute_and_hour(redis):
    minutes_ago(redis, 0, completed=30)
    minutes_ago(redis, 20, completed=100)
    minutes_ago(redis, 90, completed=1000)

    rate = stats.snapshot()["processing_rate"]

    assert rate["per_minute"] == pytest.approx(30, abs=1)
    assert rate["per_hour"] == pytest.approx(130, abs=1)


@pytest.mark.parametrize(
    ("waiting", "per_minute", "expected"), [(0, 0, 0), (0, 60, 0), (30, 0, None), (30, 60, 30.0), (1, 600, 0.1)]
)
def test_the_lanes_are_empty_when_the_last_minutes_pace_has_taken_what_waits(waiting, per_minute, expected):
    assert pace.drain_eta(waiting, per_minute) == expected


def test_jobs_that_die_or_turn_out_to_be_duplicates_drain_the_lanes_too(redis, put):
    put("note", *(f"job-{n}" for n in range(10)))
    minutes_ago(redis, 0, duplicate=300, dead=300)

    assert stats.snapshot()["drain_eta_seconds"] == pytest.approx(1, abs=0.2)


def test_latency_is_that_of_the_last_hour(redis):
    for milliseconds in [10] * 99 + [1000]:
        metrics.observe("process", milliseconds)
    with redis.pipeline() as pipeline:
        metrics.write(pipeline)
        pipeline.execute()
    redis.hincrby(metrics.minute_keys(90)[0], "ms:ack:40", 5)

    latency = stats.snapshot()["latency_ms"]

    assert latency["process"]["p50"] == pytest.approx(10, rel=0.1)
    assert latency["process"]["p99"] == pytest.approx(10, rel=0.1)
    assert latency["ack"]["p50"] == 0


def test_without_metrics_what_they_would_tell_is_unknown(redis, put, settings):
    settings.QUEUE_ENABLE_METRICS = False
    put("note", "a")

    snapshot = stats.snapshot()

    assert snapshot["processing_rate"] == {"per_minute": None, "per_hour": None}
    assert snapshot["drain_eta_seconds"] is None
    assert_keys_of_the_contract(snapshot)


def test_the_cache_is_counted_over_the_last_hour(redis):
    minutes_ago(redis, 3, cache_hit=30, cache_miss=10)

    assert stats.snapshot()["cache"] == {"hits": 30, "misses": 10, "hit_rate": 0.75}


def test_workers_show_what_they_say_about_themselves(redis):
    about = {"hostname": "web-1", "pid": 4711, "release": "0.1.0", "memory_bytes": 52_428_800}
    worker(redis, "w1", alive_at=time.time() - 3, in_flight=7, concurrency=200, **about)

    (shown,) = stats.snapshot()["workers"]

    assert shown.pop("heartbeat_age_seconds") == pytest.approx(3, abs=1)
    assert shown == {
        "name": "w1",
        "state": "busy",
        "queues": ["high", "default"],
        "in_flight": 7,
        "concurrency": 200,
        "host": "web-1",
        "pid": 4711,
        "release": "0.1.0",
        "memory_bytes": 52_428_800,
    }


def test_workers_that_died_or_vanished_are_not_shown(redis):
    worker(redis, "dead", alive_at=time.time(), death="2026-01-01T00:00:00.000000Z")
    redis.sadd("rq:workers", "rq:worker:vanished")

    assert stats.snapshot()["workers"] == []


def test_a_worker_without_a_heartbeat_is_silent_and_listens_to_nothing(redis):
    worker(redis, "stuck", alive_at=time.time() - 60)
    worker(redis, "well", alive_at=time.time(), queues="high")

    snapshot = stats.snapshot()

    assert [(one["name"], one["state"]) for one in snapshot["workers"]] == [("stuck", "silent"), ("well", "busy")]
    assert stats.unattended(snapshot) == ["default", "low"]


def test_rqs_stock_workers_are_shown_too(redis):
    worker(redis, "stock", last_heartbeat=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))

    (shown,) = stats.snapshot()["workers"]

    assert (shown["state"], shown["in_flight"], shown["concurrency"]) == ("busy", 1, 1)


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_durability_is_what_the_server_is_set_to(redis, fsync):
    before = redis.config_get("appendfsync")["appendfsync"]
    redis.config_set("appendfsync", fsync)
    try:
        assert stats.snapshot()["redis"]["durability"] == fsync
    finally:
        redis.config_set("appendfsync", before)


def test_a_server_that_refuses_its_configuration_has_unknown_durability(redis):
    redis.acl_setuser("guest", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-config", "-info"])
    try:
        with Redis.from_url(django_settings.REDIS_URL, username="guest", password="any") as guest:
            assert stats.read(guest)["redis"] == {
                "connected": True,
                "used_memory_bytes": None,
                "durability": "unknown",
            }
    finally:
        redis.acl_deluser("guest")


def test_the_mode_is_the_environments_while_nobody_has_switched(redis, settings):
    assert stats.snapshot()["mode"] == "queue"
    settings.USE_QUEUE_SYSTEM = False
    assert stats.snapshot()["mode"] == "direct"
