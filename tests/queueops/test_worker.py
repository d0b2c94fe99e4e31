"""The worker runs what the lanes hold, in their order, and leaves every job in exactly one place."""

from __future__ import annotations

import django_rq
from django.test import override_settings

from queueops import ledger
from queueops.jobs import Lane
from queueops.models import DeadLetter
from tests.queueops import jobs_for_tests as jobs


def test_it_runs_everything_and_the_ledger_adds_up(redis, put, work):
    put("note", "a", "b")
    put("note", "c", lane=Lane.LOW)

    work()

    assert sorted(jobs.ran) == [("a", "high"), ("b", "high"), ("c", "low")]
    counts = ledger.read(redis)
    assert (counts.received, counts.completed, counts.unexplained) == (3, 3, 0)
    assert redis.keys("rq:job:*") == []
    assert redis.keys("rq:execution:*") == []


def test_higher_lanes_are_served_first(put, work):
    put("note", "comment", lane=Lane.LOW)
    put("note", "story", lane=Lane.DEFAULT)
    put("note", "message", lane=Lane.HIGH)

    work(concurrency=1)

    assert [name for name, _ in jobs.ran] == ["message", "story", "comment"]


def test_lower_lanes_keep_their_share_while_a_higher_one_is_full(put, work):
    put("note", *(f"message-{n}" for n in range(40)))
    put("note", *(f"story-{n}" for n in range(40)), lane=Lane.DEFAULT)
    put("note", *(f"comment-{n}" for n in range(40)), lane=Lane.LOW)

    work(concurrency=1, max_jobs=40)

    lanes = [lane for _, lane in jobs.ran]
    assert (lanes.count("high"), lanes.count("default"), lanes.count("low")) == (34, 4, 2)


def test_it_never_runs_more_than_its_slots(put, work):
    put("note", *(f"job-{n}" for n in range(20)), seconds=0.005)

    work(concurrency=3)

    assert len(jobs.ran) == 20
    assert jobs.most_in_flight == 3


def test_it_stops_after_max_jobs(redis, put, work):
    put("note", "a", "b", "c")

    work(max_jobs=2)

    assert len(jobs.ran) == 2
    assert ledger.read(redis).total("waiting") == 1


def test_a_failed_job_waits_for_its_next_attempt(redis, put, work):
    put("fail", "a")

    work()

    assert ledger.read(redis).total("retrying") == 1
    assert redis.hget("rq:job:a", "attempts") == b"1"
    assert [(failure.dead, failure.reason, failure.attempt) for failure in jobs.failures] == [
        (False, "Meta is away", 1)
    ]


@override_settings(QUEUE_MAX_ATTEMPTS=1)
def test_a_job_without_attempts_left_becomes_a_dead_letter(redis, put, work):
    put("fail", "a", lane=Lane.LOW)

    work()

    letter = DeadLetter.objects.get()
    assert (letter.event, letter.lane, letter.error, letter.attempts) == ("a", "low", "Meta is away", 1)
    assert letter.payload["args"][0] == {"name": "a"}
    assert "TryAgain" in letter.traceback
    counts = ledger.read(redis)
    assert (counts.total("dead"), counts.unexplained) == (1, 0)


def test_a_rejected_job_is_dead_at_its_first_attempt_with_its_cause(put, work):
    put("refuse", "a")

    work()

    letter = DeadLetter.objects.get()
    assert (letter.cause_code, letter.cause_subcode, letter.cause_verdict) == (190, 463, "needs_owner")
    assert jobs.failures[0].dead


def test_waiting_for_a_stated_time_uses_no_attempt(redis, put, work):
    put("wait", "a")

    work()

    assert redis.hget("rq:job:a", "attempts") == b"0"
    assert ledger.read(redis).total("retrying") == 1


@override_settings(QUEUE_MAX_ATTEMPTS=1)
def test_a_bug_is_kept_with_its_traceback_even_if_its_text_cannot_be_stored(put, work):
    put("bug", "a")

    work()

    letter = DeadLetter.objects.get()
    assert letter.cause_verdict == "bug"
    assert "KeyError" in letter.error


@override_settings(QUEUE_MAX_ATTEMPTS=1, QUEUE_JOB_TIMEOUT_SECONDS=0.05)
def test_a_job_that_hangs_ends_at_its_time_out(put, work):
    put("hang", "a")
    put("note", "b")

    work()

    assert DeadLetter.objects.get().error == "Did not finish within 0 s."
    assert [name for name, _ in jobs.ran] == ["b"]


def test_plain_functions_run_too(put, work):
    put("plain", "a")

    work()

    assert jobs.ran == ["a"]


def test_jobs_enqueued_with_rq_itself_run_as_rq_runs_them(work):
    good = django_rq.get_queue("high").enqueue(jobs.add, 2, 3)
    bad = django_rq.get_queue("low").enqueue(jobs.breaks)

    work()

    assert good.return_value() == 5
    assert good.get_status() == "finished"
    assert bad.get_status() == "failed"
    assert "of its own accord" in bad.latest_result().exc_string


def test_an_id_without_a_job_is_passed_over(redis, put, work):
    redis.rpush("rq:queue:high", "deleted-while-it-waited")
    put("note", "a")

    work()

    assert jobs.ran == [("a", "high")]


@override_settings(QUEUE_MAX_ATTEMPTS=1)
def test_a_job_that_nobody_can_read_or_find_is_a_dead_letter_and_not_a_loop(redis, put, work):
    put("note", "garbage")
    put("nowhere", "unknown")
    redis.hset("rq:job:garbage", "data", b"\xff\x00 not JSON")

    work()

    letters = {letter.event: letter for letter in DeadLetter.objects.all()}
    assert letters["garbage"].payload["args"][0].endswith("not JSON")
    assert "nowhere" in letters["unknown"].error
    assert ledger.read(redis).total("dead") == 2


@override_settings(QUEUE_BACKOFF_SECONDS=0)
def test_a_retry_that_rqs_scheduler_enqueued_runs_with_its_attempt_counted(redis, put, work):
    put("fail", "a")
    work()
    redis.zadd("rq:scheduled:high", {"a": 0})

    work(with_scheduler=True)  # a burst enqueues what is due

    assert jobs.ran == ["a", "a"]
    assert redis.hget("rq:job:a", "attempts") == b"2"
