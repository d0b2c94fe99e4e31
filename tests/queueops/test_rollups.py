"""What was counted minute by minute is in the database once, whoever wrote it and however late."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from django.db import connections as databases
from redis.exceptions import RedisError

from queueops import connections, metrics, rollups
from queueops.jobs import Lane
from queueops.models import Rollup

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

# The first minute of a day, so that it begins a row of every span.
MIDNIGHT = 20_600 * 1440
NOW = (MIDNIGHT + 3) * 60 + 4.0


def counted(redis, minute, **counts):
    for name, n in counts.items():
        redis.hincrby(metrics.MINUTE_KEY % minute, f"n:{name}", n)


def row(span, minute):
    (found,) = rollups.read(span, minute, minute + 1)
    return found


def test_each_span_divides_the_next_so_that_rows_are_made_of_whole_rows():
    assert all(coarse % fine == 0 for fine, coarse in pairwise(rollups.SPANS))


def test_a_finished_minute_is_written_with_its_counts_and_the_state_of_now(redis, put):
    put("note", "a", "b", lane=Lane.LOW)
    counted(redis, MIDNIGHT + 2, completed=7, dead=2)
    redis.hset(metrics.MINUTE_KEY % (MIDNIGHT + 2), mapping={"n:answer:met": 5, "n:answer:late": 1})

    assert rollups.keep(redis, NOW) == [MIDNIGHT + 2]

    written = row(1, MIDNIGHT + 2)
    assert written.counts["n:completed"] == 7
    assert (written.state["waiting:low"], written.state["workers"], written.state["unexplained"]) == (2, 0, 0)
    assert written.state["memory"] > 0
    kept = Rollup.objects.get(span=1)
    assert (kept.met, kept.missed, kept.unexplained) == (5, 3, 0)


def test_the_running_minute_is_left_alone(redis):
    counted(redis, MIDNIGHT + 3, completed=1)

    rollups.keep(redis, NOW)

    assert rollups.read(1, MIDNIGHT + 3, MIDNIGHT + 4) == []


def test_an_idle_minute_has_a_row_and_a_stuck_lane_is_in_it(redis, put):
    put("note", "old")
    redis.hset("rq:job:old", "enqueued_at", "2026-01-01T00:00:00.000000Z")

    rollups.keep(redis, NOW)

    assert row(1, MIDNIGHT + 2).state["oldest:high"] > 3600
    assert row(1, MIDNIGHT + 2).counts == {}


def test_a_second_look_writes_nothing(redis):
    counted(redis, MIDNIGHT + 2, completed=7)
    rollups.keep(redis, NOW)

    assert rollups.keep(redis, NOW + 30) == []
    assert row(15, MIDNIGHT).counts["n:completed"] == 7


def test_minutes_that_nobody_wrote_are_caught_up_and_their_state_is_open(redis):
    counted(redis, MIDNIGHT - 100, completed=3)
    counted(redis, MIDNIGHT + 2, completed=4)

    assert rollups.keep(redis, NOW) == [MIDNIGHT - 100, MIDNIGHT + 2]

    assert row(1, MIDNIGHT - 100).counts["n:completed"] == 3
    assert row(1, MIDNIGHT - 100).state == {}


def test_a_minute_of_which_nothing_is_known_is_a_gap(redis):
    rollups.keep(redis, NOW)
    rollups.keep(redis, NOW + 180)

    assert [one.minute - MIDNIGHT for one in rollups.read(1, MIDNIGHT, MIDNIGHT + 60)] == [2, 5]


def test_coarser_rows_add_up_the_counts_and_keep_the_worst_of_the_state(redis):
    Rollup.objects.create(span=1, minute=MIDNIGHT, counts={"n:completed": 5, "ms:wait:3": 2}, state=state(9, 3, -4))
    Rollup.objects.create(span=1, minute=MIDNIGHT + 1, counts={"n:completed": 1, "ms:wait:3": 1}, state=state(1, 1, 2))
    counted(redis, MIDNIGHT + 2, completed=7)

    rollups.keep(redis, NOW)

    for span in rollups.SPANS[1:]:
        coarse = row(span, MIDNIGHT)
        assert (coarse.minutes, coarse.counts["n:completed"], coarse.counts["ms:wait:3"]) == (3, 13, 3)
        assert (coarse.state["oldest:low"], coarse.state["workers"], coarse.state["unexplained"]) == (9, 0, -4)


def state(oldest, workers, unexplained):
    return {"oldest:low": oldest, "workers": workers, "unexplained": unexplained}


def test_a_late_minute_is_in_the_coarser_rows_once(redis):
    counted(redis, MIDNIGHT + 2, completed=7)
    rollups.keep(redis, NOW)
    counted(redis, MIDNIGHT + 1, completed=2)

    rollups.keep(redis, NOW + 60)

    assert row(1440, MIDNIGHT).counts["n:completed"] == 9


def test_what_is_older_than_ninety_days_goes(redis):
    for span in rollups.SPANS:
        Rollup.objects.create(span=span, minute=MIDNIGHT - 92 * 1440)
        Rollup.objects.create(span=span, minute=MIDNIGHT - 90 * 1440)

    rollups.keep(redis, NOW)

    assert [rollups.read(span, 0, MIDNIGHT - 91 * 1440) for span in rollups.SPANS] == [[]] * 4
    assert len(rollups.read(1, 0, MIDNIGHT - 89 * 1440)) == 1


def test_without_redis_nothing_is_written(settings, monkeypatch):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)

    with pytest.raises((RedisError, OSError)):
        rollups.keep(connections.client(), NOW)
    assert Rollup.objects.count() == 0


@pytest.mark.usefixtures("threads")
def test_of_many_workers_one_writes_a_minute(redis):
    counted(redis, MIDNIGHT + 1, completed=3)
    counted(redis, MIDNIGHT + 2, completed=7)
    together = threading.Barrier(4)

    def keep():
        together.wait()
        try:
            return rollups.keep(redis, NOW)
        finally:
            databases.close_all()

    with ThreadPoolExecutor(4) as pool:
        written = [minute for done in [pool.submit(keep) for _ in range(4)] for minute in done.result()]

    assert sorted(written) == [MIDNIGHT + 1, MIDNIGHT + 2]
    assert row(15, MIDNIGHT).counts["n:completed"] == 10


def test_workers_come_after_the_minutes_end_and_not_all_at_once():
    tries = [NOW + rollups.seconds_to_next(NOW) for _ in range(50)]

    assert all(62 <= at - NOW // 60 * 60 <= 67 for at in tries)
    assert len(set(tries)) > 1
