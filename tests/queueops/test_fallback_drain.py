"""What the database tier holds goes into Redis once and in order, whatever is killed in between."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone
from redis import Redis

from queueops import deadletters, drain, fallback, leases, ledger, recovery
from queueops.jobs import Batch, Job, Lane
from queueops.models import DeadLetter, FallbackJob
from queueops.runner import Settled
from tests.queueops import outages
from tests.queueops import test_tiers as tiers_tests
from tests.queueops.test_tiers import job

pytestmark = pytest.mark.usefixtures("threads")


@pytest.fixture(autouse=True)
def _forget():
    outages.forget()


@pytest.fixture
def keep(run):
    """Put jobs into the database tier."""
    return lambda *jobs: run(fallback.take(Batch(jobs=jobs)))


class Killed(BaseException):
    """The process ends here."""


def killed(*args: object) -> None:
    raise Killed


def drain_until_killed(redis: Redis, monkeypatch: pytest.MonkeyPatch, step: str, instead: Any = killed) -> None:
    """One move, ended at this step."""
    monkeypatch.setattr(drain, step, instead)
    with pytest.raises(Killed):
        drain.drain(redis)
    monkeypatch.undo()


def test_rows_go_into_their_lanes_oldest_first(redis, keep):
    keep(job("low-1", Lane.LOW), job("high-1", Lane.HIGH))
    keep(job("low-2", Lane.LOW), job("high-2", Lane.HIGH))

    assert drain.drain(redis) == 4

    assert redis.lrange("rq:queue:high", 0, -1) == [b"high-1", b"high-2"]
    assert redis.lrange("rq:queue:low", 0, -1) == [b"low-1", b"low-2"]
    assert FallbackJob.objects.count() == 0


def test_of_many_rows_the_urgent_go_first(redis, keep, monkeypatch):
    monkeypatch.setattr(drain, "ROWS_A_MOVE", 2)
    keep(job("low-1", Lane.LOW), job("low-2", Lane.LOW), job("high-1", Lane.HIGH))

    assert drain.drain(redis) == 2

    assert redis.lrange("rq:queue:high", 0, -1) == [b"high-1"]
    assert redis.lrange("rq:queue:low", 0, -1) == [b"low-1"]


def test_a_tenant_that_comes_first_goes_one_lane_up_when_it_is_moved(redis, keep):
    redis.sadd("cad:vip", "vip")
    keep(Job(id="a", lane=Lane.LOW, func="x.y", payload={}, tenant="vip"))

    drain.drain(redis)

    assert redis.lrange("rq:queue:default", 0, -1) == [b"a"]


@pytest.mark.parametrize("after", ["_put", "_delete", "_forget"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "behind"])
def test_a_mover_killed_at_any_step_leaves_one_job(redis, keep, work, monkeypatch, after, is_done):
    keep(job("a"), job("b"))
    step = getattr(drain, after)

    def killed_there(*args: Any) -> None:
        if is_done:
            step(*args)
        raise Killed

    drain_until_killed(redis, monkeypatch, after, killed_there)
    redis.delete("cad:draining")  # it ends by itself
    assert ledger.whole(redis).unexplained == 0

    drain.drain(redis)

    assert ledger.whole(redis).unexplained == 0
    work()
    counts = ledger.whole(redis)
    assert sorted(outages.ran) == ["a", "b"]
    assert (counts.received, counts.completed, counts.fallback, counts.unexplained) == (2, 2, 0, 0)
    drain.drain(redis)
    assert redis.scard(drain.MOVED_KEY) == 0


def test_a_job_that_ended_before_the_mover_was_replaced_is_not_made_again(redis, keep, work, monkeypatch):
    keep(job("a"))
    drain_until_killed(redis, monkeypatch, "_delete")
    work()
    redis.delete("cad:draining", "cad:seen:a")

    drain.drain(redis)

    assert redis.keys("rq:job:*") == []
    counts = ledger.whole(redis)
    assert (counts.received, counts.completed, counts.duplicate, counts.unexplained) == (1, 1, 0, 0)


def test_a_row_that_redis_may_have_is_not_worked_from_the_database(redis, keep, monkeypatch):
    keep(job("a"))
    drain_until_killed(redis, monkeypatch, "_put")

    assert leases.claim(list(Lane), 10) == []


def test_one_moves_at_a_time(redis, keep):
    keep(job("a"))
    redis.set("cad:draining", "another")

    assert drain.drain(redis) == 0
    assert FallbackJob.objects.filter(moving=False).count() == 1


def test_a_mover_that_was_taken_for_dead_moves_nothing(redis, keep, monkeypatch):
    keep(job("a"))
    mark = drain._mark

    def slowly() -> list[FallbackJob]:
        redis.set("cad:draining", "another")
        return mark()

    monkeypatch.setattr(drain, "_mark", slowly)

    assert drain.drain(redis) == 0
    assert redis.llen("rq:queue:low") == 0
    assert redis.get("cad:draining") == b"another"


def test_a_mover_that_was_taken_for_dead_leaves_the_others_rows_to_it(redis, keep, monkeypatch):
    keep(job("a"))
    mark = drain._mark

    def and_another_moves_them_meanwhile() -> list[FallbackJob]:
        rows = mark()
        redis.set("cad:draining", "the other")
        assert drain._put(redis, "the other", rows) == {row.pk for row in rows}
        return rows

    monkeypatch.setattr(drain, "_mark", and_another_moves_them_meanwhile)
    assert drain.drain(redis) == 0

    assert leases.claim(list(Lane), 10) == []  # Redis has it: a worker would run it a second time
    redis.delete("cad:draining")
    monkeypatch.undo()
    assert drain.drain(redis) == 1
    assert not FallbackJob.objects.exists()
    assert ledger.whole(redis).unexplained == 0


def test_a_job_that_redis_knows_is_a_duplicate(redis, keep, work, put):
    keep(job("a"))
    put("note", "a")

    assert drain.drain(redis) == 1

    counts = ledger.whole(redis)
    assert (counts.received, counts.total("waiting"), counts.duplicate, counts.unexplained) == (2, 1, 1, 0)


def test_a_row_that_waits_for_its_next_attempt_waits_in_redis_too(redis, keep):
    keep(job("a"))
    FallbackJob.objects.update(attempts=2, run_after=timezone.now() + timedelta(hours=1))

    drain.drain(redis)

    assert redis.hget("rq:job:a", "attempts") == b"2"
    assert ledger.whole(redis).total("retrying") == 1


@override_settings(QUEUE_MAX_ATTEMPTS=1)
def test_a_job_that_was_given_up_lies_among_the_dead_and_can_be_retried(redis, keep, run):
    keep(Job(id="a", lane=Lane.LOW, func="tests.queueops.jobs_for_tests.fail", payload={"name": "a"}))
    run(tiers_tests.work_from_the_database())
    counts = ledger.whole(redis)
    assert (counts.fallback, counts.total("dead"), counts.unexplained) == (0, 1, 0)

    drain.drain(redis)
    counts = ledger.whole(redis)
    assert (counts.fallback, counts.total("dead"), counts.unexplained) == (0, 1, 0)

    assert deadletters.retry(DeadLetter.objects.all()) == 1
    counts = ledger.whole(redis)
    assert (counts.total("waiting"), counts.total("dead"), counts.unexplained) == (1, 0, 0)


def test_rows_that_a_worker_holds_are_left_to_it(redis, keep):
    keep(job("a"))
    [claimed] = leases.claim(list(Lane), 1)

    assert drain.drain(redis) == 0

    FallbackJob.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert drain.drain(redis) == 1
    assert leases.settle([Settled(claimed, "completed")]) == 1  # its worker was taken for dead
    assert ledger.whole(redis).unexplained == 0


def test_the_command_says_how_many_went(redis, keep):
    keep(job("a"), job("b"))
    said = StringIO()

    call_command("drain_fallback", stdout=said)

    assert said.getvalue() == "2 jobs moved into Redis, 0 left in the database.\n"
    assert recovery.recover(redis).back == dict.fromkeys(Lane, 0)


def test_the_command_says_that_redis_is_away(valkey, keep):
    keep(job("a"))
    valkey.kill()

    with pytest.raises(CommandError, match="Redis cannot be reached"):
        call_command("drain_fallback", stdout=StringIO())
