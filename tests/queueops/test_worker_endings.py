"""However a job ends, it ends somewhere visible, and its worker goes on."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import django_rq
import pytest
from django.test import override_settings
from rq.command import send_command, send_stop_job_command

from queueops import connections, deadletters, ledger, recovery, slots
from queueops.claims import Claims
from queueops.foreign import Foreign
from queueops.jobs import Lane
from queueops.models import DeadLetter
from tests.queueops import jobs_for_tests as jobs
from tests.queueops.conftest import until


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(slots, "SWEEP_SECONDS", 0.02)
    monkeypatch.setattr(slots, "CANCEL_SECONDS", 0.3)


@pytest.fixture
def log(caplog):
    """What the worker logged; RQ's logger passes nothing on by itself."""
    logger = logging.getLogger("rq.worker")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@override_settings(QUEUE_JOB_TIMEOUT_SECONDS=0.05)
def test_a_job_that_hangs_fails_at_its_time_out_and_is_tried_again(redis, put, work):
    put("hang", "a")

    work()

    assert ledger.read(redis).total("retrying") == 1
    assert redis.hget("rq:job:a", "attempts") == b"1"


@override_settings(QUEUE_MAX_ATTEMPTS=1, QUEUE_JOB_TIMEOUT_SECONDS=0.05)
def test_the_dead_letter_of_a_job_that_hung_says_where(put, work):
    put("hang", "a")

    work()

    letter = DeadLetter.objects.get()
    assert letter.error == "Did not finish within 0 s."
    assert "in hang" in letter.traceback


@override_settings(QUEUE_MAX_ATTEMPTS=1, QUEUE_JOB_TIMEOUT_SECONDS=0.05)
def test_a_job_that_ignores_its_time_out_is_cancelled_again_and_named_in_the_log(put, work, log):
    put("ignore_cancellation", "a", times=3)

    work()

    assert jobs.ran == ["cancelled"] * 3
    assert "action=job_overdue job=a" in log.text


@override_settings(QUEUE_MAX_ATTEMPTS=1)
def test_a_time_out_of_the_jobs_own_is_not_the_workers(put, work):
    put("time_out", "a")

    work()

    assert DeadLetter.objects.get().error == "TimeoutError"


@pytest.mark.parametrize(("job", "error"), [("cancel_itself", "CancelledError"), ("leave", "SystemExit: enough")])
@override_settings(QUEUE_MAX_ATTEMPTS=1)
def test_a_job_that_cancels_itself_or_wants_to_exit_has_failed(put, work, job, error):
    put(job, "a")
    put("note", "b")

    work()

    assert DeadLetter.objects.get().error == error
    assert [name for name, _ in jobs.ran] == ["b"]


@override_settings(QUEUE_JOB_TIMEOUT_SECONDS=0.05)
def test_a_failure_that_cannot_be_written_down_in_time_uses_no_attempt(redis, put, while_working):
    put("fail_and_hang", "a")

    while_working(lambda: until(lambda: len(jobs.ran) >= 2, "its second run"))

    assert redis.hget("rq:job:a", "attempts") is None
    assert ledger.read(redis).total("waiting") == 1


def test_a_bug_in_on_failure_keeps_no_job_from_its_dead_letter(redis, put, work, caplog):
    put("fail_unheard", "a")

    work()

    assert jobs.ran == ["a"]
    assert DeadLetter.objects.get().error == "It broke"
    assert ledger.read(redis).total("dead") == 1
    assert "action=failure_untold job=a" in caplog.text


def test_a_failure_that_the_database_cannot_take_is_tried_again(redis, put, work):
    put("fail_unwritten", "a")

    work()

    assert ledger.read(redis).total("retrying") == 1
    assert redis.hget("rq:job:a", "attempts") == b"0"


def test_a_job_that_exits_the_process_is_lost_by_nobody(redis, put, threads):
    put("exit_process", "a")
    put("hang", "b")
    run = subprocess.run([sys.executable, "manage.py", "rqworker", *Lane], capture_output=True, timeout=60, check=False)

    assert run.returncode == 9
    assert ledger.read(redis).total("active") == 2
    recovery.recover(redis)
    counts = ledger.read(redis)
    assert (counts.total("waiting"), counts.unexplained) == (2, 0)


# --- Stopped by somebody: RQ's command `stop-job`, as `rq` and django-rq's pages send it ------------------------------


def test_a_stopped_job_is_a_dead_letter_that_can_be_retried(redis, put, while_working):
    put("hold", "a", "b")

    def act():
        until(lambda: len(jobs.ran) == 2)
        send_stop_job_command(redis, "a", serializer=django_rq.get_queue("high").serializer)
        until(lambda: ledger.read(redis).total("dead") == 1, "the end of the job")
        jobs.released.set()

    while_working(act)

    assert redis.hget("rq:job:a", "status") == b"stopped"
    letter = DeadLetter.objects.get()
    assert (letter.event, letter.error, letter.attempts) == ("a", "Stopped by an operator.", 1)
    assert [failure.dead for failure in jobs.failures] == [True]
    counts = ledger.read(redis)
    assert (counts.completed, counts.unexplained) == (1, 0)

    assert deadletters.retry([letter]) == 1
    assert redis.lrange("rq:queue:high", 0, -1) == [b"a"]


def test_a_stopped_job_of_rqs_own_is_stopped_as_rq_does_it(redis, while_working):
    job = django_rq.get_queue("low").enqueue(jobs.spin)
    other = django_rq.get_queue("low").enqueue(jobs.add, 2, 3)

    def act():
        until(lambda: jobs.ran and other.get_status() == "finished")
        send_stop_job_command(redis, job.id, serializer=job.serializer)
        until(lambda: job.get_status() == "stopped", "the end of the job")

    while_working(act)

    assert job.id in job.failed_job_registry
    assert redis.zcard("rq:wip:low") == 0


@pytest.mark.parametrize("command", ["stop-job", "stop-execution"])
def test_telling_it_to_stop_what_it_does_not_run_is_noted(redis, while_working, log, command):
    def act():
        (key,) = redis.smembers("rq:workers")
        name = key.decode().removeprefix("rq:worker:")
        send_command(redis, name, command, job_id="nobody", execution_id="none")
        until(lambda: "action=job_not_running" in log.text, "the word")

    while_working(act)

    assert log.text.count("job=nobody") == 1
    assert "action=job_stopped" not in log.text


# --- Jobs enqueued with RQ itself ------------------------------------------------------------------------------------


def test_a_job_of_rqs_own_that_was_deleted_since_its_claim_leaves_nothing(redis, run):
    job = django_rq.get_queue("high").enqueue(jobs.add, 2, 3)
    worker = django_rq.get_worker("high")

    async def too_late():
        claims = Claims(connections.async_client(), worker.name, ["high"])
        (claimed,) = await claims.exchange([], 1)
        redis.delete(job.key)
        gone: Any = await Foreign(worker).run(claimed)
        await claims.exchange([gone], 0)

    run(too_late())

    assert redis.zcard("rq:wip:high") == 0
    assert redis.exists(job.key) == 0


def test_the_time_out_of_a_plain_function_of_rqs_own_holds(work):
    job = django_rq.get_queue("high").enqueue(jobs.spin, job_timeout=1)

    work()

    assert job.get_status() == "failed"
    assert "exceeded maximum timeout value" in job.latest_result().exc_string
