"""Processing inside the request: bounded, and never said to be kept before it is written down."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from queueops import direct, dispatch, ledger, switches, tally, tiers
from queueops.jobs import Batch, Job, Lane, Receipt
from queueops.models import DeadLetter, FallbackJob
from tests.queueops import jobs_for_tests as jobs
from tests.queueops import outages

pytestmark = pytest.mark.usefixtures("threads", "redis")


def job(func: str, name: str, **payload: object) -> Job:
    return Job(id=name, lane=Lane.HIGH, func=f"{jobs.HERE}.{func}", payload={"name": name, **payload})


def test_without_a_queue_the_request_does_the_work(redis, run, settings):
    settings.USE_QUEUE_SYSTEM = False

    assert run(tiers.dispatch(Batch(jobs=(job("note", "a"),)))) == Receipt(1, 0, 0)

    assert jobs.ran == [("a", "high")]
    counts = ledger.whole(redis)
    assert (counts.received, counts.completed, counts.fallback, counts.unexplained) == (1, 1, 0, 0)


def test_a_job_that_must_run_again_waits_in_the_database_with_its_attempt(redis, run):
    assert run(direct.take(Batch(jobs=(job("fail", "a"), job("note", "b"))))) == Receipt(2, 0, 0)

    row = FallbackJob.objects.get()
    assert (row.job, row.attempts, row.run_after > row.created_at) == ("a", 1, True)
    counts = ledger.whole(redis)
    assert (counts.completed, counts.fallback, counts.unexplained) == (1, 1, 0)


def test_a_job_that_is_given_up_is_a_dead_letter(redis, run):
    run(direct.take(Batch(jobs=(job("refuse", "a"),))))

    assert DeadLetter.objects.get().event == "a"
    counts = ledger.whole(redis)
    assert (counts.total("dead"), counts.unexplained) == (1, 0)


def test_jobs_of_a_paused_lane_wait_in_the_database(redis, run):
    switches.pause(Lane.LOW, "viral post", "maria.example")
    try:
        low = dataclasses.replace(job("note", "b"), lane=Lane.LOW)
        assert run(direct.take(Batch(jobs=(job("note", "a"), low)))) == Receipt(2, 0, 0)
    finally:
        switches.resume(Lane.LOW)

    row = FallbackJob.objects.get()
    assert (jobs.ran, row.job, row.attempts) == ([("a", "high")], "b", 0)
    counts = ledger.whole(redis)
    assert (counts.completed, counts.fallback, counts.unexplained) == (1, 1, 0)


def test_nothing_is_kept_that_could_not_be_written_down(run):
    async def refused() -> None:
        with pytest.raises(dispatch.Unavailable):
            await direct.take(Batch(jobs=(job("note", "a"),)))

    with outages.no_database():
        run(refused())
    assert tally.read().counts == {}


def test_it_runs_no_more_at_once_than_it_has_slots(run, monkeypatch):
    monkeypatch.setattr(direct, "JOBS_AT_ONCE", 3)

    run(direct.take(Batch(jobs=tuple(job("note", f"job-{n}", seconds=0.005) for n in range(12)))))

    assert len(jobs.ran) == 12
    assert jobs.most_in_flight == 3


def test_with_all_places_taken_the_next_batch_is_refused(run, monkeypatch):
    monkeypatch.setattr(direct, "BATCHES_AT_ONCE", 1)

    async def both() -> list[object]:
        batches = (Batch(jobs=(job("note", name, seconds=0.05),)) for name in ("a", "b"))
        return await asyncio.gather(*map(direct.take, batches), return_exceptions=True)

    first, second = run(both())
    assert first == Receipt(1, 0, 0)
    assert isinstance(second, dispatch.Unavailable)


def test_what_takes_too_long_is_refused_and_goes_on(run, monkeypatch):
    monkeypatch.setattr(direct, "SECONDS", 0.01)

    async def overdue() -> None:
        with pytest.raises(direct.Overdue):
            await direct.take(Batch(jobs=(job("note", "a", seconds=0.05),)))
        [going_on] = direct._desk()._batches
        await going_on

    run(overdue())
    assert jobs.ran == [("a", "high")]
    assert tally.read().counts == {"received": 1, "completed": 1}


def test_nobody_else_begins_what_is_still_going_on(redis, run, monkeypatch, settings):
    monkeypatch.setattr(direct, "SECONDS", 0.01)
    settings.USE_QUEUE_SYSTEM = False

    async def refused() -> None:
        with pytest.raises(dispatch.Unavailable):
            await tiers.dispatch(Batch(jobs=(job("note", "a", seconds=0.05),)))
        await asyncio.gather(*direct._desk()._batches)

    run(refused())
    assert ledger.read(redis).received == 0
