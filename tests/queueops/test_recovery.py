"""A worker that dies loses nothing: what it held comes back, and what a living one holds is left alone."""

from __future__ import annotations

import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import django_rq
import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.test import override_settings

from queueops import deadletters, ledger, moves, recovery
from queueops.jobs import Lane
from queueops.models import DeadLetter
from queueops.rq_jobs import rq_now
from tests.queueops import jobs_for_tests as jobs

DEAD_PID = 2**22 + 1  # above the kernel's highest


def claim(redis, worker: str, alive_at: float | None, pid: int = 1, host: str = "elsewhere") -> None:
    """Claim everything as a worker would, without one."""
    now = time.time()
    vouched = now + recovery.VOUCH_SECONDS
    redis.eval(moves.EXCHANGE, 0, worker, rq_now(), now, vouched, "", 10, "busy", "", "execution-", 1, "", *Lane)
    if alive_at is not None:
        redis.sadd("rq:workers", f"rq:worker:{worker}")
        redis.hset(f"rq:worker:{worker}", mapping={"alive_at": alive_at, "hostname": host, "pid": pid})


@pytest.mark.parametrize(("what", "silent_for"), [("it has been silent for too long", 31), ("its hash is gone", None)])
def test_the_jobs_of_a_dead_worker_go_back_to_the_head_of_their_lanes(redis, put, what, silent_for):
    put("note", "first", "second")
    alive_at = None if silent_for is None else time.time() - silent_for
    claim(redis, "dead", alive_at)
    if alive_at is None:
        redis.delete("rq:worker:dead")
    put("note", "third")

    assert recovery.recover(redis).back == {Lane.HIGH: 2, Lane.DEFAULT: 0, Lane.LOW: 0}

    assert redis.lrange("rq:queue:high", 0, -1)[-1] == b"third"
    assert redis.hget("rq:job:first", "status") == b"queued"
    assert redis.keys("rq:execution:*") == []
    counts = ledger.read(redis)
    assert (counts.total("active"), counts.total("waiting"), counts.unexplained) == (0, 3, 0)


def test_a_slow_job_of_a_living_worker_is_left_alone(redis, put):
    put("note", "a")
    claim(redis, "alive", time.time())
    redis.hset("rq:job:a", "started_at", "2020-01-01T00:00:00.000000Z")

    assert sum(recovery.recover(redis, older_than=0).back.values()) == 0
    assert ledger.read(redis).total("active") == 1


def test_a_job_whose_claim_was_never_heard_of_comes_back_though_its_worker_is_alive(redis, put):
    put("note", "a")
    claim(redis, "alive", time.time())
    redis.zadd("rq:wip:high", {redis.zrange("rq:wip:high", 0, 0)[0]: time.time() - 1})

    assert recovery.recover(redis).back[Lane.HIGH] == 1


