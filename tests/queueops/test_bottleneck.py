"""What limits a lane, in one sentence with the number."""

from __future__ import annotations

import time

import pytest

from queueops import bottleneck, metrics, pace, panels, stats
from queueops.jobs import Lane
from queueops.pace import Rates
from queueops.switches import Mode, Switch, Switches

HELD = Switches()


def lane(waiting=0, retrying=0, paused=False):
    return {"waiting": waiting, "retrying": retrying, "paused": paused}


def worker(in_flight=0, concurrency=200, state="busy", queues=("high",)):
    return {"queues": list(queues), "in_flight": in_flight, "concurrency": concurrency, "state": state}


def limit(lane_, *workers, held=HELD, rates=None, put_off=None, connected=True):
    snapshot = {"redis": {"connected": connected}, "queues": {"high": lane_}, "workers": list(workers)}
    return bottleneck.limits(snapshot, held, {"high": rates} if rates else None, put_off)["high"]


def test_while_redis_is_away_it_is_redis():
    found = limit(lane(None, None), connected=False)
    assert (found.kind, found.is_bad) == ("redis", True)


def test_an_empty_lane_is_limited_by_nothing():
    assert limit(lane()).sentence == "Nothing waits."


def test_a_paused_lane_says_who_paused_it_and_why():
    pause = Switch(value="paused", reason="Meta is down", by="maria", at=0.0)
    found = limit(lane(5, paused=True), worker(), held=Switches({"lane:high": pause}))
    assert found.kind == "paused"
    assert found.sentence == "Paused by maria, since 1970-01-01 00:00:00 UTC: Meta is down"


def test_a_paused_mode_and_rqs_suspension_are_told_apart():
    mode = Switch(value=Mode.PAUSED.value, reason="", by="maria", at=0.0)
    assert limit(lane(5, paused=True), held=Switches({"mode": mode})).sentence.startswith(
        "The mode is paused, by maria"
    )
    assert "rqresume" in limit(lane(5, paused=True), held=Switches(suspended=True)).sentence


@pytest.mark.parametrize("others", [[], [worker(queues=("low",))], [worker(state="silent")]])
def test_a_lane_without_a_living_worker_wants_one(others):
    found = limit(lane(5), *others)
    assert (found.kind, found.is_bad) == ("worker", True)


def test_workers_without_the_database_claim_nothing():
    assert limit(lane(5), worker(state="no database")).kind == "database"


def test_when_all_slots_are_in_use_it_says_what_one_more_worker_would_do():
    rates = Rates(arrived=100, ended=400, arrived_of_five=100, ended_of_five=400)

    found = limit(lane(3500), worker(in_flight=198), rates=rates)

    assert (found.kind, found.seconds) == ("slots", 700)
    assert found.sentence == (
        "198 of 200 slots of 1 worker are in use: more workers help. "
        "With one more: 800 a minute, empty in about 5 min 0 s."
    )


def test_one_more_worker_may_not_be_enough():
    rates = Rates(arrived=1000, ended=400, arrived_of_five=1000, ended_of_five=400)

    found = limit(lane(3500), worker(in_flight=200), rates=rates)

    assert found.seconds is None
    assert found.sentence.endswith("which is still less than comes in.")


def test_jobs_that_are_put_off_say_what_they_wait_for():
    said = {"high": "Put off for @maria.example (3 of the newest 3): its pace"}
    assert limit(lane(0, 3), worker(), put_off=said).sentence == said["high"]
    assert limit(lane(0, 3), worker()).sentence == "Put off until their time comes: 3 jobs."


def test_with_free_slots_it_is_being_worked_off_or_the_worker_is_at_its_limit():
    going = Rates(arrived=10, ended=40, arrived_of_five=10, ended_of_five=40)
    growing = Rates(arrived=50, ended=40, arrived_of_five=10, ended_of_five=40)
    stuck = Rates(arrived=50, ended=0, arrived_of_five=10, ended_of_five=0)

    assert limit(lane(60), worker(3), rates=going).seconds == 120
    assert limit(lane(60), worker(3), rates=going).sentence == "Being worked off: 3 of 200 slots are in use."
    assert limit(lane(60), worker(3), rates=growing).sentence.startswith("More comes than goes")
    assert limit(lane(60), worker(3), rates=stuck).sentence.startswith("Nothing of it has ended for five minutes")


@pytest.mark.django_db
def test_a_real_snapshot_can_be_judged(redis, put):
    put("note", "a")
    found = bottleneck.limits(stats.snapshot(), HELD)
    assert {name: one.kind for name, one in found.items()} == {"high": "worker", "default": "", "low": ""}


def test_what_comes_into_a_lane_and_leaves_it_is_counted_by_lane(redis, put, db):
    put("note", "a", "b", "c", lane=Lane.LOW)
    put("note", "a", lane=Lane.LOW)
    put("note", "d", lane=Lane.HIGH)

    rates = pace.by_lane(redis, time.time()) or {}

    assert {name: one.arrived_of_five * 5 for name, one in rates.items()} == {"high": 1, "default": 0, "low": 3}


@pytest.mark.usefixtures("threads")
def test_what_was_worked_off_left_its_lane(redis, put, work):
    put("note", "a", "b", lane=Lane.LOW)
    work()
    metrics.flush()

    rates = pace.by_lane(redis, time.time()) or {}
    assert rates["low"].ended_of_five == pytest.approx(0.4)


def test_rates_are_not_known_while_nothing_is_measured(redis, settings):
    settings.QUEUE_ENABLE_METRICS = False
    assert pace.by_lane(redis, time.time()) is None


def test_who_knows_why_jobs_are_put_off_is_asked_and_the_first_is_believed(monkeypatch):
    monkeypatch.setattr(panels, "_reasons", [lambda user: {"high": "first"}, lambda user: {"high": "no", "low": user}])
    assert panels.put_off("maria") == {"high": "first", "low": "maria"}
