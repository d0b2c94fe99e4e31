"""A worker begins, rests, pauses and ends as RQ's do, and says how it went."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time

import pytest
from rq.suspension import resume, suspend

from queueops import ledger, metrics, upkeep, worker
from queueops.jobs import Lane
from tests.queueops import jobs_for_tests as jobs
from tests.queueops.conftest import until


def state(redis) -> bytes | None:
    (key,) = redis.smembers("rq:workers")
    found: bytes | None = redis.hget(key, "state")
    return found


def test_an_idle_worker_notices_a_job_in_every_lane(redis, put, while_working):
    def act():
        for lane in Lane:
            until(lambda: state(redis) == b"idle", "its rest")
            put("note", f"late-{lane}", lane=lane)
            late = (f"late-{lane}", lane)
            until(lambda late=late: late in jobs.ran, "the job")  # type: ignore[misc]

    while_working(act)

    assert ledger.read(redis).completed == 3


def test_one_that_is_suspended_claims_nothing_until_it_is_resumed(redis, put, while_working):
    suspend(redis)
    put("note", "a")

    def act():
        until(lambda: state(redis) == b"suspended", "its suspension")
        assert ledger.read(redis).total("waiting") == 1
        resume(redis)
        until(lambda: jobs.ran, "the job")

    while_working(act)


def test_a_lane_that_is_paused_holds_up_no_other(redis, put, while_working):
    redis.hset("cad:switches", "lane:high", '{"value": "paused", "until": null}')
    put("note", "a")
    put("note", "b", lane=Lane.LOW)

    def act():
        until(lambda: jobs.ran, "the open lane's job")
        assert [name for name, _ in jobs.ran] == ["b"]
        redis.delete("cad:switches")
        until(lambda: len(jobs.ran) == 2, "the other job")

    while_working(act)


def test_a_burst_ends_at_once_while_suspended(redis, put, work):
    suspend(redis)
    put("note", "a")

    work()

    assert ledger.read(redis).total("waiting") == 1


def test_a_burst_runs_what_its_jobs_leave_behind(redis, put, work):
    put("note", *(f"job-{n}" for n in range(30)), seconds=0.001)
    put("fail", "b")

    assert work(concurrency=4)

    assert len(jobs.ran) == 31


def test_max_jobs_is_a_limit_whatever_is_in_flight(redis, put, work):
    put("note", *(f"job-{n}" for n in range(30)), seconds=0.002)

    work(max_jobs=17, concurrency=10)

    assert len(jobs.ran) == 17
    counts = ledger.read(redis)
    assert (counts.total("waiting"), counts.total("active"), counts.completed) == (13, 0, 17)


def test_it_ends_when_nothing_came_for_as_long_as_it_was_told(redis, put, work):
    put("note", "a")
    began = time.monotonic()

    work(burst=False, max_idle_time=1)

    assert len(jobs.ran) == 1
    assert time.monotonic() - began >= 1
    assert redis.smembers("rq:workers") == set()


def test_at_the_first_signal_it_finishes_what_is_in_flight_and_takes_nothing_new(redis, put, while_working):
    put("hold", "a")

    def act():
        until(lambda: jobs.ran, "the job")
        os.kill(os.getpid(), signal.SIGTERM)
        put("note", "b")
        jobs.released.set()

    while_working(act, concurrency=1)

    counts = ledger.read(redis)
    assert (counts.completed, counts.total("waiting")) == (1, 1)


def test_after_its_time_to_stop_it_gives_back_what_has_not_ended(redis, put, while_working, monkeypatch):
    monkeypatch.setattr(worker, "STOP_SECONDS", 0.01)
    put("hang", "a", "b")

    while_working(lambda: until(lambda: ledger.read(redis).total("active") == 2, "the jobs"))

    assert redis.lrange("rq:queue:high", 0, -1) == [b"a", b"b"]
    assert ledger.read(redis).unexplained == 0


@pytest.mark.parametrize("job", ["ignore_cancellation", "plain_forever"])
def test_it_leaves_behind_what_cannot_be_ended(redis, put, threads, tmp_path, job):
    begun = tmp_path / "begun"
    put(job, "a", times=10**9, begun=str(begun))
    child = subprocess.Popen(
        [sys.executable, "manage.py", "rqworker", *Lane], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(begun.exists, "the job")
        child.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1.2)  # a second signal counts only a second after the first
        child.terminate()
        assert child.wait(30) == 1
    finally:
        child.kill()
        child.wait()

    counts = ledger.read(redis)
    assert (counts.total("waiting"), counts.total("active")) == (1, 0)
    assert redis.smembers("rq:workers") == set()


TOLD_TOO_SOON = """
import os, signal, django
django.setup()
from django.core.management import call_command
from queueops.worker import LaneWorker
LaneWorker._start_scheduler = lambda *args: os.kill(os.getpid(), signal.SIGTERM)
call_command("rqworker", "high")
"""


def test_one_that_is_told_to_stop_between_its_birth_and_its_loop_takes_nothing_and_signs_off(redis, put, threads):
    put("note", "a")

    child = subprocess.run([sys.executable, "-W", "ignore", "-c", TOLD_TOO_SOON], capture_output=True, timeout=60)

    assert child.returncode == 0, child.stderr.decode()
    assert ledger.read(redis).total("waiting") == 1
    assert redis.smembers("rq:workers") == set()


def test_it_says_once_a_minute_and_at_its_end_how_it_went(put, work, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rq.worker"), "propagate", True)
    put("note", "a", "b")
    put("fail", "c", lane=Lane.LOW)
    metrics.count("cache_miss")
    hits = metrics.here("cache_hit")

    with caplog.at_level(logging.INFO, "rq.worker"):
        work(logging_level=None)

    (line,) = {record.getMessage() for record in caplog.records if "QUEUE METRICS" in record.getMessage()}
    assert line.startswith("QUEUE METRICS done=2 failed=1 rate=")
    assert line.endswith("cache_hit_rate=- in_flight=0 waiting: high=0 default=0 low=0")
    assert metrics.here("cache_hit") == hits


def test_its_hit_rate_is_that_of_the_time_between_two_lines():
    before = upkeep.Counts(at=0.0, done=10, failed=1, hits=100, misses=100)
    after = upkeep.Counts(at=60.0, done=130, failed=1, hits=190, misses=110)

    assert after.since(before) == "done=120 failed=0 rate=2.0/s cache_hit_rate=0.900"