def test_a_worker_of_this_host_is_dead_as_soon_as_its_process_is(redis, put, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    put("note", "a")
    claim(redis, "killed", time.time(), pid=DEAD_PID, host="here")

    assert sum(recovery.recover(redis).back.values()) == 1


def test_what_is_recovered_twice_is_there_once(redis, put):
    put("note", "a")
    claim(redis, "dead", 1.0)

    assert sum(recovery.recover(redis).back.values()) == 1
    assert sum(recovery.recover(redis).back.values()) == 0
    assert redis.lrange("rq:queue:high", 0, -1) == [b"a"]


def test_reset_stuck_jobs_says_how_many_of_which_lane(redis, put):
    put("note", "a", lane=Lane.LOW)
    claim(redis, "dead", 1.0)
    said = StringIO()

    call_command("reset_stuck_jobs", "--older-than", "0", "--dry-run", stdout=said)
    assert "1 stuck jobs would go back" in said.getvalue()
    assert ledger.read(redis).total("active") == 1

    call_command("reset_stuck_jobs", "--older-than", "0", stdout=said)
    assert "low: 1 went back" in said.getvalue()
    assert ledger.read(redis).total("active") == 0


def test_reset_stuck_jobs_leaves_those_that_were_vouched_for_lately(redis, put):
    put("note", "a")
    claim(redis, "dead", 1.0)

    call_command("reset_stuck_jobs", stdout=StringIO())

    assert ledger.read(redis).total("active") == 1


def kill_and_recover(redis) -> recovery.Recovered:
    claim(redis, "dead", 1.0)
    return recovery.recover(redis)


def until_it_is_due(redis, name: str) -> None:
    assert redis.zrem("rq:scheduled:high", name) == 1
    redis.hset(f"rq:job:{name}", "status", "queued")
    redis.rpush("rq:queue:high", name)


@pytest.mark.usefixtures("threads")
def test_a_job_that_kills_its_workers_becomes_a_dead_letter(redis, put):
    put("note", "poison")
    jobs.failures.clear()

    kill_and_recover(redis)
    assert redis.hget("rq:job:poison", "attempts") is None  # the first death may be anybody's fault
    for attempt in (1, 2):
        kill_and_recover(redis)
        assert redis.hget("rq:job:poison", "attempts") == b"%d" % attempt
        until_it_is_due(redis, "poison")
    found = kill_and_recover(redis)

    assert found == recovery.Recovered(dict.fromkeys(Lane, 0), {Lane.HIGH: 1, Lane.DEFAULT: 0, Lane.LOW: 0})
    letter = DeadLetter.objects.get()
    reason = "Its worker died 4 times while running it."
    assert (letter.event, letter.error, letter.attempts, letter.cause_title) == ("poison", reason, 3, "Its worker died")
    assert [failure.reason for failure in jobs.failures] == [reason]
    counts = ledger.read(redis)
    assert (counts.total("dead"), counts.total("active"), counts.unexplained) == (1, 0, 0)

    assert deadletters.retry([letter]) == 1
    kill_and_recover(redis)
    assert ledger.read(redis).total("waiting") == 1  # a fresh start


@pytest.mark.usefixtures("threads")
@override_settings(QUEUE_MAX_ATTEMPTS=1)
def test_it_waits_for_its_letter_while_the_database_is_away(redis, put, monkeypatch):
    put("note", "poison")
    kill_and_recover(redis)

    def away(*args):
        raise OperationalError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr("queueops.deadletters.write", away)
        assert sum(kill_and_recover(redis).given_up.values()) == 0
    assert ledger.read(redis).total("active") == 1

    assert recovery.recover(redis, dry_run=True).given_up[Lane.HIGH] == 1
    assert ledger.read(redis).total("dead") == 0
    assert recovery.recover(redis).given_up[Lane.HIGH] == 1
    assert (ledger.read(redis).total("dead"), DeadLetter.objects.count()) == (1, 1)


def test_suspects_come_back_one_after_the_other(redis, put):
    put("note", "a", "b", "c")
    kill_and_recover(redis)
    before = time.time()

    assert kill_and_recover(redis).back[Lane.HIGH] == 3

    due = [at - before for _, at in redis.zrange("rq:scheduled:high", 0, -1, withscores=True)]
    assert [round(seconds) for seconds in due] == [0, 10, 20]


def test_reset_stuck_jobs_says_how_many_were_given_up(redis, put):
    put("note", "poison")
    kill_and_recover(redis)
    claim(redis, "dead", 1.0)
    said = StringIO()

    with override_settings(QUEUE_MAX_ATTEMPTS=1):
        call_command("reset_stuck_jobs", "--older-than", "0", "--dry-run", stdout=said)

    assert "1 whose workers died again and again would become dead letters." in said.getvalue()


def test_a_job_of_rqs_own_is_left_to_rq(redis):
    django_rq.get_queue("high").enqueue(jobs.add, 1, 2)
    claim(redis, "dead", 1.0)

    assert sum(recovery.recover(redis).back.values()) == 0

    assert redis.zcard("rq:wip:high") == 1


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_worker_killed_in_the_middle_of_its_jobs_loses_none(redis, put, work):
    put("hang", "a", "b")
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "rqworker", *Lane], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 20
        while ledger.read(redis).total("active") < 2 and time.monotonic() < deadline:
            assert worker.poll() is None
        scheduler = children(worker.pid)
    finally:
        worker.kill()
        worker.wait()
    assert ledger.read(redis).total("active") == 2
    assert len(scheduler) == 1
    while Path(f"/proc/{scheduler[0]}").exists():
        assert time.monotonic() < deadline, "RQ's scheduler outlived its worker"

    recovery.recover(redis)

    counts = ledger.read(redis)
    assert (counts.total("waiting"), counts.total("active"), counts.unexplained) == (2, 0, 0)


def test_a_worker_told_to_stop_gives_back_what_it_cannot_finish(redis, put):
    put("hang", "a")
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "rqworker", *Lane], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 20
        # Not when Redis has it as started, but when it runs: what was not begun goes back at once.
        while not redis.keys("rq:execution:*") and time.monotonic() < deadline:
            assert worker.poll() is None
        worker.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(1.2)  # a second signal counts only a second after the first
        worker.terminate()
        worker.wait(20)
        assert worker.returncode == 0
    finally:
        worker.kill()
        worker.wait()
    counts = ledger.read(redis)
    assert (counts.total("waiting"), counts.total("active"), counts.unexplained) == (1, 0, 0)
    assert redis.smembers("rq:workers") == set()
