"""Each condition finds what it is for in the real state, and nothing in a healthy one."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from queueops import alert_conditions, alerts, connections, durability, metrics, objectives, stats, switches
from queueops.alerts import Look
from queueops.jobs import Lane
from queueops.models import FallbackJob

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis", "not_switched")]


@pytest.fixture
def found():
    """What the conditions of the queue find now, by name: subjects and words; None for one that cannot tell."""

    def found():
        look = Look(timezone.now(), stats.snapshot())
        by_name = alerts.find(look, alert_conditions.CONDITIONS)
        return {
            name: None if ones is None else {one.subject: one.words for one in ones} for name, ones in by_name.items()
        }

    return found


def worker(redis, name="w1", queues="high,default,low", age=0.0):
    redis.sadd("rq:workers", f"rq:worker:{name}")
    redis.hset(f"rq:worker:{name}", mapping={"queues": queues, "state": "idle", "alive_at": time.time() - age})


def waits(redis, put, seconds, lane=Lane.HIGH):
    put("note", "old", lane=lane)
    at = timezone.now() - timedelta(seconds=seconds)
    redis.hset("rq:job:old", "enqueued_at", at.isoformat())


def test_where_all_is_well_nothing_is_found(found, redis, put):
    worker(redis)
    put("note", "a", "b", lane=Lane.LOW)
    assert {name for name, ones in found().items() if ones != {}} == set()


def test_every_condition_of_the_product_says_what_to_do_and_names_a_page(settings):
    assert {"redis_away", "unexplained", "no_worker", "needs_owner", "account_silent"} <= alerts.registered().keys()
    for condition in alerts.registered().values():
        assert condition.advice.endswith(".")
        assert (settings.BASE_DIR / condition.page).exists()


def test_while_redis_is_away_that_alone_is_known(found, settings, monkeypatch):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)

    known = {name: ones for name, ones in found().items() if ones is not None}

    assert list(known.pop("redis_away")) == [""]
    assert known == {"in_fallback": {}, "objective_burns_fast": {}, "objective_burns": {}}


def test_events_that_are_unexplained(found, redis):
    worker(redis)
    redis.hset("cad:ledger", "received", 1234)
    assert found()["unexplained"][""].startswith("1,234 events are unexplained")


def test_no_worker_at_all_is_one_thing_and_a_lane_without_one_another(found, redis):
    assert found()["no_worker"] == {"": "No worker runs: nobody claims from high, default, low."}
    worker(redis, "dead", age=3600)
    assert list(found()["no_worker"]) == [""]
    worker(redis, queues="high,default")
    assert found()["no_worker"] == {"low": "No worker listens to lane low."}


def test_nobody_misses_a_worker_in_what_is_paused(found, redis):
    worker(redis, queues="high,default")
    switches.pause(Lane.LOW, "", "maria.example")
    assert found()["no_worker"] == {}


@pytest.mark.parametrize(
    ("lane", "seconds", "is_late"),
    [(Lane.HIGH, 50, False), (Lane.HIGH, 70, True), (Lane.LOW, 70, False), (Lane.LOW, 1900, True)],
)
def test_a_job_that_waits_for_longer_than_its_lane_may(found, redis, put, lane, seconds, is_late):
    worker(redis)
    waits(redis, put, seconds, lane)
    assert list(found()["oldest_waits"]) == ([lane.value] if is_late else [])


def test_what_is_paused_may_wait(found, redis, put):
    waits(redis, put, 4000)
    switches.pause(Lane.HIGH, "", "maria.example")
    assert found()["oldest_waits"] == {}


@pytest.mark.parametrize(
    ("dead", "completed", "is_wrong"),
    [(9, 0, False), (10, 100, True), (10, 190, False), (12, 200, True), (0, 9, False)],
)
def test_a_share_of_the_last_minutes_jobs_that_died(found, redis, dead, completed, is_wrong):
    worker(redis)
    metrics.count("dead", dead)
    metrics.count("completed", completed)
    metrics.flush()
    assert bool(found()["jobs_die"]) is is_wrong


def test_without_measuring_nobody_knows_how_many_die(found, settings):
    settings.QUEUE_ENABLE_METRICS = False
    assert found()["jobs_die"] is None


def test_what_the_database_holds_because_redis_could_not_take_it(found):
    FallbackJob.objects.create(job="e1", lane="high", func="f", data=b"")
    assert found()["in_fallback"] == {"": "The database holds 1 events that Redis could not take."}


def test_what_redis_own_settings_risk_unless_it_is_the_embedded_one(found, settings, monkeypatch):
    monkeypatch.setattr(durability, "risks", lambda: [durability.NOT_WRITTEN])
    settings.REDIS_URL = ""
    assert found()["not_durable"] == {}
    settings.REDIS_URL = settings.QUEUE_REDIS_URL
    assert "appendonly no" in found()["not_durable"]["queueops.W003"]


@pytest.mark.parametrize("severity", ["page", "ticket"])
def test_an_objective_whose_budget_burns_is_found_by_how_bad_it_is(found, monkeypatch, severity):
    hour = objectives.Window("1 h", 60, met=50, missed=50)
    monkeypatch.setattr(objectives, "burn", lambda: objectives.Burn(severity, 50.0, hour, hour))
    name, other = ("objective_burns_fast", "objective_burns")[:: 1 if severity == "page" else -1]
    assert "50 of 100 answers of the last 1 h" in found()[name][""]
    assert found()[other] == {}
